//! `explain`: one page that says what isolates a process and what does not, what it may do, and which limits it
//! is near, each with the flag that would change it.
//!
//! [`Facts`] are read from the kernel; [`findings`] judges them without asking anybody; [`render`] prints.

pub mod findings;
pub mod render;

use capability::Sets;
use namespace::{IdKind, Kind};
use rustix::process::Pid;
use serde::Serialize;

use crate::cgroups::show::Usage;
use crate::containers::Containers;
use crate::mounts::Mounts;
use crate::ns::scan::Scan;
use crate::printable;
use crate::process::{self, Process, ProcessError};
use crate::userns::levels::read_map;

pub use findings::{Finding, Verdict};

/// What the kernel tells about a process.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Facts {
    pub namespaces: Vec<(Kind, Shared)>,
    pub uid: u32,
    /// Whether the process's user namespace gives its root the caller's root.
    pub root_is_host_root: bool,
    pub capabilities: Sets,
    pub seccomp: u8,
    pub seccomp_filters: u32,
    pub no_new_privileges: bool,
    /// The profile of AppArmor or the context of SELinux.
    pub label: Option<String>,
    pub root_read_only: bool,
    pub masked: Vec<String>,
    pub usage: Usage,
}

/// Whether a namespace is the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    /// It is.
    WithHost,
    /// It is not: it has this inode.
    Own(u64),
}

/// The page.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Page {
    pub pid: i32,
    pub container: Option<String>,
    pub command: String,
    pub findings: Vec<Finding>,
}

impl Page {
    /// Looks at a process and judges.
    pub fn of_process(pid: Pid, containers: &Containers) -> Result<Self, ProcessError> {
        Ok(Self {
            pid: pid.as_raw_pid(),
            container: containers.of_process(pid),
            command: process::command_line(pid)?,
            findings: findings::judge(&Facts::of_process(pid)?),
        })
    }
}

impl Facts {
    /// Reads them.
    pub fn of_process(pid: Pid) -> Result<Self, ProcessError> {
        let process = Process::read(pid)?;
        let mounts = Mounts::of_process(pid)?;
        Ok(Self {
            namespaces: namespaces(pid)?,
            uid: process.uids[1],
            root_is_host_root: read_map(pid, IdKind::User).is_ok_and(|map| map.to_outside(0) == Some(0)),
            capabilities: process.capabilities,
            seccomp: process.seccomp,
            seccomp_filters: process.seccomp_filters,
            no_new_privileges: process.no_new_privileges,
            label: label(pid),
            root_read_only: is_root_read_only(pid),
            masked: masked(&mounts),
            usage: Usage::of_process(pid)?,
        })
    }
}

fn namespaces(pid: Pid) -> Result<Vec<(Kind, Shared)>, ProcessError> {
    let of = |pid| Scan::of_process(pid, &Kind::ALL).map_err(|source| process::read_error(pid, "ns", source));
    let (theirs, ours) = (of(pid)?, of(rustix::process::getpid())?);
    let shared =
        |inode| if ours.namespaces.contains_key(&inode) { Shared::WithHost } else { Shared::Own(inode) };
    let mut namespaces: Vec<_> =
        theirs.namespaces.values().map(|namespace| (namespace.kind, shared(namespace.inode))).collect();
    namespaces.sort_by_key(|(kind, _)| *kind);
    Ok(namespaces)
}

fn label(pid: Pid) -> Option<String> {
    let text = process::read_file(pid, "attr/current").ok()?;
    let label = text.trim_ascii_end().strip_suffix(b"\0").unwrap_or(text.trim_ascii_end());
    (!label.is_empty()).then(|| printable(label))
}

fn is_root_read_only(pid: Pid) -> bool {
    let flags = rustix::fs::statvfs(format!("/proc/{pid}/root")).map(|stat| stat.f_flag);
    flags.is_ok_and(|flags| flags.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// What runtimes cover in /proc and /sys, so that it can't be read or written.
fn masked(mounts: &Mounts) -> Vec<String> {
    let covers = |target: &str| {
        ["/proc/", "/sys/"].iter().any(|tree| target.starts_with(tree))
            && !target.starts_with("/sys/fs/cgroup")
    };
    let covered = mounts.mounts.iter().filter(|entry| covers(&entry.target));
    let hiding =
        covered.filter(|entry| ["tmpfs", "devtmpfs", "proc", "sysfs"].contains(&entry.fstype.as_str()));
    hiding.map(|entry| entry.target.clone()).collect()
}
