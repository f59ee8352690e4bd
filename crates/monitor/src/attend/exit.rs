//! The payload's end, and what follows it.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus};
use sys::memory::Pages;

use super::payload::Payload;
use super::{Attendant, Phase, SCRATCH, now};
use crate::attach::{Exited, SOCKET, Status};
use crate::charge::{Charge, Ended};
use crate::health::Checked;
use crate::log;
use crate::restart::Decision;

/// A process that outlived the payload and has a pipe open is given up after so long a silence…
const SILENCE: Duration = Duration::from_millis(200);
/// …or so long in all, or after so many bytes: more than pipes hold is its own.
const DRAINED_FOR: Duration = Duration::from_secs(2);
const DRAINED_BYTES: usize = 8 << 20;
/// A client that does not read what waits for it at the end has so much time.
const LINGER: Duration = Duration::from_secs(10);

impl Attendant {
    /// Reaps all that has ended: the payload, a check, the log's compressor, and what the container orphaned.
    pub(super) fn reap(&mut self, charge: &mut dyn Charge) {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.reaped(charge, pid, status),
                Err(Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn reaped(&mut self, charge: &mut dyn Charge, pid: Pid, status: WaitStatus) {
        if self.log.reaped(pid) {
            return;
        }
        if let Some(probe) = self.probe.take_if(|probe| probe.pid == pid) {
            if let Some(checks) = self.config.checks.clone() {
                let began = probe.began;
                let result = probe.end(exit_code(status).into(), &checks);
                self.checked(charge, began, result);
            }
            return;
        }
        if let Phase::Running(payload) = &mut self.phase
            && payload.pid == pid
        {
            let exited = Exited {
                code: exit_code(status),
                signal: status.terminating_signal(),
                oom: false,
                at: log::time::now(),
            };
            self.payload_ended(charge, exited);
        }
    }

    /// A check has ended.
    pub(super) fn checked(&mut self, charge: &mut dyn Charge, began: Duration, result: Checked) {
        let Some(checks) = &self.config.checks else { return };
        if !matches!(self.phase, Phase::Running(_)) {
            return;
        }
        let is_new = self.health.checked(checks, began, now(), result);
        charge.health(&self.health, is_new);
        self.busy_until = now() + super::IDLE;
    }

    fn payload_ended(&mut self, charge: &mut dyn Charge, mut exited: Exited) {
        self.drain();
        self.log.end_lines();
        self.health.suspend();
        // What it says of this run means nothing for the next.
        if let Some(mut probe) = self.probe.take() {
            probe.kill();
        }
        self.phase = Phase::Waiting(Duration::MAX);
        let intent = charge.exited(&mut exited);
        let stopped = intent.stopped || self.told_to_stop;
        match self.restarts.ended(intent.policy, exited.code, stopped, now()) {
            Decision::End => self.end(charge, Ended::Exited(exited)),
            Decision::After(delay) => {
                charge.restarting(delay, self.restarts.count());
                self.hub.tell(&Status::Exited(exited));
                self.hub.dismiss();
                self.phase = Phase::Waiting(now() + delay);
                self.last = Some(exited);
            }
        }
    }

    /// What the payload wrote last. When its first process has ended all are dead, unless they share a pid namespace with
    /// others: then a pipe may stay open.
    fn drain(&mut self) {
        let Phase::Running(payload) = &mut self.phase else { return };
        let Ok(mut scratch) = Pages::new(SCRATCH) else { return };
        let until = now() + DRAINED_FOR;
        let mut drained = 0;
        while !payload.is_silent() && now() < until && drained < DRAINED_BYTES {
            let (log, hub) = (&mut self.log, &mut self.hub);
            let mut pump = |output: &mut super::payload::Output| output.pump(log, hub, &mut scratch);
            let open = payload.outputs.iter_mut().filter(|output| !output.ended);
            let came: usize = open.map(&mut pump).sum();
            drained += came;
            if came == 0 && !payload.is_silent() && !writes_again(payload) {
                return;
            }
        }
    }

    /// What is wanted of a container that waits for its next start?
    pub(super) fn look_again(&mut self, charge: &mut dyn Charge) {
        if !matches!(self.phase, Phase::Waiting(_)) {
            return;
        }
        let intent = charge.look_again();
        let Some(exited) = self.last else { return };
        if intent.stopped || self.told_to_stop || !intent.policy.restarts_after(exited.code) {
            self.end(charge, Ended::Exited(exited));
        }
    }

    /// It is over.
    pub(super) fn end(&mut self, charge: &mut dyn Charge, ended: Ended) {
        // Who comes now finds nobody, rather than a socket where nobody answers.
        let _ = std::fs::remove_file(self.config.runtime_dir.join(SOCKET));
        charge.end(&ended);
        self.hub.tell(&match &ended {
            Ended::Failed(failed) => Status::Failed(failed.clone()),
            Ended::Exited(exited) => Status::Exited(*exited),
        });
        self.hub.dismiss();
        self.phase = Phase::Ending(ended, now() + LINGER);
    }
}

/// Whether one of its outputs has something to read before the silence is too long.
fn writes_again(payload: &Payload) -> bool {
    let open = payload.outputs.iter().filter(|output| !output.ended);
    let mut fds: Vec<PollFd<'_>> = open.map(|output| PollFd::new(&output.fd, PollFlags::IN)).collect();
    let silence = Timespec::try_from(SILENCE).ok();
    rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, silence.as_ref())).is_ok_and(|n| n > 0)
}

/// The exit code, 128 and the signal where one ended it.
fn exit_code(status: WaitStatus) -> u8 {
    let by_signal = status.terminating_signal().map(|signal| 128 + signal);
    status.exit_status().or(by_signal).unwrap_or(0) as u8
}
