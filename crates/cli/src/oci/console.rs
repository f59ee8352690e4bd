//! The terminal of a process: whose socket gets its controlling end, and the relay where that is ourselves.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use runtime::Failure;
use runtime::failure::OrFail;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType,
};

/// Where the controlling end goes.
pub enum Console {
    /// There is no terminal.
    None,
    /// To the caller's socket.
    Socket(OwnedFd),
    /// To us: our end of a pair, and init's.
    Own(OwnedFd, OwnedFd),
}

impl Console {
    /// Decides for a process with or without terminal, in the foreground or detached, as runc does.
    pub fn new(terminal: bool, socket: Option<&Path>, detach: bool) -> Result<Self, Failure> {
        match (terminal, socket) {
            (true, Some(path)) => Ok(Self::Socket(connect(path)?)),
            (true, None) if detach => Err(Failure::because(
                "allocate",
                "terminal",
                "cannot allocate tty if runc will detach without setting console socket",
            )),
            (true, None) => {
                let flags = SocketFlags::CLOEXEC;
                let (ours, theirs) =
                    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
                        .or_fail("make", "a socket pair")?;
                Ok(Self::Own(ours, theirs))
            }
            (false, Some(_)) => Err(Failure::because(
                "use",
                "--console-socket",
                "cannot use console socket if runc will not detach or allocate tty",
            )),
            (false, None) => Ok(Self::None),
        }
    }

    /// The socket that init sends the controlling end to.
    pub fn socket(&self) -> Result<Option<OwnedFd>, Failure> {
        match self {
            Self::None => Ok(None),
            Self::Socket(socket) | Self::Own(_, socket) => {
                socket.try_clone().map(Some).or_fail("dup", "console socket")
            }
        }
    }

    /// Whether we pass the output on.
    pub fn is_relayed(&self) -> bool {
        matches!(self, Self::Own(..))
    }

    /// The controlling end, where it came to us.
    pub fn controller(self) -> Result<Option<OwnedFd>, Failure> {
        match self {
            Self::Own(ours, _theirs) => monitor::stdio::receive_fd(&ours).map(Some),
            Self::None | Self::Socket(_) => Ok(None),
        }
    }
}

fn connect(path: &Path) -> Result<OwnedFd, Failure> {
    let object = || format!("console socket {}", path.display());
    let address = SocketAddrUnix::new(path).or_fail("use", object())?;
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .or_fail("make", "a socket")?;
    rustix::net::connect(&socket, &address).or_fail("connect to", object())?;
    Ok(socket)
}

/// Sends a pidfd to a caller's socket.
pub fn send_pidfd(path: &Path, pidfd: &OwnedFd) -> Result<(), Failure> {
    let socket = connect(path)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [pidfd.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(&socket, &[IoSlice::new(b"pidfd")], &mut control, SendFlags::NOSIGNAL)
        .map(drop)
        .or_fail("send", "the pidfd")
}
