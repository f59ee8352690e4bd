//! Reading the log, and waiting for more of it: inotify(7) on its directory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use super::{Event, EventQuery, Events};
use crate::clock;
use crate::error::{Error, Result};
use crate::record::make_directory;

/// A reader of all files, each from where it last came to.
pub(crate) struct Follower {
    events: Events,
    watch: OwnedFd,
    /// By inode number: a renamed file is the same.
    files: BTreeMap<u64, Reading>,
    began: i64,
}

struct Reading {
    file: File,
    /// The beginning of a line whose end is not there yet.
    cut: Vec<u8>,
}

impl Follower {
    /// Begins to watch before anything is read, so that nothing falls in between.
    pub fn new(events: &Events) -> Result<Follower> {
        make_directory(&events.directory, 0o700)?;
        let fail = |errno: Errno| Error::io("watch", &events.directory, errno);
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(fail)?;
        let what = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
        inotify::add_watch(&watch, &events.directory, what).map_err(fail)?;
        Ok(Follower { events: events.clone(), watch, files: BTreeMap::new(), began: clock::now() })
    }

    /// Reads what there is and what comes.
    pub fn run(mut self, query: &EventQuery, sink: &mut dyn FnMut(&Event) -> ControlFlow<()>) -> Result<()> {
        // Without a beginning, what was there before is of no interest.
        self.open_new(query.since.is_some())?;
        loop {
            for event in self.read()?.iter().filter(|event| query.wants(event)) {
                if sink(event).is_break() {
                    return Ok(());
                }
            }
            if !self.wait(query.until)? {
                return Ok(());
            }
            self.open_new(true)?;
        }
    }

    pub fn open_new(&mut self, from_start: bool) -> Result<()> {
        for path in self.events.files()? {
            // Removed or renamed meanwhile: then it is known, or too old.
            let Ok(mut file) = File::open(&path) else { continue };
            let inode = file.metadata().map_err(|error| Error::io("stat", &path, error))?.ino();
            if self.files.contains_key(&inode) {
                continue;
            }
            if !from_start {
                file.seek(SeekFrom::End(0)).map_err(|error| Error::io("seek in", &path, error))?;
            }
            self.files.insert(inode, Reading { file, cut: Vec::new() });
        }
        Ok(())
    }

    /// What has come since the last look, in order.
    pub fn read(&mut self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        for reading in self.files.values_mut() {
            let fail = |error| Error::io("read", &self.events.directory, error);
            reading.file.read_to_end(&mut reading.cut).map_err(fail)?;
            let whole = reading.cut.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
            let rest = reading.cut.split_off(whole);
            let lines = reading.cut.split(|byte| *byte == b'\n');
            events.extend(lines.filter_map(|line| serde_json::from_slice::<Event>(line).ok()));
            reading.cut = rest;
        }
        events.sort_by_key(|event| event.time_nano);
        Ok(events)
    }

    /// Waits for more, or for the end of a process.
    pub fn wait_or(&mut self, process: Option<&OwnedFd>) -> Result<()> {
        let watch = PollFd::from_borrowed_fd(self.watch.as_fd(), PollFlags::IN);
        let process = process.map(|process| PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN));
        let mut fds: Vec<PollFd<'_>> = std::iter::once(watch).chain(process).collect();
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::io("wait for", &self.events.directory, errno)),
        }
        self.take_news();
        self.open_new(true)
    }

    fn take_news(&self) {
        let mut news = [0; 4096];
        while rustix::io::read(&self.watch, &mut news).is_ok_and(|n| n > 0) {}
    }

    /// Waits for more; false when `until` has come.
    fn wait(&self, until: Option<i64>) -> Result<bool> {
        let timeout = match until {
            // What was asked for lies in the past.
            Some(until) if until <= self.began => return Ok(false),
            Some(until) => {
                let left = until.saturating_sub(clock::now());
                if left <= 0 {
                    return Ok(false);
                }
                Some(Timespec { tv_sec: left / 1_000_000_000, tv_nsec: left % 1_000_000_000 })
            }
            None => None,
        };
        let mut fds = [PollFd::from_borrowed_fd(self.watch.as_fd(), PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::io("wait for", &self.events.directory, errno)),
        }
        self.take_news();
        Ok(true)
    }
}
