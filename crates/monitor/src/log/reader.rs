//! Reading a log: what `logs` prints.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use runtime::failure::OrFail;
use runtime::{Failure, Result};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify;
use rustix::io::Errno;

use super::json::JsonReader;
use super::local::LocalReader;
use super::printer::Printer;
use super::{Config, Driver, journald};
use crate::stdio::Stream;

/// What of a log is wanted. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'a> {
    /// Lines that began then or later.
    pub since: Option<i64>,
    /// Lines up to the first that is later.
    pub until: Option<i64>,
    /// So many of the last lines. Those that `since` leaves out are counted as well.
    pub tail: Option<usize>,
    /// Go on with what comes, until this descriptor can be read: a pidfd of the monitor, say.
    pub follow: Option<BorrowedFd<'a>>,
    /// Its time before each line.
    pub timestamps: bool,
    /// Attributes before each line: what the options `labels`, `env` and `tag` asked for.
    pub details: bool,
    /// The payload's stdout.
    pub stdout: bool,
    /// The payload's stderr.
    pub stderr: bool,
}

impl Query<'_> {
    pub(super) fn shows(&self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }
}

/// Where lines go.
pub trait Sink {
    /// Takes bytes of a stream: mostly whole lines, and many of them.
    ///
    /// # Errors
    /// Ends the reading.
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()>;

    /// Lines were rotated away before they were read.
    fn missing(&mut self) {}

    /// What hangs up when nobody wants more: following ends then, though nothing was written.
    fn watched(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// What a step of reading has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There may be more.
    More,
    /// This is the end for now.
    End,
    /// Nothing that comes is wanted.
    Done,
}

/// A container's log.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    dir: PathBuf,
    details: String,
}

#[derive(Debug)]
enum Source {
    Local(LocalReader),
    Json(Box<JsonReader>),
    Journal { id: String },
}

impl Reader {
    /// The log of a container with this configuration, whether it runs or not. A log that does not exist yet is empty.
    ///
    /// # Errors
    /// A driver whose logs can't be read.
    pub fn open(config: &Config) -> Result<Self> {
        let source = match config.driver {
            Driver::Local => Source::Local(LocalReader::new(&config.dir)),
            Driver::JsonFile => Source::Json(Box::new(JsonReader::new(&config.dir, &config.id))),
            Driver::Journald => Source::Journal { id: config.id.clone() },
            Driver::None => {
                let cause = "log driver none keeps nothing: create the container with another --log-driver";
                return Err(Failure::because("read", format!("the log of {}", config.name), cause));
            }
        };
        Ok(Self { source, dir: config.dir.clone(), details: details(&config.attrs) })
    }

    /// Gives `sink` what was asked for.
    ///
    /// # Errors
    /// What went wrong with the log, or with the sink.
    pub fn read(self, query: &Query<'_>, sink: &mut dyn Sink) -> Result<()> {
        if let Source::Journal { id } = &self.source {
            return journald::read(id, query, sink);
        }
        let dir = self.dir.clone();
        self.read_files(query, sink).or_fail_at("read the log in", dir)
    }

    fn read_files(mut self, query: &Query<'_>, sink: &mut dyn Sink) -> io::Result<()> {
        // Watched from before the first look, so that nothing comes unseen in between.
        let mut watch = query.follow.map(|ended| Watch::new(&self.dir, ended)).transpose()?;
        let skip = match &mut self.source {
            Source::Local(local) => local.begin(query)?,
            Source::Json(json) => json.begin(query)?,
            Source::Journal { .. } => 0,
        };
        let mut printer = Printer::new(query, self.details, skip);
        loop {
            let step = match &mut self.source {
                Source::Local(local) => local.step(&mut printer, sink)?,
                Source::Json(json) => json.step(&mut printer, sink)?,
                Source::Journal { .. } => Step::Done,
            };
            match step {
                Step::More => continue,
                Step::Done => return Ok(()),
                Step::End => printer.flush(sink)?,
            }
            let goes_on = match &mut watch {
                Some(watch) => watch.wait(sink.watched())?,
                None => false,
            };
            if !goes_on {
                return Ok(());
            }
        }
    }
}

/// `a=1,b=2`, as Docker prints attributes.
pub(super) fn details<'a>(attrs: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let pairs: Vec<String> = attrs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(",")
}

/// Waits for the log to grow, or for the container to end.
struct Watch<'a> {
    inotify: OwnedFd,
    dir: &'a Path,
    ended: BorrowedFd<'a>,
    over: bool,
}

impl<'a> Watch<'a> {
    fn new(dir: &'a Path, ended: BorrowedFd<'a>) -> io::Result<Self> {
        let inotify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let watch = Self { inotify, dir, ended, over: false };
        watch.add()?;
        Ok(watch)
    }

    /// Watches the directories that exist: the driver may make its own yet. Adding one twice is adding it once.
    fn add(&self) -> io::Result<()> {
        let flags = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        for dir in [self.dir.to_owned(), self.dir.join(super::local::DIR)] {
            match inotify::add_watch(&self.inotify, &dir, flags) {
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// False when it is time to end: all was read since the container ended, or nobody wants more.
    fn wait(&mut self, watched: Option<BorrowedFd<'_>>) -> io::Result<bool> {
        if self.over {
            return Ok(false);
        }
        let mut fds = vec![
            PollFd::new(&self.inotify, PollFlags::IN),
            PollFd::from_borrowed_fd(self.ended, PollFlags::IN),
        ];
        fds.extend(watched.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::empty())));
        match rustix::event::poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        }
        self.over = !fds[1].revents().is_empty();
        if fds.get(2).is_some_and(|fd| fd.revents().intersects(PollFlags::ERR | PollFlags::HUP)) {
            return Ok(false);
        }
        let mut events = [0; 4096];
        while rustix::io::read(self.inotify.as_fd(), &mut events).is_ok_and(|n| n > 0) {}
        self.add()?;
        Ok(true)
    }
}
