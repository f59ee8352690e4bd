//! A process that stays in the old namespaces and does there what the caller can't do any more.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use namespace::{IdKind, Kind, WriteError};
use rustix::process::Pid;

use super::maps::{Maps, Writer};
use crate::launch::{self, Side};

/// The assistant, seen from the caller. It ends when this is dropped.
#[derive(Debug)]
pub struct Assistant {
    process: Pid,
    stream: Option<UnixStream>,
}

/// What the assistant does when it is asked; it has everything it needs since it was forked.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    /// The maps to write for the caller's new user namespace.
    pub maps: Option<Maps>,
    /// The caller's new namespaces to mount, and where.
    pub keep: Vec<(Kind, PathBuf)>,
}

impl Tasks {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.maps.is_none() && self.keep.is_empty()
    }
}

/// Which of the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Task {
    /// Write the maps.
    Map = b'm',
    /// Mount the namespaces.
    Keep = b'k',
}

/// Why the assistant failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum AssistantError {
    #[error("talk to a process outside of the new namespaces: {0}")]
    Talk(#[source] io::Error),
    #[error("{0}")]
    Failed(String),
}

#[derive(Debug, thiserror::Error)]
enum TaskError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("keep the {kind} namespace by a mount on {}: {source}{}", path.display(), keep_hint(*kind, source))]
    Keep { kind: Kind, path: PathBuf, source: io::Error },
}

fn keep_hint(kind: Kind, error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; the file must exist",
        // fs/namespace.c, mount_ns_file and check for loops: it must not propagate into itself.
        io::ErrorKind::InvalidInput if kind == Kind::Mount => {
            "; the file must lie on a mount that is private"
        }
        _ => "",
    }
}

const DONE: u8 = 0;

impl Assistant {
    /// Forks it.
    pub fn start(tasks: Tasks) -> Result<Self, AssistantError> {
        let (ours, theirs) = UnixStream::pair().map_err(AssistantError::Talk)?;
        let caller = rustix::process::getpid();
        match launch::fork().map_err(AssistantError::Talk)? {
            Side::Parent(process) => Ok(Self { process, stream: Some(ours) }),
            Side::Child => {
                drop(ours);
                serve(theirs, caller, &tasks);
                std::process::exit(0);
            }
        }
    }

    /// Has a task done.
    pub fn ask(&mut self, task: Task) -> Result<(), AssistantError> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let mut answer = [0; 1];
        stream
            .write_all(&[task as u8])
            .and_then(|()| stream.read_exact(&mut answer))
            .map_err(AssistantError::Talk)?;
        if answer == [DONE] {
            return Ok(());
        }
        let mut message = answer.to_vec();
        stream.read_to_end(&mut message).map_err(AssistantError::Talk)?;
        Err(AssistantError::Failed(String::from_utf8_lossy(&message).into_owned()))
    }
}

impl Drop for Assistant {
    fn drop(&mut self) {
        self.stream = None;
        // In a child of the caller this is nobody's child, and nothing to wait for.
        let _ = launch::wait(self.process);
    }
}

/// The assistant's life: until the caller hangs up or a task fails.
fn serve(mut stream: UnixStream, caller: Pid, tasks: &Tasks) {
    let mut request = [0; 1];
    while stream.read_exact(&mut request).is_ok() {
        let outcome = match request {
            [b'm'] => tasks.maps.as_ref().map_or(Ok(()), |maps| write_maps(caller, maps)),
            _ => tasks.keep.iter().try_for_each(|(kind, path)| keep(caller, *kind, path)),
        };
        let answer = outcome.map_or_else(|error| error.to_string().into_bytes(), |()| vec![DONE]);
        if stream.write_all(&answer).is_err() || answer != [DONE] {
            return;
        }
    }
}

fn write_maps(pid: Pid, maps: &Maps) -> Result<(), TaskError> {
    if maps.deny_setgroups {
        namespace::deny_setgroups(pid)?;
    }
    for (kind, map) in [(IdKind::User, &maps.users), (IdKind::Group, &maps.groups)] {
        match map {
            Some((map, Writer::Own)) => namespace::write_map(pid, kind, map)?,
            Some((map, Writer::SetUserId)) => namespace::write_map_with_helper(pid, kind, map)?,
            None => {}
        }
    }
    Ok(())
}

fn keep(pid: Pid, kind: Kind, path: &Path) -> Result<(), TaskError> {
    // unshare(2) gives these two to the children, not to the caller.
    let suffix = if matches!(kind, Kind::Pid | Kind::Time) { "_for_children" } else { "" };
    rustix::mount::mount_bind(format!("/proc/{pid}/ns/{kind}{suffix}"), path)
        .map_err(|errno| TaskError::Keep { kind, path: path.to_owned(), source: errno.into() })
}
