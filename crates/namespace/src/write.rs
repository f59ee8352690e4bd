//! Giving a new user or time namespace its maps and offsets.
//!
//! A map can be written once. Whoever lacks CAP_SETUID in the parent user namespace can write a single id of
//! his own, gid_map only after `deny` to setgroups (CVE-2014-8989); for more there are the set-user-id
//! programs newuidmap and newgidmap, which consult /etc/subuid and /etc/subgid.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Pid;

use crate::{IdMap, TimeOffsets};

/// Users or groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum IdKind {
    User,
    Group,
}

/// Why a map or an offset could not be written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum WriteError {
    #[error("write {:?} to {}: {source}", text.trim_end(), path.display())]
    File { path: PathBuf, text: String, source: io::Error },
    #[error("run {program}: {source}; it is in the package uidmap")]
    HelperMissing { program: &'static str, source: io::Error },
    #[error("{program} refused the map {map:?} for process {pid}: {message}")]
    HelperRefused { program: &'static str, pid: Pid, map: String, message: String },
}

impl IdKind {
    /// The name of the map's file in /proc/PID.
    pub const fn map_file(self) -> &'static str {
        match self {
            Self::User => "uid_map",
            Self::Group => "gid_map",
        }
    }

    /// The set-user-id program that writes the map for ordinary users.
    pub const fn helper(self) -> &'static str {
        match self {
            Self::User => "newuidmap",
            Self::Group => "newgidmap",
        }
    }
}

impl fmt::Display for IdKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::User => "user",
            Self::Group => "group",
        })
    }
}

/// Writes a map for the user namespace of `pid` by itself.
pub fn write_map(pid: Pid, kind: IdKind, map: &IdMap) -> Result<(), WriteError> {
    write_file(proc_file(pid, kind.map_file()), map.render())
}

/// Writes a map through newuidmap or newgidmap.
pub fn write_map_with_helper(pid: Pid, kind: IdKind, map: &IdMap) -> Result<(), WriteError> {
    Helper::start(pid, kind, map)?.finish()
}

/// Writes both maps through newuidmap and newgidmap, which run beside each other.
pub fn write_maps_with_helpers(pid: Pid, users: &IdMap, groups: &IdMap) -> Result<(), WriteError> {
    let first = Helper::start(pid, IdKind::User, users)?;
    let second = Helper::start(pid, IdKind::Group, groups);
    first.finish()?;
    second?.finish()
}

/// newuidmap or newgidmap at work.
struct Helper {
    child: Child,
    pid: Pid,
    program: &'static str,
    map: String,
}

impl Helper {
    fn start(pid: Pid, kind: IdKind, map: &IdMap) -> Result<Helper, WriteError> {
        let program = kind.helper();
        let map = map.render();
        let mut command = Command::new(program);
        command.arg(pid.to_string()).args(map.split_whitespace());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|source| WriteError::HelperMissing { program, source })?;
        Ok(Helper { child, pid, program, map: map.trim_end().replace('\n', ", ") })
    }

    fn finish(self) -> Result<(), WriteError> {
        let Helper { child, pid, program, map } = self;
        let output =
            child.wait_with_output().map_err(|source| WriteError::HelperMissing { program, source })?;
        if output.status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(WriteError::HelperRefused { program, pid, map, message })
    }
}

/// Forbids setgroups(2) in the user namespace of `pid`; what gid_map demands of unprivileged writers.
pub fn deny_setgroups(pid: Pid) -> Result<(), WriteError> {
    write_file(proc_file(pid, "setgroups"), "deny".to_owned())
}

/// Sets the clocks of the time namespace that the next children of `pid` start in.
pub fn write_time_offsets(pid: Pid, offsets: &TimeOffsets) -> Result<(), WriteError> {
    write_file(proc_file(pid, "timens_offsets"), offsets.render())
}

fn proc_file(pid: Pid, name: &str) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join(name)
}

fn write_file(path: PathBuf, text: String) -> Result<(), WriteError> {
    // One write: the kernel takes a map as a whole or not at all.
    let written = std::fs::OpenOptions::new().write(true).open(&path).and_then(|mut file| {
        match file.write(text.as_bytes())? {
            length if length == text.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    });
    written.map_err(|source| WriteError::File { path, text, source })
}
