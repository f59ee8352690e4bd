//! `ns new`: runs a program in new namespaces, as unshare(1) does.
//!
//! What must be done from outside (id maps beyond one's own id, keeping a namespace by a mount) is done by an
//! assistant, forked before anything changes:
//! ```text
//! caller                         assistant
//!   fork  ------------------------> waits
//!   unshare
//!   "Map"  -----------------------> writes uid_map and gid_map
//!          <----------------------- done, or ends with its error
//!   fork, where asked
//!   "Keep" -----------------------> mounts the namespace files
//!          <----------------------- done
//!   mounts, root, credentials, exec
//! ```

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use namespace::{Kind, Offset, TimeOffsets, WriteError};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::{Pid, Signal};
use sys::process::NamespaceFlags;

use super::assistant::{Assistant, AssistantError, Task, Tasks};
use super::maps::{self, Mapping};
use crate::credentials::{self, Credentials, CredentialsError};
use crate::launch::{self, Ending, ExecError, Side};

/// What to make, and what to run there. The fields are unshare's options.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Request {
    /// The types, and the files to keep them by.
    pub namespaces: Vec<(Kind, Option<PathBuf>)>,
    pub fork: bool,
    pub map: Mapping,
    /// What becomes of setgroups(2) in the user namespace: allowed, denied, or as the maps need it.
    pub setgroups: Option<bool>,
    /// Which signal the child gets when this process dies.
    pub kill_child: Option<Signal>,
    /// Where to mount a new /proc.
    pub mount_proc: Option<PathBuf>,
    pub propagation: Propagation,
    pub keep_capabilities: bool,
    pub root: Option<PathBuf>,
    pub working_directory: Option<PathBuf>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// Seconds.
    pub monotonic: Option<i64>,
    /// Seconds.
    pub boottime: Option<i64>,
    pub command: Vec<OsString>,
}

/// What becomes of the propagation of all mounts in a new mount namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum Propagation {
    #[default]
    Private,
    Shared,
    Slave,
    Unchanged,
}

/// Why nothing was run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum NewError {
    #[error("--setgroups=allow does not go with mapping one's own group: the kernel demands deny for that")]
    SetgroupsAllowed,
    #[error("a pid namespace is kept by its first process: add --fork")]
    KeepPidWithoutFork,
    #[error("--monotonic and --boottime are for a new time namespace: add --time")]
    OffsetsWithoutTime,
    #[error(transparent)]
    Maps(#[from] maps::MapsError),
    #[error("make new namespaces ({kinds}): {source}{}", maps::unshare_hint(source))]
    Unshare { kinds: String, source: io::Error },
    #[error(transparent)]
    Assistant(#[from] AssistantError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("{operation} {}: {source}", path.display())]
    Step { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("fork or wait: {0}")]
    Fork(#[source] io::Error),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    // Not transparent: whoever looks for the exit status finds it among the sources.
    #[error("{0}")]
    Exec(#[from] ExecError),
}

/// Makes the namespaces and runs. Returns only what became of a child; without a fork the caller itself becomes
/// the program.
pub fn new(request: &Request) -> Result<Ending, NewError> {
    request.validate()?;
    let maps = request.map.resolve(request.setgroups)?;
    let kinds = request.kinds(maps.is_some());
    let keep = request.namespaces.iter().filter_map(|(kind, file)| Some((*kind, file.clone()?))).collect();
    let tasks = Tasks { maps, keep };

    let mut assistant = if tasks.is_empty() { None } else { Some(Assistant::start(tasks)?) };
    unshare(&kinds)?;
    if let Some(assistant) = &mut assistant {
        assistant.ask(Task::Map)?;
    }
    request.set_clocks()?;

    if request.fork || request.kill_child.is_some() {
        let parent = rustix::process::getpid();
        if let Side::Parent(child) = launch::fork().map_err(NewError::Fork)? {
            keep_namespaces(assistant)?;
            return launch::wait(child).map_err(NewError::Fork);
        }
        drop(assistant);
        request.die_with(parent)?;
    } else {
        keep_namespaces(assistant)?;
    }
    request.settle(&kinds)?;
    Err(launch::exec(&request.command, None).into())
}

fn keep_namespaces(assistant: Option<Assistant>) -> Result<(), NewError> {
    Ok(assistant.map_or(Ok(()), |mut assistant| assistant.ask(Task::Keep))?)
}

fn unshare(kinds: &[Kind]) -> Result<(), NewError> {
    let flags = kinds.iter().fold(NamespaceFlags::empty(), |flags, kind| {
        flags | NamespaceFlags::from_bits_truncate(kind.clone_flag().cast_signed())
    });
    sys::process::unshare(flags).map_err(|source| {
        let kinds: Vec<_> = kinds.iter().map(|kind| kind.proc_name()).collect();
        NewError::Unshare { kinds: kinds.join(", "), source }
    })
}

impl Request {
    fn validate(&self) -> Result<(), NewError> {
        let keeps_pid = self.namespaces.iter().any(|(kind, file)| *kind == Kind::Pid && file.is_some());
        let has_time = self.namespaces.iter().any(|(kind, _)| *kind == Kind::Time);
        if self.setgroups == Some(true) && self.map.maps_own_group() {
            Err(NewError::SetgroupsAllowed)
        } else if keeps_pid && !self.fork && self.kill_child.is_none() {
            Err(NewError::KeepPidWithoutFork)
        } else if !has_time && (self.monotonic.is_some() || self.boottime.is_some()) {
            Err(NewError::OffsetsWithoutTime)
        } else {
            Ok(())
        }
    }

    /// The types asked for, and those that other options imply.
    fn kinds(&self, mapped: bool) -> Vec<Kind> {
        let asked = |kind| self.namespaces.iter().any(|(asked, _)| *asked == kind);
        let implied = |kind| match kind {
            Kind::User => mapped,
            Kind::Mount => self.mount_proc.is_some(),
            _ => false,
        };
        Kind::ALL.into_iter().filter(|&kind| asked(kind) || implied(kind)).collect()
    }

    fn set_clocks(&self) -> Result<(), NewError> {
        let offset = |seconds: Option<i64>| seconds.map(|seconds| Offset { seconds, nanoseconds: 0 });
        let offsets = TimeOffsets { monotonic: offset(self.monotonic), boottime: offset(self.boottime) };
        if offsets == TimeOffsets::default() {
            return Ok(());
        }
        Ok(namespace::write_time_offsets(rustix::process::getpid(), &offsets)?)
    }

    fn die_with(&self, parent: Pid) -> Result<(), NewError> {
        let Some(signal) = self.kill_child else { return Ok(()) };
        rustix::process::set_parent_process_death_signal(Some(signal))
            .map_err(|errno| NewError::Fork(errno.into()))?;
        // The parent may have died before the signal was arranged. In a new pid namespace it has no number.
        match rustix::process::getppid() {
            Some(now) if now != parent => std::process::exit(1),
            _ => Ok(()),
        }
    }

    /// What the program finds: mounts, root, directory, credentials.
    fn settle(&self, kinds: &[Kind]) -> Result<(), NewError> {
        if kinds.contains(&Kind::Mount) {
            self.propagation.apply()?;
        }
        if let Some(root) = &self.root {
            rustix::process::chroot(root)
                .map_err(|errno| step("change the root directory to", root, errno))?;
            std::env::set_current_dir("/").map_err(|source| io_step("change to", Path::new("/"), source))?;
        }
        if let Some(directory) = &self.working_directory {
            std::env::set_current_dir(directory).map_err(|source| io_step("change to", directory, source))?;
        }
        if let Some(directory) = &self.mount_proc {
            let flags = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
            rustix::mount::mount("proc", directory, "proc", flags, None)
                .map_err(|errno| step("mount a new proc file system on", directory, errno))?;
        }
        Credentials { uid: self.uid, gid: self.gid }.apply()?;
        if self.keep_capabilities && kinds.contains(&Kind::User) {
            credentials::keep_capabilities()?;
        }
        Ok(())
    }
}

impl Propagation {
    fn apply(self) -> Result<(), NewError> {
        let change = match self {
            Self::Private => MountPropagationFlags::PRIVATE,
            Self::Shared => MountPropagationFlags::SHARED,
            Self::Slave => MountPropagationFlags::DOWNSTREAM,
            Self::Unchanged => return Ok(()),
        };
        rustix::mount::mount_change("/", change | MountPropagationFlags::REC)
            .map_err(|errno| step("change the propagation of all mounts below", Path::new("/"), errno))
    }
}

fn step(operation: &'static str, path: &Path, errno: rustix::io::Errno) -> NewError {
    io_step(operation, path, errno.into())
}

fn io_step(operation: &'static str, path: &Path, source: io::Error) -> NewError {
    NewError::Step { operation, path: path.to_owned(), source }
}
