//! `caps show`: the five sets of a process, and of its threads where they differ.

use capability::{CapSet, Sets};
use namespace::{Kind, NamespaceFile};
use rustix::process::Pid;
use rustix::thread::CapabilitiesSecureBits;
use serde::Serialize;

use super::describe;
use crate::accounts::Accounts;
use crate::process::{self, Process, ProcessError};
use crate::{Align, Table};

/// What a process may do.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Privileges {
    pub pid: i32,
    pub command: String,
    pub user: String,
    pub uid: u32,
    /// Whether its capabilities hold in the caller's user namespace; none if that can't be seen.
    pub on_host: Option<bool>,
    pub sets: SetNames,
    pub no_new_privileges: bool,
    /// The securebits, which only a thread itself can read.
    pub securebits: Option<Vec<&'static str>>,
    /// The threads whose sets are not those of the first.
    pub threads: Vec<ThreadPrivileges>,
    #[serde(skip)]
    capabilities: Sets,
}

/// The sets of one thread.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct ThreadPrivileges {
    pub tid: i32,
    pub sets: SetNames,
    #[serde(skip)]
    capabilities: Sets,
}

/// The five sets as lists of names.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct SetNames {
    pub effective: Vec<String>,
    pub permitted: Vec<String>,
    pub inheritable: Vec<String>,
    pub bounding: Vec<String>,
    pub ambient: Vec<String>,
}

impl From<&Sets> for SetNames {
    fn from(sets: &Sets) -> Self {
        let names = |set: CapSet| set.iter().map(|capability| capability.to_string()).collect();
        Self {
            effective: names(sets.effective),
            permitted: names(sets.permitted),
            inheritable: names(sets.inheritable),
            bounding: names(sets.bounding),
            ambient: names(sets.ambient),
        }
    }
}

impl Privileges {
    /// Reads those of a process.
    pub fn of_process(pid: Pid) -> Result<Self, ProcessError> {
        let process = Process::read(pid)?;
        let own = pid == rustix::process::getpid();
        Ok(Self {
            pid: pid.as_raw_pid(),
            command: process::command_line(pid)?,
            user: Accounts::users().name(process.uids[1]),
            uid: process.uids[1],
            on_host: shares_user_namespace(pid),
            sets: (&process.capabilities).into(),
            no_new_privileges: process.no_new_privileges,
            securebits: if own { own_securebits() } else { None },
            threads: deviating_threads(pid, &process.capabilities),
            capabilities: process.capabilities,
        })
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut table = Table::new(&[("", Align::Left), ("", Align::Left), ("", Align::Left)]);
        rows(&mut table, "", &self.capabilities);
        for thread in &self.threads {
            rows(&mut table, &format!("thread {} ", thread.tid), &thread.capabilities);
        }
        let namespace = match self.on_host {
            Some(true) => "",
            Some(false) => "\nThese hold in the process's own user namespace, not over the host.",
            None => {
                "\nWhether these hold over the host can't be seen: its user namespace may only be read by root."
            }
        };
        let securebits = match &self.securebits {
            None => String::new(),
            Some(bits) if bits.is_empty() => "securebits         none\n".to_owned(),
            Some(bits) => format!("securebits         {}\n", bits.join(",")),
        };
        let no_new_privileges = if self.no_new_privileges { "yes" } else { "no" };
        format!(
            "{} {} (user {})\n\n{}no new privileges  {no_new_privileges}\n{securebits}{namespace}",
            self.pid,
            self.command,
            self.user,
            table.body(),
        )
        .trim_end()
        .to_owned()
            + "\n"
    }
}

fn rows(table: &mut Table, prefix: &str, sets: &Sets) {
    let named = [
        ("effective", sets.effective),
        ("permitted", sets.permitted),
        ("inheritable", sets.inheritable),
        ("bounding", sets.bounding),
        ("ambient", sets.ambient),
    ];
    for (name, set) in named {
        table.row(vec![format!("{prefix}{name:<17}"), format!("{set:x}"), describe(set)]);
    }
}

fn shares_user_namespace(pid: Pid) -> Option<bool> {
    let theirs = NamespaceFile::of_process(pid, Kind::User).ok()?.id().ok()?;
    Some(theirs == NamespaceFile::of_self(Kind::User).ok()?.id().ok()?)
}

fn deviating_threads(pid: Pid, first: &Sets) -> Vec<ThreadPrivileges> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let thread = |name: std::ffi::OsString| {
        let tid = Pid::from_raw(name.to_str()?.parse().ok()?)?;
        let capabilities = Sets::of_thread(pid, tid).ok()?;
        let differs = capabilities != *first;
        differs.then(|| ThreadPrivileges {
            tid: tid.as_raw_pid(),
            sets: (&capabilities).into(),
            capabilities,
        })
    };
    let mut threads: Vec<_> = entries.flatten().filter_map(|entry| thread(entry.file_name())).collect();
    threads.sort_by_key(|thread| thread.tid);
    threads
}

/// The names of capabilities(7), "The securebits flags".
pub(super) const SECUREBITS: &[(&str, CapabilitiesSecureBits)] = &[
    ("noroot", CapabilitiesSecureBits::NO_ROOT),
    ("noroot_locked", CapabilitiesSecureBits::NO_ROOT_LOCKED),
    ("no_setuid_fixup", CapabilitiesSecureBits::NO_SETUID_FIXUP),
    ("no_setuid_fixup_locked", CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED),
    ("keep_caps", CapabilitiesSecureBits::KEEP_CAPS),
    ("keep_caps_locked", CapabilitiesSecureBits::KEEP_CAPS_LOCKED),
    ("no_cap_ambient_raise", CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE),
    ("no_cap_ambient_raise_locked", CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED),
];

fn own_securebits() -> Option<Vec<&'static str>> {
    let bits = rustix::thread::capabilities_secure_bits().ok()?;
    Some(SECUREBITS.iter().filter(|(_, bit)| bits.contains(*bit)).map(|(name, _)| *name).collect())
}
