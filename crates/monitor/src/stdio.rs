//! What the payload reads and writes: three pipes, or a terminal.
//!
//! `pair` makes both sides. The payload's goes to whoever starts it and is closed here once it runs, so that
//! the monitor sees end of file when the payload's last process has closed its own.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use runtime::failure::OrFail;
use runtime::{Failure, Result};
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
};
use rustix::pipe::PipeFlags;
use rustix::termios::Winsize;
use serde::{Deserialize, Serialize};

/// Which of its two outputs the payload wrote to. A terminal's bytes are all [`Stream::Stdout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

impl Stream {
    /// Both, in the order of their numbers.
    pub const BOTH: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// `stdout` or `stderr`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// 0 or 1, for arrays of two.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// A terminal's size in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub cols: u16,
}

impl Size {
    /// The size of a terminal, where `fd` is one.
    pub fn of(fd: BorrowedFd<'_>) -> Option<Self> {
        let size = rustix::termios::tcgetwinsize(fd).ok()?;
        Some(Self { rows: size.ws_row, cols: size.ws_col })
    }

    /// Gives a terminal this size; its foreground processes get SIGWINCH.
    pub fn apply(self, terminal: BorrowedFd<'_>) {
        let size = Winsize { ws_row: self.rows, ws_col: self.cols, ws_xpixel: 0, ws_ypixel: 0 };
        // A terminal that hung up has no size.
        let _ = rustix::termios::tcsetwinsize(terminal, size);
    }
}

/// The payload's side.
#[derive(Debug)]
pub enum PayloadStdio {
    /// The three that it is to have as 0, 1 and 2.
    Pipes {
        /// The read end of a pipe, or /dev/null.
        stdin: OwnedFd,
        /// The write end of a pipe.
        stdout: OwnedFd,
        /// The write end of a pipe.
        stderr: OwnedFd,
    },
    /// A terminal is to be made in the container, and its controlling end sent to this socket (SCM_RIGHTS).
    Terminal {
        /// What [`runtime::CreateOptions::console_socket`] takes.
        console_socket: OwnedFd,
        /// The size that it is to begin with.
        size: Option<Size>,
    },
}

impl PayloadStdio {
    /// The console socket, for a terminal.
    pub fn console_socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Pipes { .. } => None,
            Self::Terminal { console_socket, .. } => Some(console_socket.as_fd()),
        }
    }
}

/// The monitor's side, from before the start on.
#[derive(Debug)]
pub(crate) enum OwnSide {
    Pipes { stdin: Option<OwnedFd>, stdout: OwnedFd, stderr: OwnedFd },
    Terminal { socket: OwnedFd },
}

/// Both sides of a new payload's stdio. All descriptors of ours don't block.
pub(crate) fn pair(tty: bool, open_stdin: bool, size: Option<Size>) -> Result<(OwnSide, PayloadStdio)> {
    if tty {
        let flags = SocketFlags::CLOEXEC;
        let (socket, console_socket) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
                .or_fail("make", "a socket pair")?;
        return Ok((OwnSide::Terminal { socket }, PayloadStdio::Terminal { console_socket, size }));
    }
    let (stdin, our_stdin) = if open_stdin {
        let (read, write) = pipe()?;
        rustix::io::ioctl_fionbio(&write, true).or_fail("unblock", "a pipe")?;
        (read, Some(write))
    } else {
        let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        (null.or_fail("open", "/dev/null")?, None)
    };
    let (our_stdout, stdout) = output()?;
    let (our_stderr, stderr) = output()?;
    let ours = OwnSide::Pipes { stdin: our_stdin, stdout: our_stdout, stderr: our_stderr };
    Ok((ours, PayloadStdio::Pipes { stdin, stdout, stderr }))
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).or_fail("make", "a pipe")
}

fn output() -> Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe()?;
    // O_NONBLOCK belongs to the open file: the payload's end has one of its own.
    rustix::io::ioctl_fionbio(&read, true).or_fail("unblock", "a pipe")?;
    Ok((read, write))
}

/// The terminal's controlling end, which whoever made it has sent already.
pub(crate) fn receive_terminal(socket: &OwnedFd) -> Result<OwnedFd> {
    let terminal = receive_fd(socket)?;
    rustix::io::ioctl_fionbio(&terminal, true).or_fail("unblock", "the terminal")?;
    Ok(terminal)
}

/// The descriptor that a message carries which waits in `socket`.
///
/// # Errors
/// Where no message waits, or one without a descriptor.
pub fn receive_fd(socket: &OwnedFd) -> Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 256];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut name)], &mut control, flags)
        .or_fail("receive", "the terminal")?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    received.ok_or_else(|| Failure::because("receive", "the terminal", "no descriptor came"))
}

/// Makes /dev/null of this process' 0, 1 and 2: what a detached process begins with.
///
/// # Errors
/// Those of open(2) and dup3(2).
pub fn leave_own() -> Result<()> {
    let null = || -> rustix::io::Result<()> {
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)
    };
    null().or_fail("open as stdin, stdout and stderr", "/dev/null")
}
