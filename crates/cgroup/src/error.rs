use std::io;
use std::path::{Path, PathBuf};

use crate::Controller;
use crate::systemd::BusError;

/// Why an operation on a control group failed. The text says all: there is no chain of sources behind it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call on a file or directory of the hierarchy failed.
    #[error("{operation} {}: {}", path.display(), words(cause))]
    Io {
        /// What was tried, as in `open` or `write "max" to`.
        operation: String,
        /// The file or directory.
        path: PathBuf,
        /// The errno.
        cause: io::Error,
    },
    /// `linux.cgroupsPath` cannot name a group.
    #[error("linux.cgroupsPath {path:?}: {reason}")]
    InvalidPath {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A path below the container's group is no such path.
    #[error("bad sub cgroup path: {0:?}")]
    InvalidSubPath(String),
    /// A path below the container's group for a controller that the host does not have.
    #[error("unknown controller {0}: the host has none of that name (see /proc/cgroups)")]
    UnknownController(String),
    /// A limit whose value no kernel takes, or that this layout of the host has no place for.
    #[error("invalid configuration: linux.resources.{field}: {reason}")]
    InvalidLimit {
        /// Path of the field below `linux.resources`.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing is mounted where control groups are expected.
    #[error("no cgroup file system is mounted at {}", .0.display())]
    NotMounted(PathBuf),
    /// The systemd driver was asked for where systemd cannot be reached.
    #[error("systemd cgroup driver: systemd is not running on this host; use cgroupfs")]
    NoSystemd,
    /// A conversation with systemd failed.
    #[error("{operation}: {cause}")]
    Systemd {
        /// What was asked for.
        operation: String,
        /// The cause.
        cause: BusError,
    },
    /// A job of systemd did not end well.
    #[error("systemd could not {operation} unit {unit}: {result}; see journalctl -u {unit}")]
    Job {
        /// `start` or `stop`.
        operation: &'static str,
        /// The unit.
        unit: String,
        /// systemd's word for the result, as `failed` or `timeout`.
        result: String,
    },
    /// systemd makes a scope only around a process.
    #[error("systemd makes no scope without a process")]
    NoProcess,
    /// An annotation `org.systemd.property.*` is none.
    #[error("annotation {key}: {reason}")]
    InvalidAnnotation {
        /// Key of the annotation.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The combination is not to be had.
    #[error("cannot use rootless systemd cgroups on cgroup v1")]
    RootlessSystemdLegacy,
    /// A controller that this container cannot do without has no hierarchy.
    #[error("mountpoint for {0} not found: containers are not confined without it; mount the v1 hierarchy")]
    NoHierarchy(Controller),
    /// A limit was asked for, but its controller is not at hand.
    #[error("cannot set {controller} limit: container could not join or create cgroup: {reason}")]
    Unavailable {
        /// The controller.
        controller: Controller,
        /// Why it is not at hand.
        reason: String,
    },
    /// The group exists and has processes.
    #[error(
        "container's cgroup is not empty: {} process(es) found in {}; choose another linux.cgroupsPath",
        pids.len(), path.display()
    )]
    NotEmpty {
        /// Directory of the group.
        path: PathBuf,
        /// Its processes.
        pids: Vec<u32>,
    },
    /// The group still has processes.
    #[error("cannot remove {}: still in use by {}", path.display(), processes(pids))]
    Busy {
        /// Directory of the group.
        path: PathBuf,
        /// Its processes.
        pids: Vec<u32>,
    },
    /// The group exists and is frozen.
    #[error("container's cgroup unexpectedly frozen: {}; thaw or remove it", .0.display())]
    Frozen(PathBuf),
    /// The group has no freezer.
    #[error("cannot toggle freezer: cgroups not configured for container")]
    NoFreezer,
    /// Freezing did not settle in time.
    #[error("unable to freeze {}: still freezing after {seconds} s", path.display())]
    FreezeTimeout {
        /// Directory of the group.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// A new limit lies below what is used now.
    #[error("rejecting {what} limit {limit} <= usage {usage}")]
    BelowUsage {
        /// `memory` or `memory+swap`.
        what: &'static str,
        /// The limit in bytes.
        limit: u64,
        /// The usage in bytes.
        usage: u64,
    },
    /// The kernel could not reclaim enough for a new limit.
    #[error("unable to set memory limit to {limit} (current usage: {usage}, peak usage: {peak})")]
    MemoryBusy {
        /// The limit in bytes.
        limit: String,
        /// Usage in bytes.
        usage: String,
        /// Peak usage in bytes.
        peak: String,
    },
    /// Killing or removing this group would hit ourselves or the host.
    #[error("refusing to {operation} {}: {reason}", path.display())]
    Refused {
        /// `kill` or `remove`.
        operation: &'static str,
        /// Directory of the group.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// No permission to create the group of a rootless container that has limits.
    #[error("rootless needs no limits + no cgrouppath when no permission is granted for cgroups: {0}")]
    Rootless(Box<Error>),
    /// A file of the hierarchy has a content that this code does not know.
    #[error("unable to parse {}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
}

impl Error {
    pub(crate) fn io(operation: impl Into<String>, path: &Path, cause: impl Into<io::Error>) -> Self {
        Self::Io { operation: operation.into(), path: path.to_owned(), cause: cause.into() }
    }

    /// The errno of a failed system call.
    pub fn errno(&self) -> Option<rustix::io::Errno> {
        match self {
            Self::Io { cause, .. } => rustix::io::Errno::from_io_error(cause),
            _ => None,
        }
    }

    /// The file or directory is not there, or no longer: cgroup files of a removed group give `ENODEV`.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.errno(), Some(rustix::io::Errno::NOENT | rustix::io::Errno::NODEV))
    }

    /// A lack of permission; a read-only mount is one for somebody without privileges.
    pub(crate) fn is_permission(&self) -> bool {
        use rustix::io::Errno;
        matches!(self.errno(), Some(Errno::ACCESS | Errno::PERM | Errno::ROFS))
    }
}

fn processes(pids: &[u32]) -> String {
    let some: Vec<_> = pids.iter().take(5).map(u32::to_string).collect();
    match pids.len() {
        0 => "processes outside of this pid namespace".to_owned(),
        count => format!(
            "{count} process(es), with pids {}{}",
            some.join(", "),
            if count > 5 { ", …" } else { "" }
        ),
    }
}

/// The errno's text as runc words it, which callers match on: lower case, without the number.
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_read_like_runcs() {
        let error = Error::io("open", Path::new("/sys/fs/cgroup/x"), rustix::io::Errno::ACCESS);
        assert_eq!(error.to_string(), "open /sys/fs/cgroup/x: permission denied");
        assert!(error.is_permission() && !error.is_gone());
    }
}
