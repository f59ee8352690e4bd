//! A running health check.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::Pid;

use crate::charge::Charge;
use crate::health::{self, Checked, Checks};
use crate::log;

/// A check's process and output.
#[derive(Debug)]
pub(super) struct Probe {
    pub pid: Pid,
    pidfd: OwnedFd,
    output: Option<OwnedFd>,
    text: Vec<u8>,
    pub began: Duration,
    start: i64,
    timed_out: bool,
}

impl Probe {
    /// Begins a check; where it can't be run, that is its result.
    pub fn begin(charge: &mut dyn Charge, now: Duration) -> Result<Self, Checked> {
        let start = log::time::now();
        let failed = |error: &dyn std::fmt::Display| Checked {
            start,
            end: log::time::now(),
            exit_code: -1,
            output: health::kept(error.to_string().as_bytes()),
        };
        let pipe = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
            .and_then(|(read, write)| rustix::io::ioctl_fionbio(&read, true).map(|()| (read, write)));
        let (output, theirs) = pipe.map_err(|errno| failed(&errno))?;
        let started = charge.probe(theirs.as_fd()).map_err(|failure| failed(&failure))?;
        let output = Some(output);
        let (text, timed_out) = (Vec::new(), false);
        Ok(Self { pid: started.pid, pidfd: started.pidfd, output, text, began: now, start, timed_out })
    }

    pub fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) -> bool {
        let Some(output) = &self.output else { return false };
        fds.push(PollFd::new(output, PollFlags::IN));
        true
    }

    /// Takes what it wrote; beyond what is kept it is thrown away, lest the command wait.
    pub fn pump(&mut self) {
        let mut buffer = [0; 1024];
        while let Some(output) = &self.output {
            match rustix::io::read(output, &mut buffer) {
                Ok(n) if n > 0 => {
                    let room = (health::OUTPUT_KEPT - self.text.len()).min(n);
                    self.text.extend(&buffer[..room]);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Ok(_) | Err(_) => self.output = None,
            }
        }
    }

    /// When it will have taken too long.
    pub fn deadline(&self, checks: &Checks) -> Option<Duration> {
        (!self.timed_out).then(|| self.began + checks.timeout)
    }

    /// Ends a check that takes too long.
    pub fn kill(&mut self) {
        self.timed_out = true;
        // It may have ended meanwhile.
        let _ = sys::process::pidfd_signal(self.pidfd.as_fd(), libc::SIGKILL);
    }

    /// It has ended with this code.
    pub fn end(mut self, code: i32, checks: &Checks) -> Checked {
        self.pump();
        let mut output = health::kept(&self.text);
        let mut exit_code = code;
        if self.timed_out {
            output = format!("Health check exceeded timeout ({:?}): {output}", checks.timeout);
            output.truncate(output.floor_char_boundary(health::OUTPUT_KEPT));
            exit_code = -1;
        }
        Checked { start: self.start, end: log::time::now(), exit_code, output }
    }
}
