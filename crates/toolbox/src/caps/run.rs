//! `caps run`: runs a program with exactly the sets that were asked for.
//!
//! The order, because each step takes away what the one before needs:
//! ```text
//! supplementary groups   CAP_SETGID
//! bounding set           CAP_SETPCAP
//! securebits             CAP_SETPCAP
//! gid, uid               CAP_SETGID, CAP_SETUID; keeps the permitted set where ambient ones are wanted
//! inheritable, ambient
//! no new privileges
//! exec
//! ```

use std::ffi::OsString;
use std::io;

use capability::{ApplyError, CapSet, ReadError, Sets};
use rustix::fs::{Gid, Uid};
use rustix::thread::{self, CapabilitiesSecureBits};

use super::show::SECUREBITS;
use crate::launch::{self, ExecError};

/// What the program shall have. What is none stays as it is.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Request {
    pub inheritable: Option<CapSet>,
    /// These become inheritable too, as the kernel demands.
    pub ambient: Option<CapSet>,
    pub bounding: Option<CapSet>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub groups: Option<Vec<u32>>,
    pub securebits: Option<CapabilitiesSecureBits>,
    pub no_new_privileges: bool,
    pub command: Vec<OsString>,
}

/// Why the program was not run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RunError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error("{set} can't be made {kind}: the caller may not have them")]
    Refused { kind: &'static str, set: CapSet },
    #[error("set the {what}: {source}; it needs {needs}")]
    Set { what: &'static str, needs: &'static str, source: io::Error },
    #[error("unknown securebit \"{}\": expected some of {}", .0.escape_debug(), securebit_names())]
    Securebit(String),
    #[error("{0}")]
    Exec(#[from] ExecError),
}

fn securebit_names() -> String {
    SECUREBITS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Reads a list of securebits with commas between; `none` is the empty one.
pub fn parse_securebits(text: &str) -> Result<CapabilitiesSecureBits, RunError> {
    text.split(',').filter(|name| *name != "none").try_fold(CapabilitiesSecureBits::empty(), |bits, name| {
        let known = SECUREBITS.iter().find(|(known, _)| *known == name);
        known.map(|(_, bit)| bits | *bit).ok_or_else(|| RunError::Securebit(name.to_owned()))
    })
}

/// Becomes the program. Returns only if that failed.
pub fn run(request: &Request) -> RunError {
    match prepare(request) {
        Ok(()) => launch::exec(&request.command, None).into(),
        Err(error) => error,
    }
}

fn prepare(request: &Request) -> Result<(), RunError> {
    if let Some(groups) = &request.groups {
        let groups: Vec<Gid> = groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
        set("supplementary groups", "CAP_SETGID", thread::set_thread_groups(&groups))?;
    }
    let before = Sets::of_self()?;
    if let Some(bounding) = request.bounding {
        accept("part of the bounding set", capability::drop_bounding(bounding)?)?;
    }
    if let Some(bits) = request.securebits {
        set(
            "securebits",
            "CAP_SETPCAP, and none of them locked",
            thread::set_capabilities_secure_bits(bits),
        )?;
    }
    // Dropping and raising need the inheritable set before the user changes: it needs CAP_SETPCAP.
    let ambient = request.ambient.unwrap_or(before.ambient);
    let inheritable = request.inheritable.unwrap_or(before.inheritable) | ambient;
    let refused = capability::set_process_sets(before.effective, before.permitted, inheritable)?;
    accept("inheritable", refused.inheritable)?;
    change_user(request, ambient)?;
    accept("ambient", capability::raise_ambient(ambient)?)?;
    if request.no_new_privileges {
        set("no_new_privs attribute", "Linux 3.5", thread::set_no_new_privs(true))?;
    }
    Ok(())
}

fn change_user(request: &Request, ambient: CapSet) -> Result<(), RunError> {
    if let Some(gid) = request.gid {
        let gid = Gid::from_raw(gid);
        set("group", "CAP_SETGID", thread::set_thread_res_gid(gid, gid, gid))?;
    }
    let Some(uid) = request.uid else { return Ok(()) };
    if !ambient.is_empty() {
        capability::keep_across_setuid(true)?;
    }
    let uid = Uid::from_raw(uid);
    set("user", "CAP_SETUID", thread::set_thread_res_uid(uid, uid, uid))
}

fn set(what: &'static str, needs: &'static str, outcome: rustix::io::Result<()>) -> Result<(), RunError> {
    outcome.map_err(|errno| RunError::Set { what, needs, source: errno.into() })
}

fn accept(kind: &'static str, refused: CapSet) -> Result<(), RunError> {
    if refused.is_empty() { Ok(()) } else { Err(RunError::Refused { kind, set: refused }) }
}
