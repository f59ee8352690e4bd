//! Staying in the foreground: pass on signals and terminal, reap, return the exit code.

use std::os::fd::{AsFd, OwnedFd};

use monitor::attach::{RawMode, Relay};
use runtime::Failure;
use runtime::failure::OrFail;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};

use super::console::Console;
use super::notify::Notify;

/// Holds signals back from the time before the process exists, so that none is lost.
pub struct Supervisor {
    signals: OwnedFd,
}

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
    pub fn run(
        self,
        pid: Pid,
        pidfd: &OwnedFd,
        console: Console,
        mut notify: Option<Notify>,
    ) -> Result<u8, Failure> {
        let controller = console.controller()?;
        let raw = controller.as_ref().map(|_| RawMode::enter()).transpose()?;
        let mut relay = controller.map(|controller| Relay::new(controller, None)).transpose()?;
        relay.iter().for_each(Relay::copy_size);
        loop {
            self.wait(pidfd, relay.as_ref(), notify.as_ref())?;
            // To the service manager this process is the service: it lives as long as the program.
            notify = notify.filter(|notify| matches!(notify.pass(rustix::process::getpid()), Ok(false)));
            if let Some(relay) = &mut relay {
                relay.pass()?;
            }
            while let Ok(signal) = sys::process::next_signal(self.signals.as_fd()) {
                match signal {
                    libc::SIGCHLD | libc::SIGURG | libc::SIGPIPE => {}
                    libc::SIGWINCH if relay.is_some() => relay.iter().for_each(Relay::copy_size),
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

    fn wait(&self, pidfd: &OwnedFd, relay: Option<&Relay>, notify: Option<&Notify>) -> Result<(), Failure> {
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN),
        ];
        fds.extend(notify.map(|notify| PollFd::from_borrowed_fd(notify.as_fd(), PollFlags::IN)));
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
