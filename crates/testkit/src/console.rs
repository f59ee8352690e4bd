//! The receiving side of `--console-socket`: the runtime sends the terminal's master end over it.

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::{Testbed, patience};

/// A socket that waits for a terminal.
#[derive(Debug)]
pub struct ConsoleSocket {
    path: PathBuf,
    listener: UnixListener,
}

impl ConsoleSocket {
    /// Listens in `bed`.
    ///
    /// # Panics
    /// When the socket can't be made.
    #[must_use]
    pub fn listen(bed: &Testbed) -> Self {
        let path = bed.new_file("console");
        let listener =
            UnixListener::bind(&path).unwrap_or_else(|error| panic!("bind {}: {error}", path.display()));
        Self { path, listener }
    }

    /// What `--console-socket` takes.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the terminal.
    ///
    /// # Panics
    /// When none comes within [`patience`].
    #[must_use]
    #[track_caller]
    pub fn terminal(&self) -> Terminal {
        await_readable(&self.listener, patience(), "a connection to the console socket");
        let (stream, _) = self.listener.accept().expect("accept on the console socket");
        await_readable(&stream, patience(), "a message on the console socket");
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut name = [0; 4096];
        recvmsg(&stream, &mut [IoSliceMut::new(&mut name)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
            .expect("receive from the console socket");
        let mut fds = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        let master: OwnedFd =
            fds.next().and_then(|mut fds| fds.next()).expect("a file descriptor in the message");
        Terminal { master: master.into(), seen: String::new() }
    }
}

/// The master end of a container's terminal.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    seen: String,
}

impl Terminal {
    /// A new terminal of `rows` and `cols`, and its other end for a program to run at.
    ///
    /// # Panics
    /// When the kernel has none.
    #[must_use]
    pub fn open(rows: u16, cols: u16) -> (Self, OwnedFd) {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).expect("open a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("unlock the terminal");
        let path = ptsname(&master, Vec::new()).expect("name the terminal");
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
        let other = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).expect("open its other end");
        let terminal = Self { master: master.into(), seen: String::new() };
        terminal.resize(rows, cols);
        (terminal, other)
    }

    /// Gives the terminal another size; who runs in its foreground is told.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn resize(&self, rows: u16, cols: u16) {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.master, size).expect("resize the terminal");
    }

    /// Forgets what was read, so that the next [`read_until`](Self::read_until) sees only what is new.
    pub fn forget(&mut self) {
        self.seen.clear();
    }

    /// Types `text`.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn write(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("write to the terminal");
    }

    /// Reads until `text` has appeared, and returns all that was ever read.
    ///
    /// # Panics
    /// When the other end hangs up before, or [`patience`] ends.
    #[track_caller]
    pub fn read_until(&mut self, text: &str) -> &str {
        let deadline = Instant::now() + patience();
        while !self.seen.contains(text) {
            await_readable(&self.master, deadline.saturating_duration_since(Instant::now()), text);
            let mut bytes = [0; 4096];
            // EIO means that the last slave end was closed.
            let count = self.master.read(&mut bytes).unwrap_or_else(|error| {
                panic!("{error} before {text:?} was read from the terminal, after {:?}", self.seen)
            });
            self.seen += &String::from_utf8_lossy(&bytes[..count]);
        }
        &self.seen
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.master.as_fd()
    }
}

#[track_caller]
fn await_readable(fd: &impl AsFd, limit: Duration, what: &str) {
    let timeout = Timespec::try_from(limit).expect("a deadline fits a timespec");
    let ready = rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timeout)));
    assert!(ready.expect("poll") == 1, "{what}: not within {} s", patience().as_secs());
}
