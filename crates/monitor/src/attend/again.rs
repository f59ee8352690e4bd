//! The monitor executes itself again once its payload has settled: see [`handover`].

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use runtime::{Failure, Result};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::payload::{Output, Payload, Stdin};
use super::{Attendant, Config, Phase, hold_signals, now};
use crate::attach::server::Hub;
use crate::charge::{Charge, Ended};
use crate::handover::{self, Handover};
use crate::health::Health;
use crate::log::{Begun, Writer};
use crate::restart::Restarts;
use crate::stdio::Stream;

/// Where the next check is nearer than this, it is not worth it.
const CHECK_IS_NEAR: Duration = Duration::from_secs(10);

const LISTENER: &str = "listener";
const PIDFD: &str = "pidfd";
const TERMINAL: &str = "terminal";
const STDIN: &str = "stdin";

#[derive(Serialize, Deserialize)]
struct State {
    config: Config,
    pid: i32,
    restarts: Restarts,
    health: Health,
    begun: Begun,
    told_to_stop: bool,
}

impl Attendant {
    /// Whether the payload runs, nobody is attached, and nothing is half done.
    pub(super) fn may_be_renewed(&self) -> bool {
        let Phase::Running(payload) = &self.phase else { return false };
        self.config.again.is_some()
            && self.renew_at.is_some_and(|at| now() >= at)
            && self.hub.is_empty()
            && self.probe.is_none()
            && self.log.may_be_left()
            && payload.stdin.is_empty()
            && self.health.due().is_none_or(|due| due > now() + CHECK_IS_NEAR)
    }

    /// Executes this program again; returns only where it can't be, and is not tried again soon then.
    pub(super) fn renew(&mut self, charge: &mut dyn Charge) {
        self.renew_at = None;
        let Phase::Running(payload) = &self.phase else { return };
        let state = State {
            config: self.config.clone(),
            pid: payload.pid.as_raw_nonzero().get(),
            restarts: self.restarts.clone(),
            health: self.health.clone(),
            begun: self.log.begun(),
            told_to_stop: self.told_to_stop,
        };
        let mut fds: Vec<(&str, BorrowedFd<'_>)> =
            vec![(LISTENER, self.hub.listener()), (PIDFD, payload.pidfd.as_fd())];
        let open = payload.outputs.iter().filter(|output| !output.ended);
        if payload.is_terminal {
            fds.extend(open.map(|output| (TERMINAL, output.fd.as_fd())));
        } else {
            fds.extend(open.map(|output| (output.stream.as_str(), output.fd.as_fd())));
            fds.extend(payload.stdin.fd().map(|fd| (STDIN, fd)));
        }
        let luggage = charge.luggage();
        fds.extend(luggage.fds);
        let args = self.config.again.as_deref().unwrap_or_default();
        // A monitor that stays large is no reason to end a container.
        let Ok(monitor) = serde_json::to_value(&state) else { return };
        let _ = handover::execute(args, &fds, monitor, luggage.state);
    }
}

/// Goes on with a payload that the monitor had before it executed itself again. The charge has taken what is its own
/// out of the handover.
///
/// # Errors
/// Where something is missing, or the loop can't go on.
pub fn resume(charge: &mut dyn Charge, mut handover: Handover) -> Result<Ended> {
    let unusable = |cause: String| Failure::because("take over from", "the monitor", cause);
    let monitor = std::mem::take(&mut handover.monitor);
    let state: State = serde_json::from_value(monitor).map_err(|error| unusable(error.to_string()))?;
    let mut take = |name: &str| handover.take_fd(name).ok_or_else(|| unusable(format!("no {name} came")));
    let pid = Pid::from_raw(state.pid).ok_or_else(|| unusable(format!("{} is no process", state.pid)))?;
    let (listener, pidfd) = (take(LISTENER)?, take(PIDFD)?);
    let payload = match take(TERMINAL) {
        Ok(terminal) => Payload::on_terminal(pid, pidfd, terminal)?,
        Err(_) => {
            let outputs = Stream::BOTH
                .into_iter()
                .filter_map(|stream| Some(Output::new(stream, take(stream.as_str()).ok()?)));
            let outputs = outputs.collect();
            Payload { pid, pidfd, outputs, stdin: Stdin::new(take(STDIN).ok()), is_terminal: false }
        }
    };
    let signals = hold_signals()?;
    // A disk that is full now is no reason to leave a container alone.
    let log = Writer::open(&state.config.log, state.begun, now()).unwrap_or_else(Writer::closed);
    let mut attendant = Attendant::new(state.config, signals, Hub::new(listener), log);
    (attendant.restarts, attendant.health) = (state.restarts, state.health);
    attendant.told_to_stop = state.told_to_stop;
    attendant.phase = Phase::Running(payload);
    // Who ended before the signals could be heard has left nothing but itself.
    attendant.reap(charge);
    attendant.run(charge)
}
