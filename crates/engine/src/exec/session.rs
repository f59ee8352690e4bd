//! Going along with a process that `exec` added: its output, our input, signals, its end.
//!
//! A pipe or socket of ours is handed to it as it is. A terminal or a file of the host is not: the process could put
//! input into the terminal's queue, or open the file anew through /proc/self/fd; then there are pipes in between.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ::monitor::attach::{DetachKeys, RawMode, Relay, Signals};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::null;
use crate::error::{Error, Result};

/// Bytes that are passed on at a time.
const CHUNK: usize = 64 << 10;

/// How a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The process has, with this exit code.
    Exited(u8),
    /// The keys were typed that leave it alone.
    Detached,
}

/// Our side of a process' stdio.
pub(super) enum Side {
    /// Three streams, those among them in pipes that could not be handed over.
    Streams { stdin: Option<Copy>, outputs: [Option<Copy>; 2] },
    /// A terminal; its controlling end arrives here.
    Terminal { socket: OwnedFd, keys: Option<DetachKeys>, interactive: bool },
}

/// Bytes from one descriptor to another.
pub(super) struct Copy {
    from: OwnedFd,
    to: Option<OwnedFd>,
    waiting: Vec<u8>,
    open: bool,
}

/// Stdin, stdout and stderr for a process without a terminal, and what is to be copied for it.
pub(super) fn streams(attach_stdin: bool) -> Result<([OwnedFd; 3], Side)> {
    let (stdin, stdin_copy) = match attach_stdin {
        false => (null()?, None),
        true => input(rustix::stdio::stdin())?,
    };
    let (stdout, stdout_copy) = output(rustix::stdio::stdout())?;
    let (stderr, stderr_copy) = output(rustix::stdio::stderr())?;
    Ok(([stdin, stdout, stderr], Side::Streams { stdin: stdin_copy, outputs: [stdout_copy, stderr_copy] }))
}

fn input(own: BorrowedFd<'_>) -> Result<(OwnedFd, Option<Copy>)> {
    if may_be_handed_over(own) {
        return Ok((copy_of(own)?, None));
    }
    let (theirs, ours) = pipe()?;
    rustix::io::ioctl_fionbio(&ours, true).map_err(|errno| Error::io("unblock", "a pipe", errno))?;
    Ok((theirs, Some(Copy { from: copy_of(own)?, to: Some(ours), waiting: Vec::new(), open: true })))
}

fn output(own: BorrowedFd<'_>) -> Result<(OwnedFd, Option<Copy>)> {
    if may_be_handed_over(own) {
        return Ok((copy_of(own)?, None));
    }
    let (ours, theirs) = pipe()?;
    rustix::io::ioctl_fionbio(&ours, true).map_err(|errno| Error::io("unblock", "a pipe", errno))?;
    Ok((theirs, Some(Copy { from: ours, to: Some(copy_of(own)?), waiting: Vec::new(), open: true })))
}

/// Pipes, sockets, and /dev/null (major 1, minor 3).
fn may_be_handed_over(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo | FileType::Socket => true,
        FileType::CharacterDevice => stat.st_rdev == rustix::fs::makedev(1, 3),
        _ => false,
    })
}

fn copy_of(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    fd.try_clone_to_owned().map_err(|error| Error::io("copy", "stdio", error))
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|errno| Error::io("make", "a pipe", errno))
}

/// Goes along with the process to its end.
pub(super) fn accompany(pidfd: &OwnedFd, side: Side, signals: &Signals) -> Result<Ended> {
    match side {
        Side::Streams { stdin, outputs } => with_streams(pidfd, stdin, outputs, signals),
        Side::Terminal { socket, keys, interactive } => {
            let controller = ::monitor::stdio::receive_fd(&socket)?;
            if interactive {
                with_terminal(pidfd, controller, keys, signals)
            } else {
                drained(pidfd, &controller)
            }
        }
    }
}

fn with_streams(
    pidfd: &OwnedFd,
    mut stdin: Option<Copy>,
    mut outputs: [Option<Copy>; 2],
    signals: &Signals,
) -> Result<Ended> {
    loop {
        let copies = || stdin.iter().chain(outputs.iter().flatten());
        let mut fds = vec![PollFd::new(pidfd, PollFlags::IN), signals.wanted()];
        copies().for_each(|copy| copy.add_to(&mut fds));
        wait(&mut fds)?;
        let has_ended = !fds[0].revents().is_empty();
        take_signals(signals);
        let all = stdin.iter_mut().chain(outputs.iter_mut().flatten());
        all.for_each(Copy::pass);
        if has_ended {
            outputs.iter_mut().flatten().for_each(Copy::drain);
            return Ok(Ended::Exited(reap(pidfd)?));
        }
    }
}

/// Docker passes no signals on to what `exec` runs; what ends us ends only the session.
fn take_signals(signals: &Signals) {
    while let Some(signal) = signals.take() {
        if matches!(signal, libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT) {
            sys::process::exit_now(128 + signal);
        }
    }
}

fn with_terminal(
    pidfd: &OwnedFd,
    controller: OwnedFd,
    keys: Option<DetachKeys>,
    signals: &Signals,
) -> Result<Ended> {
    let raw = RawMode::enter()?;
    let mut relay = Relay::new(controller, keys)?;
    relay.copy_size();
    let ended = loop {
        let mut fds = vec![PollFd::new(pidfd, PollFlags::IN), signals.wanted()];
        relay.add_to(&mut fds);
        wait(&mut fds)?;
        let has_ended = !fds[0].revents().is_empty();
        while let Some(signal) = signals.take() {
            match signal {
                libc::SIGWINCH => relay.copy_size(),
                libc::SIGTERM | libc::SIGHUP => break,
                _ => {}
            }
        }
        if relay.pass()? {
            break Ended::Detached;
        }
        if has_ended {
            relay.drain();
            break Ended::Exited(reap(pidfd)?);
        }
    };
    drop(raw);
    Ok(ended)
}

/// A terminal that nobody looks at: what is written to it goes nowhere.
fn drained(pidfd: &OwnedFd, controller: &OwnedFd) -> Result<Ended> {
    let mut buffer = vec![0; 4096];
    let mut open = true;
    loop {
        let mut fds = vec![PollFd::new(pidfd, PollFlags::IN)];
        if open {
            fds.push(PollFd::new(controller, PollFlags::IN));
        }
        wait(&mut fds)?;
        if !fds[0].revents().is_empty() {
            return Ok(Ended::Exited(reap(pidfd)?));
        }
        match rustix::io::read(controller, &mut buffer) {
            Ok(n) if n > 0 => {}
            Err(Errno::INTR) => {}
            // EIO: nobody has the other end open any more (pty(7)).
            _ => open = false,
        }
    }
}

fn wait(fds: &mut [PollFd<'_>]) -> Result<()> {
    match poll(fds, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(Error::io("wait for", "the process", errno)),
    }
}

/// The exit code; 128 and the signal where one ended it.
pub(super) fn reap(pidfd: &OwnedFd) -> Result<u8> {
    let wait = || waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
    let status =
        rustix::io::retry_on_intr(wait).map_err(|errno| Error::io("wait for", "the process", errno))?;
    let code = status.and_then(|status| {
        let by_signal = status.terminating_signal().map(|signal| 128 + signal);
        status.exit_status().or(by_signal)
    });
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(255))
}

impl Copy {
    fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        match &self.to {
            Some(to) if !self.waiting.is_empty() => fds.push(PollFd::new(to, PollFlags::OUT)),
            Some(_) if self.open => fds.push(PollFd::new(&self.from, PollFlags::IN)),
            _ => {}
        }
    }

    /// One chunk, where there is one and the last has gone on; whether there was one.
    fn pass(&mut self) {
        self.write();
        if self.open && self.waiting.is_empty() && self.to.is_some() && is_readable(&self.from) {
            let mut buffer = vec![0; CHUNK];
            match rustix::io::read(&self.from, &mut buffer) {
                Ok(0) => self.open = false,
                Ok(n) => self.waiting.extend(&buffer[..n]),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => self.open = false,
            }
            self.write();
        }
        if !self.open && self.waiting.is_empty() {
            // The process sees the end of its input.
            self.to = None;
        }
    }

    fn write(&mut self) {
        while let Some(to) = self.to.as_ref().filter(|_| !self.waiting.is_empty()) {
            match rustix::io::write(to, &self.waiting) {
                Ok(n) => drop(self.waiting.drain(..n)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.waiting.clear();
                    self.to = None;
                }
            }
        }
    }

    /// What was written last, as far as it is there.
    fn drain(&mut self) {
        while self.open && self.to.is_some() && is_readable(&self.from) {
            self.pass();
        }
    }
}

fn is_readable(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// What this process itself has as stdio from now on: nothing.
pub(super) fn leave_stdio() -> Result<()> {
    Ok(::monitor::stdio::leave_own()?)
}

/// The end of a pipe through which a detached `exec` says how it went: nothing is success.
pub(super) struct Word(File);

impl Word {
    pub fn pair() -> Result<(File, Word)> {
        let (read, write) = pipe()?;
        Ok((File::from(read), Word(File::from(write))))
    }

    /// Says why it failed, with the exit code.
    pub fn failed(mut self, message: &str, code: u8) {
        use std::io::Write;
        // Nobody listens any more: then nobody is to be told.
        let _ = self.0.write_all(&[code]).and_then(|()| self.0.write_all(message.as_bytes()));
    }
}
