//! Staying in the foreground: pass on signals and terminal, reap, return the exit code.

use std::os::fd::{AsFd, OwnedFd};

use runtime::Failure;
use runtime::failure::OrFail;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};

use super::console::{Console, RawMode, copy_size};

/// Holds signals back from the time before the process exists, so that none is lost.
pub struct Supervisor {
    signals: OwnedFd,
}

/// Bytes that are passed on at a time.
const CHUNK: usize = 32 << 10;

impl Supervisor {
    /// Starts to hold signals back. As subreaper the process also reaps what its container orphans.
    pub fn new(subreaper: bool) -> Result<Self, Failure> {
        if subreaper {
            let own = Some(rustix::process::getpid());
            rustix::process::set_child_subreaper(own).or_fail("become", "subreaper")?;
        }
        Ok(Self { signals: sys::process::all_signals_as_fd().or_fail("hold back", "signals")? })
    }

    /// Goes with the process to its end; gives its exit code, 128 and the signal where one killed it.
    pub fn run(self, pid: Pid, pidfd: &OwnedFd, console: Console) -> Result<u8, Failure> {
        let controller = console.controller()?;
        let raw = controller.as_ref().map(|_| RawMode::enter()).transpose()?;
        let mut relay = controller.map(Relay::new).transpose()?;
        if let Some(relay) = &relay {
            copy_size(relay.controller.as_fd());
        }
        loop {
            self.wait(pidfd, relay.as_ref())?;
            if let Some(relay) = &mut relay {
                relay.pass()?;
            }
            while let Ok(signal) = sys::process::next_signal(self.signals.as_fd()) {
                match signal {
                    libc::SIGCHLD | libc::SIGURG | libc::SIGPIPE => {}
                    libc::SIGWINCH if relay.is_some() => {
                        relay.iter().for_each(|relay| copy_size(relay.controller.as_fd()));
                    }
                    // It may have ended meanwhile.
                    other => drop(sys::process::pidfd_signal(pidfd.as_fd(), other)),
                }
            }
            if let Some(code) = reap(pid)? {
                if let Some(relay) = &mut relay {
                    relay.drain();
                }
                drop(raw);
                return Ok(code);
            }
        }
    }

    fn wait(&self, pidfd: &OwnedFd, relay: Option<&Relay>) -> Result<(), Failure> {
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN),
        ];
        if let Some(relay) = relay {
            relay.add_to(&mut fds);
        }
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno).or_fail("wait for", "the process"),
        }
    }
}

/// Reaps all that has ended, as subreaper also the container's orphans; the exit code where the process was among them.
fn reap(pid: Pid) -> Result<Option<u8>, Failure> {
    let mut code = None;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((ended, status))) if ended == pid => {
                let by_signal = status.terminating_signal().map(|signal| 128 + signal);
                code = status.exit_status().or(by_signal).map(|code| code as u8);
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(code),
            Err(errno) => return Err(errno).or_fail("wait for", "the process"),
        }
    }
}

/// Bytes between our stdin and stdout and the process' terminal. Nothing is read before what came earlier has gone on,
/// so a slow reader slows the writer and costs no memory.
struct Relay {
    controller: OwnedFd,
    to_process: Vec<u8>,
    stdin_open: bool,
    output_open: bool,
}

impl Relay {
    fn new(controller: OwnedFd) -> Result<Self, Failure> {
        rustix::io::ioctl_fionbio(&controller, true).or_fail("unblock", "the terminal")?;
        Ok(Self { controller, to_process: Vec::new(), stdin_open: true, output_open: true })
    }

    fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
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

    fn pass(&mut self) -> Result<(), Failure> {
        if self.stdin_open && self.to_process.is_empty() && readable(rustix::stdio::stdin())? {
            let mut buffer = vec![0; CHUNK];
            match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
                Ok(0) => {
                    self.stdin_open = false;
                    // End of file is a character to a terminal (termios(3), VEOF).
                    self.to_process.push(4);
                }
                Ok(n) => self.to_process.extend(&buffer[..n]),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => self.stdin_open = false,
            }
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
        Ok(())
    }

    /// One chunk to stdout; whether there was one.
    fn copy_output(&mut self) -> bool {
        let mut buffer = vec![0; CHUNK];
        match rustix::io::read(&self.controller, &mut buffer) {
            Ok(n) if n > 0 => {
                let mut rest = &buffer[..n];
                while !rest.is_empty() {
                    match rustix::io::write(rustix::stdio::stdout(), rest) {
                        Ok(n) => rest = &rest[n..],
                        Err(Errno::INTR | Errno::AGAIN) => {}
                        Err(_) => return false,
                    }
                }
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            // EIO: nobody has the other end open any more (pty(7)).
            _ => {
                self.output_open = false;
                false
            }
        }
    }

    /// What the process wrote last.
    fn drain(&mut self) {
        while self.copy_output() {}
    }
}

fn readable(fd: std::os::fd::BorrowedFd<'_>) -> Result<bool, Failure> {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    match rustix::event::poll(&mut fds, Some(&now)) {
        Ok(n) => Ok(n > 0),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(errno).or_fail("wait for", "stdin"),
    }
}
