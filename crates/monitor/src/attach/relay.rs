//! A process' terminal and our own, without a monitor in between: what `exec` and the OCI runtime's `run` need.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use runtime::Result;
use runtime::failure::OrFail;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::keys::{DetachKeys, Watch};
use crate::stdio::Size;

/// Bytes that are passed on at a time.
const CHUNK: usize = 32 << 10;

/// Bytes between our stdin and stdout and a process' terminal. Nothing is read before what came earlier has gone on, so a
/// slow reader slows the writer and costs no memory.
#[derive(Debug)]
pub struct Relay {
    controller: OwnedFd,
    watch: Option<Watch>,
    to_process: Vec<u8>,
    stdin_open: bool,
    output_open: bool,
}

impl Relay {
    /// Relays the terminal whose controlling end this is, until `keys` are typed, if any are given.
    ///
    /// # Errors
    /// Those of ioctl(2).
    pub fn new(controller: OwnedFd, keys: Option<DetachKeys>) -> Result<Self> {
        rustix::io::ioctl_fionbio(&controller, true).or_fail("unblock", "the terminal")?;
        let watch = keys.map(Watch::new);
        Ok(Self { controller, watch, to_process: Vec::new(), stdin_open: true, output_open: true })
    }

    /// Gives the process' terminal the size of ours.
    pub fn copy_size(&self) {
        if let Some(size) = Size::of(rustix::stdio::stdin()) {
            size.apply(self.controller.as_fd());
        }
    }

    /// What to wait for before [`pass`](Self::pass).
    pub fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, self.output_open);
        events.set(PollFlags::OUT, !self.to_process.is_empty());
        if !events.is_empty() {
            fds.push(PollFd::from_borrowed_fd(self.controller.as_fd(), events));
        }
        if self.stdin_open && self.to_process.is_empty() {
            fds.push(PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN));
        }
    }

    /// Passes on what there is, in both directions; true when the keys were typed.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn pass(&mut self) -> Result<bool> {
        let mut detached = false;
        if self.stdin_open && self.to_process.is_empty() && readable(rustix::stdio::stdin())? {
            detached = self.read_stdin();
        }
        if !self.to_process.is_empty() {
            match rustix::io::write(&self.controller, &self.to_process) {
                Ok(n) => drop(self.to_process.drain(..n)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => {
                    self.to_process.clear();
                    self.stdin_open = false;
                }
            }
        }
        self.copy_output();
        Ok(detached)
    }

    fn read_stdin(&mut self) -> bool {
        let mut buffer = vec![0; CHUNK];
        match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(0) => {
                self.stdin_open = false;
                // End of file is a character to a terminal (termios(3), VEOF).
                self.to_process.push(4);
            }
            Ok(n) => match &mut self.watch {
                Some(watch) => return watch.pass(&buffer[..n], &mut self.to_process),
                None => self.to_process.extend(&buffer[..n]),
            },
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.stdin_open = false,
        }
        false
    }

    /// One chunk to stdout; whether there was one.
    fn copy_output(&mut self) -> bool {
        let mut buffer = vec![0; CHUNK];
        match rustix::io::read(&self.controller, &mut buffer) {
            Ok(n) if n > 0 => write_all(rustix::stdio::stdout(), &buffer[..n]).is_ok(),
            Err(Errno::AGAIN | Errno::INTR) => false,
            // EIO: nobody has the other end open any more (pty(7)).
            _ => {
                self.output_open = false;
                false
            }
        }
    }

    /// Passes on what the process wrote last.
    pub fn drain(&mut self) {
        while self.copy_output() {}
    }
}

/// Writes everything, waiting where `fd` does not block.
pub(super) fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
                rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, None))?;
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn readable(fd: BorrowedFd<'_>) -> Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    match rustix::event::poll(&mut fds, Some(&now)) {
        Ok(n) => Ok(n > 0),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(errno).or_fail("wait for", "stdin"),
    }
}
