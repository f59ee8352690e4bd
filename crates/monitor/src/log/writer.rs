//! What a monitor writes to, whatever the driver.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use runtime::Result;
use runtime::failure::OrFail;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::journald::{self, Journal};
use super::json::JsonWriter;
use super::lines::Line;
use super::local::LocalWriter;
use super::{Config, Driver, time};
use crate::stdio::Stream;

/// What a writer must know to go on within a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    within_line: [bool; 2],
    lines: [Line; 2],
}

/// A container's log, to be written by its monitor alone.
///
/// A log that can't be written does not end a payload, nor make it wait: what could not be written is lost, and said
/// so in the log once it can.
#[derive(Debug)]
pub struct Writer {
    driver: Open,
    lost: u64,
    cause: Option<io::Error>,
    may_splice: bool,
}

#[derive(Debug)]
enum Open {
    Local(LocalWriter),
    Json(JsonWriter),
    Journal(Journal),
    None,
}

impl Writer {
    /// Opens the log, and repairs what a writer that was killed left. `now` counts as [`crate::attend::now`] does.
    ///
    /// # Errors
    /// Where there is no journal, or a file can't be made.
    pub fn open(config: &Config, begun: Begun, now: Duration) -> Result<Self> {
        let object = || format!("log {} of {}", config.driver, config.name);
        let driver = match config.driver {
            Driver::Local => LocalWriter::open(config, begun.within_line, now).map(Open::Local),
            Driver::JsonFile => JsonWriter::open(config, begun.lines, now).map(Open::Json),
            Driver::Journald => {
                let journal = Journal::open(Path::new(journald::SOCKET), config, begun.lines);
                let journal = journal.or_fail("connect to", journald::SOCKET).map_err(|failure| {
                    failure.hint("log driver journald needs a running systemd-journald")
                })?;
                Ok(Open::Journal(journal))
            }
            Driver::None => Ok(Open::None),
        };
        let driver = driver.or_fail("open", object())?;
        let may_splice = matches!(driver, Open::Local(_));
        Ok(Self { driver, lost: 0, cause: None, may_splice })
    }

    /// A log that could not be opened again: what is written is lost, and is not said to be.
    pub(crate) fn closed(_: runtime::Failure) -> Self {
        Self { driver: Open::None, lost: 0, cause: None, may_splice: false }
    }

    /// Whether nothing waits that another writer would not know of.
    pub(crate) fn may_be_left(&self) -> bool {
        self.blocked().is_none() && self.due().is_none()
    }

    /// Adds what the payload wrote.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let at = time::now();
        self.tell_loss(at);
        if let Err(error) = self.put(stream, at, bytes) {
            self.lost += bytes.len() as u64;
            self.cause = Some(error);
        }
    }

    fn put(&mut self, stream: Stream, at: i64, bytes: &[u8]) -> io::Result<()> {
        match &mut self.driver {
            Open::Local(local) => local.write(stream, at, bytes),
            Open::Json(json) => json.write(stream, at, bytes),
            Open::Journal(journal) => journal.write(stream, bytes),
            Open::None => Ok(()),
        }
    }

    fn tell_loss(&mut self, at: i64) {
        let Some(cause) = &self.cause else { return };
        let notice = format!("[berth: up to {} bytes of output were not logged: {cause}]\n", self.lost);
        if self.put(Stream::Stderr, at, notice.as_bytes()).is_ok() {
            (self.lost, self.cause) = (0, None);
        }
    }

    /// Adds up to `waiting` bytes that wait in a pipe, without looking at them, where the driver can. Gives how many
    /// were taken; after 0 the caller is to read and [`write`](Self::write) them.
    pub fn splice(&mut self, stream: Stream, pipe: BorrowedFd<'_>, waiting: usize) -> usize {
        let Open::Local(local) = &mut self.driver else { return 0 };
        if !self.may_splice || self.cause.is_some() {
            return 0;
        }
        match local.splice(stream, time::now(), pipe, waiting) {
            Ok(taken) => taken,
            Err(error) => {
                // Not every file system can.
                self.may_splice = error.kind() != io::ErrorKind::InvalidInput;
                0
            }
        }
    }

    /// Whether [`splice`](Self::splice) may take something.
    pub fn may_splice(&self) -> bool {
        self.may_splice
    }

    /// Whether bytes need not be read for the log.
    pub fn is_none(&self) -> bool {
        matches!(self.driver, Open::None)
    }

    /// The payload has ended: what it wrote last is a line, and what the next one writes begins another.
    pub fn end_lines(&mut self) {
        let ended = match &mut self.driver {
            Open::Local(local) => {
                local.end_lines();
                Ok(())
            }
            Open::Json(json) => json.end_lines(time::now()),
            Open::Journal(journal) => journal.end_lines(),
            Open::None => Ok(()),
        };
        if let Err(error) = ended {
            self.cause = Some(error);
        }
    }

    /// What the next writer must know if the payload goes on.
    pub fn begun(&self) -> Begun {
        let (mut within_line, mut lines) = ([false; 2], <[Line; 2]>::default());
        match &self.driver {
            Open::Local(local) => within_line = local.within_line(),
            Open::Json(json) => lines = json.lines(),
            Open::Journal(journal) => lines = journal.lines(),
            Open::None => {}
        }
        Begun { within_line, lines }
    }

    /// What can be written to again when [`unblocked`](Self::unblocked) is to be called.
    pub fn blocked(&self) -> Option<BorrowedFd<'_>> {
        match &self.driver {
            Open::Journal(journal) => journal.blocked(),
            _ => None,
        }
    }

    /// Passes on what waited.
    pub fn unblocked(&mut self) {
        if let Open::Journal(journal) = &mut self.driver
            && let Err(error) = journal.pass_on()
        {
            self.cause = Some(error);
        }
    }

    /// When [`tick`](Self::tick) is to be called.
    pub fn due(&self) -> Option<Duration> {
        match &self.driver {
            Open::Local(local) => local.due(),
            Open::Json(json) => json.due(),
            Open::Journal(_) | Open::None => None,
        }
    }

    /// Does what is due: old files are compressed, by a child.
    pub fn tick(&mut self, now: Duration) {
        match &mut self.driver {
            Open::Local(local) => local.tick(now),
            Open::Json(json) => json.tick(now),
            Open::Journal(_) | Open::None => {}
        }
    }

    /// A child was reaped; true where it was the log's.
    pub fn reaped(&mut self, pid: Pid) -> bool {
        match &mut self.driver {
            Open::Local(local) => local.reaped(pid),
            Open::Json(json) => json.reaped(pid),
            Open::Journal(_) | Open::None => false,
        }
    }
}
