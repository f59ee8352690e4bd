//! Out of memory: how often it was, and when it is.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::OFlags;

use crate::dir::{Dir, read_to_end};
use crate::group::Group;
use crate::{Controller, Error};

/// Tells when a group runs out of memory.
#[derive(Debug)]
pub struct OomEvents {
    dir: Dir,
    file: &'static str,
    /// v2: the events file itself; v1: an eventfd bound to it.
    notifier: OwnedFd,
    wanted: PollFlags,
}

impl Group {
    /// How many processes of the group the kernel has killed for want of memory. 0 if memory is not limited
    /// by this group or the group is gone.
    pub fn oom_kills(&self) -> Result<u64, Error> {
        match self.memory_events() {
            None => Ok(0),
            Some((dir, file)) => match dir.and_then(|dir| count(&dir, file)) {
                Err(e) if e.is_gone() => Ok(0),
                done => done,
            },
        }
    }

    /// Watches for lack of memory. `None` if the group has no memory controller.
    pub fn oom_events(&self) -> Result<Option<OomEvents>, Error> {
        let Some((dir, file)) = self.memory_events() else { return Ok(None) };
        let dir = dir?;
        let events = match dir.file(file, OFlags::RDONLY) {
            Err(e) if e.is_gone() => return Ok(None),
            events => events?,
        };
        if self.is_unified() {
            return Ok(Some(OomEvents { dir, file, notifier: events, wanted: PollFlags::PRI }));
        }
        let notifier = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|e| Error::io("create an eventfd for", dir.path(), e))?;
        // admin-guide/cgroup-v1/memory.rst, section 10.
        let binding = format!("{} {}", notifier.as_raw_fd(), events.as_raw_fd());
        dir.write("cgroup.event_control", &binding)?;
        Ok(Some(OomEvents { dir, file, notifier, wanted: PollFlags::IN }))
    }

    fn memory_events(&self) -> Option<(Result<Dir, Error>, &'static str)> {
        if self.is_unified() {
            Some((self.unified_dir()?, "memory.events"))
        } else {
            Some((self.legacy_dir(Controller::Memory)?, "memory.oom_control"))
        }
    }
}

impl OomEvents {
    /// What to poll for, with [`wanted`](Self::wanted).
    pub fn wanted(&self) -> PollFlags {
        self.wanted
    }

    /// The number of processes killed so far. Also makes the descriptor ready to report the next event.
    pub fn kills(&self) -> Result<u64, Error> {
        if self.wanted == PollFlags::IN {
            // EAGAIN when there was no event.
            let _ = rustix::io::read(&self.notifier, &mut [0; 8]);
            return count(&self.dir, self.file);
        }
        let read = || {
            rustix::fs::seek(&self.notifier, rustix::fs::SeekFrom::Start(0))?;
            read_to_end(self.notifier.as_fd())
        };
        let content = read().map_err(|e| Error::io("read", &self.dir.path().join(self.file), e))?;
        Ok(kills(&content))
    }

    /// Waits until something happens, at most `timeout`; `false` if nothing has.
    pub fn wait(&self, timeout: std::time::Duration) -> Result<bool, Error> {
        let timespec = rustix::event::Timespec::try_from(timeout).ok();
        let mut fds = [PollFd::new(&self.notifier, self.wanted)];
        let ready = rustix::io::retry_on_intr(|| poll(&mut fds, timespec.as_ref()));
        ready.map(|count| count > 0).map_err(|e| Error::io("wait for events of", self.dir.path(), e))
    }
}

impl AsFd for OomEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notifier.as_fd()
    }
}

fn count(dir: &Dir, file: &str) -> Result<u64, Error> {
    dir.read(file).map(|content| kills(&content))
}

fn kills(events: &str) -> u64 {
    let line = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}
