//! A container whose processes are observed, because somebody asked for it: by a process beside its monitor.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci::spec::Spec;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use sys::process::{CloneFlags, Cloned};

use crate::config::Observe;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// What was observed, in the container's directory.
const RECORD: &str = "observed.jsonl";

impl Engine {
    /// The file with what was observed of a container, which outlives its removal. A shared flock on it waits for the end
    /// of a run. None where it was never made.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn observed(&self, container: &Container) -> Result<Option<File>> {
        let path = self.paths().container(&container.id).join(RECORD);
        let make = container.asked.host_config.observe.is_some();
        match open(&path, make) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            opened => opened.map(Some).map_err(|error| Error::io("open", path, error)),
        }
    }

    /// Begins to observe a container that becomes one: it does not run before nothing can be missed.
    pub(crate) fn start_observer(&self, id: &str, wanted: Observe, first: Pid, spec: Spec) -> Result<()> {
        let path = self.paths().container(id).join(RECORD);
        let record = open(&path, true).map_err(|error| Error::io("open", &path, error))?;
        // Held by whoever observed the run before until all of that is written.
        rustix::io::retry_on_intr(|| flock(&record, FlockOperation::LockExclusive))
            .map_err(|errno| Error::io("lock", &path, errno))?;
        let fail = |error| Error::io("observe", "the container's processes", error);
        let (answers, answer) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| fail(errno.into()))?;
        match sys::process::clone(CloneFlags::empty(), None).map_err(fail)? {
            Cloned::Child => observe(first, wanted, spec, record, answer),
            Cloned::Parent { .. } => drop(answer),
        }
        let mut reply = [0; 4];
        let length = rustix::io::retry_on_intr(|| rustix::io::read(&answers, &mut reply));
        match (length, i32::from_ne_bytes(reply)) {
            (Ok(4), 0) => Ok(()),
            (Ok(4), errno) => Err(fail(std::io::Error::from_raw_os_error(errno))),
            _ => Err(fail(std::io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

fn open(path: &Path, make: bool) -> std::io::Result<File> {
    let mut flags = OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    flags.set(OFlags::CREATE, make);
    Ok(File::from(rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?))
}

/// The observer's process. Nothing else of its parent's is its own, least of all the locks.
fn observe(first: Pid, wanted: Observe, spec: Spec, record: File, answer: OwnedFd) -> ! {
    let _ = sys::process::close_from_but(3, &[record.as_fd(), answer.as_fd()]);
    let _ = rustix::thread::set_name(c"berth-observer");
    let tell = |errno: i32| {
        // Nobody reads where the monitor was killed.
        let _ = rustix::io::write(&answer, &errno.to_ne_bytes());
    };
    let wanted = match wanted {
        Observe::Denials => ::observe::Wanted::Denials,
        Observe::Needs => ::observe::Wanted::Needs,
    };
    let container = ::observe::Container::new(spec);
    let observed = ::observe::observe(first, container, wanted, record, || tell(0));
    // After the first answer nobody reads a second.
    let errno = observed.as_ref().err().map_or(0, |error| error.raw_os_error().unwrap_or(libc::EIO));
    tell(errno);
    sys::process::exit_now(i32::from(errno != 0))
}
