//! Files that were rotated are compressed by a child process, when no other was rotated for a while: neither payload nor
//! readers wait, and what a busy payload writes is rotated away before compressing it is worth anything.

use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions};
use sys::process::{CloneFlags, Cloned};

/// So long after the last rotation it begins.
const QUIET: Duration = Duration::from_secs(5);

/// When to compress, and who does it now.
#[derive(Debug, Default)]
pub(super) struct Compressor {
    due: Option<Duration>,
    child: Option<Pid>,
}

impl Compressor {
    /// A file was rotated.
    pub fn rotated(&mut self, now: Duration) {
        self.due = Some(now + QUIET);
    }

    /// When [`tick`](Self::tick) is to be called.
    pub fn due(&self) -> Option<Duration> {
        if self.child.is_some() { None } else { self.due }
    }

    /// Has a child begin with `compress`, if it is time.
    pub fn tick(&mut self, now: Duration, compress: impl FnOnce() -> io::Result<()>) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        self.due = None;
        match sys::process::clone(CloneFlags::empty(), None) {
            Ok(Cloned::Child) => {
                let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
                let _ = rustix::process::nice(19);
                sys::process::exit_now(i32::from(compress().is_err()));
            }
            Ok(Cloned::Parent { pid, .. }) => self.child = Some(pid),
            // There will be another rotation.
            Err(_) => {}
        }
    }

    /// Ends a compression, before files get other names.
    pub fn stop(&mut self) {
        let Some(pid) = self.child.take() else { return };
        // Not reaped yet, or `reaped` had been told: the number is its own.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
        let _ = rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(pid), WaitOptions::empty()));
    }

    /// A child was reaped; true where it was ours.
    pub fn reaped(&mut self, pid: Pid) -> bool {
        self.child.take_if(|child| *child == pid).is_some()
    }
}
