//! `NOTIFY_SOCKET`: what the container says of its readiness is passed on to systemd, as runc does.

use std::ffi::OsString;
use std::io::{IoSlice, PipeReader, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use runtime::failure::OrFail;
use runtime::{Container, Failure, notify};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType,
};
use rustix::process::Pid;

/// How long systemd may take to have read what was sent (runc's bound).
const BARRIER: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };
/// A message's greatest length (runc's).
const MESSAGE: usize = 4096;

/// Whether somebody waits for word of readiness.
pub fn is_wanted() -> bool {
    host().is_some()
}

fn host() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())
}

/// A container's socket and the host's.
pub struct Notify {
    inside: OwnedFd,
    outside: OwnedFd,
}

impl Notify {
    /// Connects a container's socket with the one that `NOTIFY_SOCKET` names.
    pub fn new(inside: OwnedFd) -> Result<Option<Self>, Failure> {
        let Some(host) = host() else { return Ok(None) };
        let object = || format!("NOTIFY_SOCKET {}", Path::new(&host).display());
        let address = match host.as_bytes() {
            [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name),
            path => SocketAddrUnix::new(path),
        };
        let outside =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
                .or_fail("make", "a socket")?;
        rustix::net::connect(&outside, &address.or_fail("use", object())?).or_fail("connect to", object())?;
        Ok(Some(Self { inside, outside }))
    }

    /// The socket of a container that is about to be started, if it was created to have one.
    pub fn of(container: &Container, directory: &Path) -> Result<Option<Self>, Failure> {
        if !is_wanted() || container.state()?.status != ::oci::spec::Status::Created || !directory.is_dir() {
            return Ok(None);
        }
        Self::new(notify::listen(directory)?)
    }

    /// Waits until the container is ready, or has ended, and tells the host that from now on `pid` is what counts.
    pub fn until_ready(self, pid: Pid, ended: &OwnedFd) -> Result<(), Failure> {
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(self.inside.as_fd(), PollFlags::IN),
                PollFd::new(ended, PollFlags::IN),
            ];
            rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, None))
                .or_fail("wait for", "the container's readiness")?;
            let gone = !fds[1].revents().is_empty();
            if self.pass(pid)? {
                return self.await_host();
            }
            if gone {
                return Ok(());
            }
        }
    }

    /// Passes on what has come; whether that was readiness.
    pub fn pass(&self, pid: Pid) -> Result<bool, Failure> {
        let mut message = [0; MESSAGE];
        while let Ok((n, _)) =
            rustix::net::recv(&self.inside, &mut message[..], rustix::net::RecvFlags::DONTWAIT)
        {
            let Some(ready) = readiness(&message[..n]) else { continue };
            self.tell(ready)?;
            self.tell(format!("MAINPID={}", pid.as_raw_nonzero()).as_bytes())?;
            return Ok(true);
        }
        Ok(false)
    }

    fn tell(&self, line: &[u8]) -> Result<(), Failure> {
        let text = [line, b"\n"].concat();
        rustix::net::send(&self.outside, &text, SendFlags::NOSIGNAL)
            .map(drop)
            .or_fail("write to", "NOTIFY_SOCKET")
    }

    /// systemd looks at who sent a message, so the sender must live until it was read: it closes the pipe then
    /// (sd_notify_barrier(3)). One that knows no barrier does not, which is no failure.
    fn await_host(&self) -> Result<(), Failure> {
        let (mut ours, theirs) = std::io::pipe().or_fail("make", "a pipe")?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [theirs.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&fds));
        rustix::net::sendmsg(&self.outside, &[IoSlice::new(b"BARRIER=1")], &mut control, SendFlags::NOSIGNAL)
            .or_fail("write to", "NOTIFY_SOCKET")?;
        drop(theirs);
        closed(&mut ours)
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inside.as_fd()
    }
}

fn closed(pipe: &mut PipeReader) -> Result<(), Failure> {
    let mut fds = [PollFd::new(pipe, PollFlags::IN)];
    let ready = rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, Some(&BARRIER)));
    if ready.or_fail("wait for", "NOTIFY_SOCKET")? == 0 {
        return Ok(());
    }
    match pipe.read(&mut [0]).or_fail("wait for", "NOTIFY_SOCKET")? {
        0 => Ok(()),
        _ => Err(Failure::because("wait for", "NOTIFY_SOCKET", "it answered, which no service manager does")),
    }
}

/// The line of a message that says READY.
fn readiness(message: &[u8]) -> Option<&[u8]> {
    message.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"READY="))
}

#[cfg(test)]
mod tests {
    use super::readiness;

    #[test]
    fn readiness_is_one_line_among_others() {
        assert_eq!(readiness(b"READY=1"), Some(&b"READY=1"[..]));
        assert_eq!(readiness(b"STATUS=up\nREADY=1\nMAINPID=7\n"), Some(&b"READY=1"[..]));
        assert_eq!(readiness(b"STATUS=READY=1\nRELOADING=1"), None);
    }
}
