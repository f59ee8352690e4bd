//! Hands the notify descriptor of a filter to a seccomp agent.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, connect, sendmsg, socket_with,
};
use thiserror::Error;

/// Why an agent has no descriptor.
#[derive(Debug, Error)]
#[error("failed to {operation} seccomp agent at {path}")]
pub struct ListenerError {
    /// What failed.
    pub operation: &'static str,
    /// `linux.seccomp.listenerPath`.
    pub path: PathBuf,
    /// The cause.
    #[source]
    pub cause: io::Error,
}

/// Sends the container process state (JSON) together with the notify descriptor to the agent that listens on
/// the stream socket at `path`, then closes the connection: runtime-spec, "The Container Process State".
///
/// # Errors
/// Nobody listens at the path, or the connection breaks.
pub fn send_listener(path: &Path, listener: BorrowedFd<'_>, state: &[u8]) -> Result<(), ListenerError> {
    let failed =
        |operation| move |cause: Errno| ListenerError { operation, path: path.into(), cause: cause.into() };
    let agent = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(failed("create socket for"))?;
    connect_to(&agent, path).map_err(failed("connect with"))?;
    send(agent.as_fd(), listener, state).map_err(failed("send notify descriptor to"))
}

/// Connects; a path too long for `sun_path` (108 bytes) is reached through its directory.
fn connect_to(socket: &OwnedFd, path: &Path) -> rustix::io::Result<()> {
    match SocketAddrUnix::new(path) {
        Err(Errno::NAMETOOLONG) => {}
        address => return connect(socket, &address?),
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::NAMETOOLONG);
    };
    let directory =
        openat(CWD, directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    connect(socket, &SocketAddrUnix::new(short)?)
}

/// The descriptor goes with the first byte, and only with that.
fn send(agent: BorrowedFd<'_>, listener: BorrowedFd<'_>, state: &[u8]) -> rustix::io::Result<()> {
    let descriptors = [listener];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(Errno::NOBUFS);
    }
    let mut rest = state;
    while !rest.is_empty() {
        match sendmsg(agent, &[IoSlice::new(rest)], &mut ancillary, SendFlags::NOSIGNAL) {
            Ok(sent) => {
                rest = &rest[sent..];
                ancillary.clear();
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
