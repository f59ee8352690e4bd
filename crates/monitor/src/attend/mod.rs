//! The event loop of a monitor: one thread that waits for signals, the payload's output, clients and time.
//!
//! ```text
//!            start                SIGCHLD, drained          policy: no
//! (attend) ---------> running ------------------------> . ------------> end: clients get what waits, and the loop ends
//!                      |   ^                            |
//!       1 s, nobody    |   | start                      | policy: yes
//!       is attached    v   |                            v
//!                   (exec: resume)                   waiting  --(SIGUSR1: look again; SIGTERM)--> end
//! ```
//! The payload's end is told by its being reaped, as all that the container orphans is reaped here (subreaper). Then its
//! pipes are read to their end, or until a process that kept one open has been silent for a moment.
//!
//! SIGTERM, SIGINT and SIGQUIT go on to the payload, which is not started again then: that is how a host goes down.

mod again;
mod config;
mod exit;
mod payload;
mod probe;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use runtime::Result;
use runtime::failure::OrFail;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::time::ClockId;
use sys::memory::Pages;

use crate::attach::server::{Hub, Said, listen};
use crate::attach::{Exited, Failed, FrameKind, Status, wire};
use crate::charge::{Charge, Ended};
use crate::health::Health;
use crate::log::{Begun, Writer};
use crate::restart::Restarts;
use crate::stdio;
use payload::Payload;
use probe::Probe;

pub use config::Config;

/// How much is read at a time.
const SCRATCH: usize = 64 << 10;
/// After so long without anything to do, memory is given back.
const IDLE: Duration = Duration::from_secs(1);

/// The time since boot, as everything here counts it: it stands still only while the machine sleeps.
pub fn now() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Starts the payload and attends to it until it has ended for good. `first` is the client that asked for it: one end of
/// a pair ([`Client::pair`](crate::attach::Client::pair)).
///
/// The process must have one thread, and no children but those that the charge starts. All its signals are blocked from
/// here on.
///
/// # Errors
/// Where the loop itself can't be set up or go on. Clients are told.
pub fn attend(charge: &mut dyn Charge, config: &Config, first: Option<OwnedFd>) -> Result<Ended> {
    let mut hub = match &first {
        Some(first) => Hub::new(listen(&config.runtime_dir).inspect_err(|failure| refuse(first, failure))?),
        None => Hub::new(listen(&config.runtime_dir)?),
    };
    if let Some(first) = first {
        hub.add_foreground(first)?;
    }
    let opened =
        hold_signals().and_then(|signals| Ok((signals, Writer::open(&config.log, Begun::default(), now())?)));
    let (signals, log) = match opened {
        Ok(opened) => opened,
        Err(failure) => {
            let failed = Failed { message: failure.to_string(), code: 125 };
            charge.end(&Ended::Failed(failed.clone()));
            hub.tell(&Status::Failed(failed));
            return Err(failure);
        }
    };
    let mut said = Vec::new();
    hub.hear_first(&mut [0; 4096], &mut said);
    let mut attendant = Attendant::new(config.clone(), signals, hub, log);
    attendant.start(charge, said);
    attendant.run(charge)
}

pub use again::resume;

/// What the loop goes over.
struct Attendant {
    config: Config,
    signals: OwnedFd,
    hub: Hub,
    log: Writer,
    phase: Phase,
    restarts: Restarts,
    health: Health,
    probe: Option<Probe>,
    /// How the payload ended that is to be started again.
    last: Option<Exited>,
    /// A signal asked this process for the end.
    told_to_stop: bool,
    /// Since memory was used that a fresh image would not have, and a second more.
    renew_at: Option<Duration>,
    busy_until: Duration,
    scratch: Option<Pages>,
}

enum Phase {
    Running(Payload),
    /// Until the payload is started again.
    Waiting(Duration),
    /// Clients get what waits for them, the slow ones until then.
    Ending(Ended, Duration),
}

impl Attendant {
    fn new(config: Config, signals: OwnedFd, hub: Hub, log: Writer) -> Self {
        Self {
            config,
            signals,
            hub,
            log,
            phase: Phase::Waiting(Duration::ZERO),
            restarts: Restarts::default(),
            health: Health::default(),
            probe: None,
            last: None,
            told_to_stop: false,
            renew_at: None,
            busy_until: Duration::ZERO,
            scratch: None,
        }
    }

    /// Starts the payload, at first or again; clients have `said` something already.
    fn start(&mut self, charge: &mut dyn Charge, said: Vec<Said>) {
        let mut size = self.config.console_size;
        for said in &said {
            if let Said::Resize(new) = said {
                size = Some(*new);
            }
        }
        let payload = self.make_payload(charge, size);
        let payload = match payload {
            Ok(payload) => payload,
            Err(failed) => return self.end(charge, Ended::Failed(failed)),
        };
        let status = Status::Started { pid: payload.pid.as_raw_nonzero().get() };
        self.phase = Phase::Running(payload);
        self.dirty();
        self.restarts.started(now());
        if let Some(checks) = &self.config.checks {
            self.health.started(checks, now());
            charge.health(&self.health, false);
        }
        self.hub.tell(&status);
        self.hear(said);
    }

    fn make_payload(
        &mut self,
        charge: &mut dyn Charge,
        size: Option<stdio::Size>,
    ) -> std::result::Result<Payload, Failed> {
        let failed = |failure: runtime::Failure| Failed { message: failure.to_string(), code: 125 };
        let (ours, theirs) = stdio::pair(self.config.tty, self.config.open_stdin, size).map_err(failed)?;
        let started = charge.start(&theirs)?;
        drop(theirs);
        let payload = Payload::new(started.pid, started.pidfd, ours).map_err(failed);
        let payload = payload.inspect_err(|_| {
            // It runs, but its terminal never came: nobody could use it. It is reaped with what else has ended.
            let _ = rustix::process::kill_process(started.pid, rustix::process::Signal::KILL);
        })?;
        if let Some(size) = size {
            payload.resize(size);
        }
        Ok(payload)
    }

    fn run(mut self, charge: &mut dyn Charge) -> Result<Ended> {
        loop {
            if let Phase::Ending(ended, until) = &self.phase
                && (self.hub.is_flushed(now() < *until) || self.hub.is_empty())
            {
                return Ok(ended.clone());
            }
            if self.may_be_renewed() {
                self.renew(charge);
            }
            self.turn(charge)?;
        }
    }

    /// Waits until there is something to do, and does it.
    fn turn(&mut self, charge: &mut dyn Charge) -> Result<()> {
        let wake = self.next_wake();
        let ready = self.wait(wake, charge.side())?;
        let now = now();
        if ready.side {
            charge.serve();
        }
        if ready.signals {
            self.take_signals(charge);
        }
        let mut scratch = match self.scratch.take() {
            Some(scratch) => scratch,
            None => Pages::new(SCRATCH).or_fail("map", "a buffer")?,
        };
        self.pump(&ready, &mut scratch);
        self.serve(&ready, &mut scratch);
        self.scratch = Some(scratch);
        if ready.any {
            self.busy_until = now + IDLE;
        }
        self.do_what_is_due(charge, now);
        if now >= self.busy_until {
            self.rest();
        }
        Ok(())
    }

    /// Output goes to the log and to clients, bytes to stdin.
    fn pump(&mut self, ready: &Ready, scratch: &mut [u8]) {
        if ready.log {
            self.log.unblocked();
        }
        if let (Some(probe), true) = (&mut self.probe, ready.probe) {
            probe.pump();
        }
        let Phase::Running(payload) = &mut self.phase else { return };
        for (output, ready) in payload.outputs.iter_mut().zip(ready.outputs) {
            if ready {
                output.pump(&mut self.log, &mut self.hub, scratch);
            }
        }
        if ready.stdin {
            payload.stdin.pump();
        }
    }

    fn serve(&mut self, ready: &Ready, scratch: &mut [u8]) {
        let started = match &self.phase {
            Phase::Running(payload) => Some(Status::Started { pid: payload.pid.as_raw_nonzero().get() }),
            _ => None,
        };
        let mut said = Vec::new();
        self.hub.serve(&ready.clients, started.as_ref(), scratch, &mut said);
        self.hear(said);
        if !self.hub.is_empty() {
            self.dirty();
        }
    }

    /// Memory is used that a fresh image of this program would not have.
    fn dirty(&mut self) {
        self.renew_at = Some(now() + IDLE);
    }

    fn hear(&mut self, said: Vec<Said>) {
        let Phase::Running(payload) = &mut self.phase else { return };
        for said in said {
            match said {
                Said::Stdin(bytes) => payload.stdin.write(&bytes),
                Said::StdinEnds if self.config.stdin_once && !self.config.tty => payload.stdin.end(),
                Said::StdinEnds => {}
                Said::Resize(size) => payload.resize(size),
            }
        }
    }

    fn take_signals(&mut self, charge: &mut dyn Charge) {
        while let Ok(signal) = sys::process::next_signal(self.signals.as_fd()) {
            match signal {
                libc::SIGCHLD => self.reap(charge),
                libc::SIGTERM | libc::SIGINT | libc::SIGQUIT => {
                    self.told_to_stop = true;
                    if let Phase::Running(payload) = &self.phase {
                        // It may have ended meanwhile.
                        let _ = sys::process::pidfd_signal(payload.pidfd.as_fd(), signal);
                    }
                    self.look_again(charge);
                }
                libc::SIGUSR1 if matches!(self.phase, Phase::Running(_)) => {
                    charge.told();
                    self.dirty();
                }
                libc::SIGUSR1 => self.look_again(charge),
                _ => {}
            }
        }
    }

    /// What has to be done at its time.
    fn do_what_is_due(&mut self, charge: &mut dyn Charge, now: Duration) {
        if self.log.due().is_some_and(|due| due <= now) {
            self.log.tick(now);
        }
        if matches!(self.phase, Phase::Waiting(until) if until <= now) {
            self.start(charge, Vec::new());
        }
        let Some(checks) = self.config.checks.clone() else { return };
        if let Some(probe) = &mut self.probe
            && probe.deadline(&checks).is_some_and(|deadline| deadline <= now)
        {
            probe.kill();
        }
        if self.health.due().is_some_and(|due| due <= now) {
            if charge.is_paused() {
                return self.health.resume(&checks, now);
            }
            self.health.begin();
            self.dirty();
            match Probe::begin(charge, now) {
                Ok(probe) => self.probe = Some(probe),
                Err(result) => self.checked(charge, now, result),
            }
        }
    }

    fn next_wake(&self) -> Option<Duration> {
        let phase = match &self.phase {
            Phase::Waiting(until) | Phase::Ending(_, until) => Some(*until),
            Phase::Running(_) => None,
        };
        let checks = self.config.checks.as_ref();
        let probe = self.probe.as_ref().and_then(|probe| probe.deadline(checks?));
        let rest = self.scratch.as_ref().map(|_| self.busy_until);
        // Once it was time, something else has to happen first.
        let renew = self.renew_at.filter(|at| *at > now());
        [phase, probe, self.health.due(), self.log.due(), rest, renew].into_iter().flatten().min()
    }

    /// Nothing happens: memory is given back.
    fn rest(&mut self) {
        self.scratch = None;
        if let Phase::Running(payload) = &mut self.phase {
            payload.outputs.iter_mut().for_each(payload::Output::rest);
        }
    }

    fn wait(&self, wake: Option<Duration>, side: Option<BorrowedFd<'_>>) -> Result<Ready> {
        let timeout = wake.map(|wake| wake.saturating_sub(now()));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut fds = Vec::with_capacity(8);
        fds.push(PollFd::new(&self.signals, PollFlags::IN));
        let mut places = Places::default();
        if let Phase::Running(payload) = &self.phase {
            for (at, output) in payload.outputs.iter().enumerate() {
                if !output.ended && !self.hub.is_full() {
                    places.outputs[at] = Some(fds.len());
                    fds.push(PollFd::new(&output.fd, PollFlags::IN));
                }
            }
            places.stdin = Some(fds.len()).filter(|_| payload.stdin.add_to(&mut fds));
        }
        places.probe = Some(fds.len());
        places.probe =
            places.probe.filter(|_| self.probe.as_ref().is_some_and(|probe| probe.add_to(&mut fds)));
        if let Some(blocked) = self.log.blocked() {
            places.log = Some(fds.len());
            fds.push(PollFd::from_borrowed_fd(blocked, PollFlags::OUT));
        }
        if let Some(side) = side {
            places.side = Some(fds.len());
            fds.push(PollFd::from_borrowed_fd(side, PollFlags::IN));
        }
        let clients = fds.len();
        let stdin_is_full = matches!(&self.phase, Phase::Running(payload) if payload.stdin.is_full());
        self.hub.add_to(&mut fds, stdin_is_full);
        let ready = match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(ready) => ready,
            Err(Errno::INTR) => 0,
            Err(errno) => return Err(errno).or_fail("wait for", "the container"),
        };
        let is_ready = |at: Option<usize>| at.is_some_and(|at| !fds[at].revents().is_empty());
        Ok(Ready {
            any: ready > 0,
            signals: is_ready(Some(0)),
            outputs: places.outputs.map(is_ready),
            stdin: is_ready(places.stdin),
            probe: is_ready(places.probe),
            log: is_ready(places.log),
            side: is_ready(places.side),
            clients: fds[clients..].iter().map(PollFd::revents).collect(),
        })
    }
}

/// Where in the list of descriptors each is.
#[derive(Default)]
struct Places {
    outputs: [Option<usize>; 2],
    stdin: Option<usize>,
    probe: Option<usize>,
    log: Option<usize>,
    side: Option<usize>,
}

/// What there is to do.
struct Ready {
    any: bool,
    signals: bool,
    outputs: [bool; 2],
    stdin: bool,
    probe: bool,
    log: bool,
    side: bool,
    clients: Vec<PollFlags>,
}

/// Tells a client that there will be no monitor.
fn refuse(client: &OwnedFd, failure: &runtime::Failure) {
    let failed = Failed { message: failure.to_string(), code: 125 };
    let frame = wire::document(FrameKind::Status, &Status::Failed(failed));
    // Nobody is there to hear of what goes wrong here.
    let _ = rustix::net::send(client, &frame, rustix::net::SendFlags::NOSIGNAL);
}

/// Blocks all signals but those of faults, and reaps what the container orphans.
fn hold_signals() -> Result<OwnedFd> {
    // Executed through a descriptor, the process would have its number as name in `ps`.
    let _ = rustix::thread::set_name(c"berth-monitor");
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).or_fail("become", "subreaper")?;
    sys::process::all_signals_as_fd().or_fail("hold back", "signals")
}
