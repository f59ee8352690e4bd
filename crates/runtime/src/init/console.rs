//! The pseudo terminal.
//!
//! It is made from the container's own devpts and its controlling end is sent to the caller's socket. Image and
//! container could replace /dev/ptmx or /dev/console (CVE-2025-52565): what is opened is checked to be the multiplexer
//! of a devpts, the other end comes from the first by ioctl, and the mount goes by descriptor.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{OFlags, makedev};
use rustix::mount::OpenTreeFlags;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, OutputModes, Winsize};

use super::Init;
use super::mount::attach;
use super::tree::open_in;
use crate::failure::{Failure, OrFail, Result};
use crate::plan::ConsoleSize;

const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;

impl Init<'_> {
    pub(super) fn console(&mut self, size: ConsoleSize) -> Result<()> {
        let socket = self.console_socket.take().ok_or_else(|| {
            Failure::because("make", "terminal", "process.terminal is set but no console socket was given")
        })?;
        let controller = self.open_multiplexer()?;
        rustix::pty::unlockpt(&controller).or_fail("unlock", "terminal")?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = rustix::pty::ioctl_tiocgptpeer(&controller, flags).or_fail("open", "terminal")?;
        if self.relays_console {
            let mut mode = rustix::termios::tcgetattr(&terminal).or_fail("read mode of", "terminal")?;
            mode.output_modes.remove(OutputModes::ONLCR);
            rustix::termios::tcsetattr(&terminal, OptionalActions::Now, &mode)
                .or_fail("set mode of", "terminal")?;
        }
        if let Some(size) = size {
            let cells = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
            let size =
                Winsize { ws_row: cells(size.height), ws_col: cells(size.width), ws_xpixel: 0, ws_ypixel: 0 };
            rustix::termios::tcsetwinsize(&controller, size).or_fail("set size of", "terminal")?;
        }
        if self.container_is_new() {
            self.bind_console(&terminal)?;
        }
        send(&socket, &controller)?;
        rustix::process::ioctl_tiocsctty(&terminal).or_fail("control", "terminal")?;
        rustix::stdio::dup2_stdin(&terminal).or_fail("dup", "terminal")?;
        rustix::stdio::dup2_stdout(&terminal).or_fail("dup", "terminal")?;
        rustix::stdio::dup2_stderr(&terminal).or_fail("dup", "terminal")
    }

    /// A number below 3 would be written over by one that is set before.
    pub(super) fn take_stdio(&mut self) -> Result<()> {
        let Some(stdio) = self.stdio.take() else { return Ok(()) };
        let apart = |fd: OwnedFd| if fd.as_raw_fd() < 3 { fd.try_clone() } else { Ok(fd) };
        let [stdin, stdout, stderr] = stdio.map(apart);
        rustix::stdio::dup2_stdin(stdin.or_fail("dup", "stdin")?).or_fail("dup", "stdin")?;
        rustix::stdio::dup2_stdout(stdout.or_fail("dup", "stdout")?).or_fail("dup", "stdout")?;
        rustix::stdio::dup2_stderr(stderr.or_fail("dup", "stderr")?).or_fail("dup", "stderr")
    }

    fn container_is_new(&self) -> bool {
        self.root.is_some()
    }

    fn open_multiplexer(&self) -> Result<OwnedFd> {
        let here;
        let root = match &self.root {
            Some(root) => root.as_fd(),
            None => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                here = rustix::fs::open("/", flags, rustix::fs::Mode::empty()).or_fail("open", "/")?;
                here.as_fd()
            }
        };
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let multiplexer = open_in(root, "/dev/pts/ptmx", flags)
            .or_fail("open", "/dev/pts/ptmx")
            .map_err(|failure| failure.hint("a terminal needs a devpts mounted at /dev/pts"))?;
        let magic = rustix::fs::fstatfs(&multiplexer).or_fail("statfs", "/dev/pts/ptmx")?.f_type;
        let device = rustix::fs::fstat(&multiplexer).or_fail("stat", "/dev/pts/ptmx")?.st_rdev;
        if magic != DEVPTS_SUPER_MAGIC || device != makedev(5, 2) {
            return Err(Failure::because("open", "/dev/pts/ptmx", "it is not the multiplexer of a devpts"));
        }
        Ok(multiplexer)
    }

    fn bind_console(&self, terminal: &OwnedFd) -> Result<()> {
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = rustix::mount::open_tree(terminal, "", flags).or_fail("clone", "terminal")?;
        let target = self.plain_file(Path::new("/dev/console"))?;
        attach(&tree, &target).or_fail("bind terminal at", "/dev/console")
    }
}

/// Sends a descriptor with a name, as callers of runc expect it.
fn send(socket: &OwnedFd, controller: &OwnedFd) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [controller.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(socket, &[IoSlice::new(b"/dev/ptmx")], &mut control, SendFlags::NOSIGNAL)
        .map(drop)
        .or_fail("send terminal to", "console socket")
}
