//! Freezing and thawing.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;

use crate::dir::{Dir, read_to_end};
use crate::group::Group;
use crate::{Controller, Error};

/// How long a group may take to freeze: a process in the depth of the kernel freezes when it leaves it.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Group {
    /// Stops all processes of the group and returns when they stand still. If they don't in time, they run on.
    pub fn freeze(&self) -> Result<(), Error> {
        let done = if self.is_unified() {
            let dir = self.unified_dir().ok_or(Error::NoFreezer)??;
            dir.write("cgroup.freeze", "1").and_then(|()| await_frozen(&dir))
        } else {
            freeze_legacy(&self.legacy_dir(Controller::Freezer).ok_or(Error::NoFreezer)??)
        };
        if done.is_err() {
            let _ = self.thaw();
        }
        done
    }

    /// Lets them run again.
    pub fn thaw(&self) -> Result<(), Error> {
        if self.is_unified() {
            self.unified_dir().ok_or(Error::NoFreezer)??.write("cgroup.freeze", "0")
        } else {
            let dir = self.legacy_dir(Controller::Freezer).ok_or(Error::NoFreezer)??;
            dir.write("freezer.state", "THAWED")
        }
    }

    /// Whether the group itself is frozen, not just a group above it. A group that does not exist is not.
    pub fn is_frozen(&self) -> Result<bool, Error> {
        let (dir, file) = if self.is_unified() {
            (self.unified_dir(), "cgroup.freeze")
        } else {
            (self.legacy_dir(Controller::Freezer), "freezer.self_freezing")
        };
        match dir.map(|dir| dir?.read(file)) {
            Some(Ok(state)) => Ok(state.trim() == "1"),
            Some(Err(e)) if !e.is_gone() => Err(e),
            _ => Ok(false),
        }
    }
}

/// v2 tells by an event when the last process has stopped.
fn await_frozen(dir: &Dir) -> Result<(), Error> {
    let deadline = Instant::now() + TIMEOUT;
    let events = dir.file("cgroup.events", OFlags::RDONLY)?;
    loop {
        let content =
            read_to_end(events.as_fd()).map_err(|e| Error::io("read the events of", dir.path(), e))?;
        if content.lines().any(|line| line == "frozen 1") {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(timeout(dir));
        }
        let timespec = rustix::event::Timespec::try_from(left).ok();
        let mut fds = [PollFd::new(&events, PollFlags::PRI)];
        poll(&mut fds, timespec.as_ref()).map_err(|e| Error::io("wait for events of", dir.path(), e))?;
        rustix::fs::seek(&events, rustix::fs::SeekFrom::Start(0))
            .map_err(|e| Error::io("rewind the events of", dir.path(), e))?;
    }
}

/// v1 can get stuck in FREEZING while processes come and go: writing FROZEN again, and now and then letting
/// go for a moment, is what helps (runc's experience; the kernel's documentation asks for the retry).
fn freeze_legacy(dir: &Dir) -> Result<(), Error> {
    const FILE: &str = "freezer.state";
    let deadline = Instant::now() + TIMEOUT;
    for attempt in 1u32.. {
        dir.write(FILE, "FROZEN")?;
        match dir.read(FILE)?.trim() {
            "FROZEN" => return Ok(()),
            "FREEZING" if Instant::now() >= deadline => break,
            "FREEZING" => {}
            other => return Err(Error::Malformed { path: dir.path().join(FILE), reason: other.to_owned() }),
        }
        if attempt.is_multiple_of(50) {
            dir.write(FILE, "THAWED")?;
            std::thread::sleep(Duration::from_millis(10));
        } else if attempt.is_multiple_of(10) {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    Err(timeout(dir))
}

fn timeout(dir: &Dir) -> Error {
    Error::FreezeTimeout { path: dir.path().to_owned(), seconds: TIMEOUT.as_secs() }
}
