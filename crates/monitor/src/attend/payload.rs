//! The running payload: its process, what it writes and what it reads.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use runtime::Result;
use runtime::failure::OrFail;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::attach::server::Hub;
use crate::log::Writer;
use crate::stdio::{self, OwnSide, Size, Stream};

/// A pipe that was full is made as large as this: a payload that writes much is woken less often.
const LARGE_PIPE: usize = 256 << 10;
const SMALL_PIPE: usize = 64 << 10;
/// More than that is not held back for a payload that does not read.
const MOST_FOR_STDIN: usize = 64 << 10;

/// The payload and the monitor's ends of its stdio.
#[derive(Debug)]
pub(super) struct Payload {
    pub pid: Pid,
    pub pidfd: OwnedFd,
    pub outputs: Vec<Output>,
    pub stdin: Stdin,
    /// Whether stdin and the only output are a terminal.
    pub is_terminal: bool,
}

impl Payload {
    pub fn new(pid: Pid, pidfd: OwnedFd, ours: OwnSide) -> Result<Self> {
        match ours {
            OwnSide::Pipes { stdin, stdout, stderr } => {
                let outputs = vec![Output::new(Stream::Stdout, stdout), Output::new(Stream::Stderr, stderr)];
                Ok(Self { pid, pidfd, outputs, stdin: Stdin::new(stdin), is_terminal: false })
            }
            OwnSide::Terminal { socket } => Self::on_terminal(pid, pidfd, stdio::receive_terminal(&socket)?),
        }
    }

    /// The payload of a terminal's controlling end.
    pub fn on_terminal(pid: Pid, pidfd: OwnedFd, terminal: OwnedFd) -> Result<Self> {
        let writes = terminal.try_clone().or_fail("dup", "the terminal")?;
        let outputs = vec![Output::new(Stream::Stdout, terminal)];
        Ok(Self { pid, pidfd, outputs, stdin: Stdin::new(Some(writes)), is_terminal: true })
    }

    /// Gives the terminal a size.
    pub fn resize(&self, size: Size) {
        if let (true, Some(output)) = (self.is_terminal, self.outputs.first()) {
            size.apply(output.fd.as_fd());
        }
    }

    /// Whether all outputs have ended.
    pub fn is_silent(&self) -> bool {
        self.outputs.iter().all(|output| output.ended)
    }
}

/// One end that the payload's output comes from.
#[derive(Debug)]
pub(super) struct Output {
    pub stream: Stream,
    pub fd: OwnedFd,
    pub ended: bool,
    /// It filled what was there to fill: there is much.
    is_hot: bool,
    is_large: bool,
}

impl Output {
    pub fn new(stream: Stream, fd: OwnedFd) -> Self {
        Self { stream, fd, ended: false, is_hot: false, is_large: false }
    }

    /// Takes what waits, at most once as much as fits; gives how much it was.
    pub fn pump(&mut self, log: &mut Writer, hub: &mut Hub, scratch: &mut [u8]) -> usize {
        let seen = hub.sees_output();
        if self.is_hot && !seen && log.may_splice() {
            let taken = self.splice(log);
            if taken > 0 {
                return taken;
            }
        }
        match rustix::io::read(&self.fd, &mut *scratch) {
            Ok(n) if n > 0 => {
                self.is_hot = n >= SMALL_PIPE;
                self.enlarge();
                log.write(self.stream, &scratch[..n]);
                if seen {
                    hub.output(self.stream, &scratch[..n]);
                }
                n
            }
            Err(Errno::AGAIN | Errno::INTR) => 0,
            // EIO: nobody has the terminal's other end open any more (pty(7)).
            Ok(_) | Err(_) => {
                self.ended = true;
                0
            }
        }
    }

    fn splice(&mut self, log: &mut Writer) -> usize {
        let waiting = rustix::io::ioctl_fionread(&self.fd).unwrap_or(0) as usize;
        let taken = log.splice(self.stream, self.fd.as_fd(), waiting);
        self.is_hot = taken >= SMALL_PIPE / 2;
        taken
    }

    fn enlarge(&mut self) {
        if self.is_hot && !self.is_large {
            // Where the user has too many large pipes it stays small (pipe(7), pipe-user-pages-soft).
            let _ = rustix::pipe::fcntl_setpipe_size(&self.fd, LARGE_PIPE);
            self.is_large = true;
        }
    }

    /// There was nothing for a while.
    pub fn rest(&mut self) {
        self.is_hot = false;
        if self.is_large && rustix::pipe::fcntl_setpipe_size(&self.fd, SMALL_PIPE).is_ok() {
            self.is_large = false;
        }
    }
}

/// What goes to the payload's stdin.
#[derive(Debug)]
pub(super) struct Stdin {
    fd: Option<OwnedFd>,
    waiting: Vec<u8>,
    ends: bool,
}

impl Stdin {
    pub fn new(fd: Option<OwnedFd>) -> Self {
        Self { fd, waiting: Vec::new(), ends: false }
    }

    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    pub fn is_full(&self) -> bool {
        self.waiting.len() >= MOST_FOR_STDIN
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn write(&mut self, bytes: &[u8]) {
        // After the end, or for a payload without stdin, nobody will read it.
        if self.fd.is_some() && !self.ends {
            self.waiting.extend_from_slice(bytes);
            self.pump();
        }
    }

    /// Closes it, once what waits is written.
    pub fn end(&mut self) {
        self.ends = true;
        self.pump();
    }

    pub fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) -> bool {
        let Some(fd) = self.fd().filter(|_| !self.waiting.is_empty()) else { return false };
        fds.push(PollFd::from_borrowed_fd(fd, PollFlags::OUT));
        true
    }

    pub fn pump(&mut self) {
        while let (Some(fd), false) = (&self.fd, self.waiting.is_empty()) {
            match rustix::io::write(fd, &self.waiting) {
                Ok(n) => drop(self.waiting.drain(..n)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // The payload has closed it.
                Err(_) => {
                    self.waiting.clear();
                    self.fd = None;
                }
            }
        }
        self.waiting = Vec::new();
        if self.ends {
            self.fd = None;
        }
    }
}
