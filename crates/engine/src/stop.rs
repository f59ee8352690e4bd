//! Ending a container: its monitor sees the end, writes it down and cleans up; who asked waits for the monitor's end.
//!
//! ```text
//! stop                                     monitor
//!   lock, stop_requested = true, unlock
//!   signal ──────────► payload ── ends ──►  lock, state: exited, unlock, end
//!   poll(pidfd of the monitor) ◄───────────
//! ```

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use ::monitor::attach::Client;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::record::Lock;
use crate::repair::Monitor;
use crate::signal;
use crate::spec::GROUPS_OF_USERS;
use crate::state::{State, Status};

/// Docker's patience with a container that is asked to stop.
const PATIENCE: i64 = 10;
/// How long the kernel and the monitor may take from SIGKILL to the end.
const DEATH: Duration = Duration::from_secs(30);

/// How a container is asked to stop.
#[derive(Clone, Debug, Default)]
pub struct StopOptions {
    /// Another signal than its own.
    pub signal: Option<String>,
    /// Seconds before SIGKILL, instead of its own; negative waits for ever.
    pub timeout: Option<i64>,
}

/// What a container is stopped for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Its end; with `--rm` it is removed then.
    End,
    /// Its next start.
    Restart,
}

impl Engine {
    /// Stops a container: a signal, and SIGKILL where that was not enough.
    ///
    /// # Errors
    /// `NotModified` where it does not run; or where it can't be stopped.
    pub fn stop(&self, container: &Container, options: &StopOptions) -> Result<()> {
        self.stop_for(Purpose::End, container, options)
    }

    fn stop_for(&self, purpose: Purpose, container: &Container, options: &StopOptions) -> Result<()> {
        let own = container.asked.config.stop_signal.as_deref().filter(|signal| !signal.is_empty());
        let signal = signal::parse(options.signal.as_deref().or(own).unwrap_or("TERM"))?;
        let seconds = options.timeout.or(container.asked.config.stop_timeout).unwrap_or(PATIENCE);
        let patience = u64::try_from(seconds).ok().map(Duration::from_secs);
        if !self.end_for(purpose, container, signal, patience)? {
            return Err(Error::NotModified(format!("container {} is not running", container.name)));
        }
        self.events().emit(&[container.event("stop", [])]);
        Ok(())
    }

    /// Ends a container and waits for it; whether there was anything to end.
    pub(crate) fn end(&self, container: &Container, signal: i32, patience: Option<Duration>) -> Result<bool> {
        self.end_for(Purpose::End, container, signal, patience)
    }

    fn end_for(
        &self,
        purpose: Purpose,
        container: &Container,
        signal: i32,
        patience: Option<Duration>,
    ) -> Result<bool> {
        let Some(ending) = self.ask_to_end(purpose, container, signal)? else { return Ok(false) };
        if !ending.wait(patience)? {
            self.signal(container, 9)?;
            self.events().emit(&[container.event("kill", [("signal", "9".to_owned())])]);
            if !ending.wait(Some(DEATH))? {
                let cause = format!(
                    "container {} did not end within {} s of SIGKILL: a process of it may be in an uninterruptible wait",
                    container.name,
                    DEATH.as_secs()
                );
                return Err(Error::Conflict(cause));
            }
        }
        // Without a monitor, somebody has to write down the end.
        self.lock_id(&container.id)?;
        Ok(true)
    }

    fn ask_to_end(&self, purpose: Purpose, container: &Container, signal: i32) -> Result<Option<Ending>> {
        let (lock, mut state) = self.lock(container)?;
        if !state.status.is_active() {
            return Ok(None);
        }
        state.stop_requested = true;
        // The next start takes it from what was asked for.
        state.row.auto_remove &= purpose == Purpose::End;
        lock.write_state(&state)?;
        let ending = Ending::of(self, &container.id, &state)?;
        match state.status {
            // It sleeps before the next start, and looks what is wanted.
            Status::Restarting => ending.wake(),
            _ => {
                self.signal(container, signal)?;
                // Told while the lock is held: before the monitor can tell of the end.
                self.events().emit(&[container.event("kill", [("signal", signal.to_string())])]);
            }
        }
        if let Some(payload) = self.payload(&container.id)? {
            thaw(&payload)?;
        }
        Ok(Some(ending))
    }

    /// Sends a signal to the first process; one that has ended meanwhile needs none.
    fn signal(&self, container: &Container, signal: i32) -> Result<()> {
        let Some(payload) = self.payload(&container.id)? else { return Ok(()) };
        match payload.kill(signal) {
            Err(_) if payload.status()? == oci::spec::Status::Stopped => Ok(()),
            sent => Ok(sent?),
        }
    }

    /// Sends a signal to a running container.
    ///
    /// # Errors
    /// Where it does not run, or there is no such signal.
    pub fn kill(&self, container: &Container, signal: &str) -> Result<()> {
        let number = signal::parse(if signal.is_empty() { "KILL" } else { signal })?;
        let (lock, mut state) = self.lock(container)?;
        if !state.status.is_active() {
            let cause = format!(
                "cannot kill container: {}: container {} is not running",
                container.name, container.id
            );
            return Err(Error::Conflict(cause));
        }
        let own = container.asked.config.stop_signal.as_deref().filter(|signal| !signal.is_empty());
        let ends = number == 9 || number == signal::parse(own.unwrap_or("TERM"))?;
        if ends && !state.stop_requested {
            state.stop_requested = true;
            lock.write_state(&state)?;
        }
        match state.status {
            Status::Restarting if ends => Ending::of(self, &container.id, &state)?.wake(),
            _ => self.signal(container, number)?,
        }
        self.events().emit(&[container.event("kill", [("signal", number.to_string())])]);
        Ok(())
    }

    /// Stops a container, if it runs, and starts it: one with `--rm`, too, which is not removed in between.
    ///
    /// # Errors
    /// As `stop` and `start`.
    pub fn restart(&self, container: &Container, options: &StopOptions) -> Result<Client> {
        match self.stop_for(Purpose::Restart, container, options) {
            Ok(()) | Err(Error::NotModified(_)) => {}
            Err(error) => return Err(error),
        }
        let client = self.start(container, None)?;
        self.events().emit(&[container.event("restart", [])]);
        Ok(client)
    }

    /// Freezes all processes of a container.
    ///
    /// # Errors
    /// Where it does not run, or is paused already.
    pub fn pause(&self, container: &Container) -> Result<()> {
        let (lock, state) = self.lock(container)?;
        match state.status {
            Status::Running => {}
            Status::Paused => {
                return Err(Error::Conflict(format!("Container {} is already paused", container.name)));
            }
            Status::Restarting => {
                let cause = format!(
                    "Container {} is restarting, wait until the container is running",
                    container.name
                );
                return Err(Error::Conflict(cause));
            }
            _ => return Err(Error::NotRunning(container.name.clone())),
        }
        let payload = self.running_payload(container)?;
        if !payload.has_cgroup() {
            return Err(Error::Unavailable(format!(
                "cannot pause container {}: it has no control group: {GROUPS_OF_USERS}",
                container.name
            )));
        }
        if !is_frozen(&payload)? {
            payload.pause()?;
        }
        self.switch(&lock, state, Status::Paused)?;
        self.events().emit(&[container.event("pause", [])]);
        Ok(())
    }

    /// Lets a paused container go on.
    ///
    /// # Errors
    /// Where it is not paused.
    pub fn unpause(&self, container: &Container) -> Result<()> {
        let (lock, state) = self.lock(container)?;
        let payload = self.running_payload(container);
        // Where a pause was killed, it is frozen though its state says nothing of it.
        if state.status != Status::Paused && !payload.as_ref().is_ok_and(|it| is_frozen(it).unwrap_or(false))
        {
            return Err(Error::Conflict(format!("Container {} is not paused", container.name)));
        }
        thaw(&payload?)?;
        self.switch(&lock, state, Status::Running)?;
        self.events().emit(&[container.event("unpause", [])]);
        Ok(())
    }

    fn switch(&self, lock: &Lock, state: State, status: Status) -> Result<()> {
        lock.write_state(&State { status, ..state })
    }

    pub(crate) fn running_payload(&self, container: &Container) -> Result<runtime::Container> {
        self.payload(&container.id)?.ok_or_else(|| Error::NotRunning(container.name.clone()))
    }

    /// The monitor as a process that no reuse of its number can fool.
    pub(crate) fn monitor_process(&self, id: &str) -> Result<Option<OwnedFd>> {
        let text = std::fs::read_to_string(self.paths().monitor_lock(id)).unwrap_or_default();
        let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else { return Ok(None) };
        let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(None) };
        // It held the lock when it wrote the number; if somebody holds it now, the number was still its own.
        Ok((self.monitor(id)? == Monitor::Alive).then_some(pidfd))
    }
}

fn is_frozen(payload: &runtime::Container) -> Result<bool> {
    Ok(payload.status()? == oci::spec::Status::Paused)
}

/// Lets the payload go on, if it does not: whoever froze or thawed it may have been killed before he wrote it down.
fn thaw(payload: &runtime::Container) -> Result<()> {
    if is_frozen(payload)? { Ok(payload.resume()?) } else { Ok(()) }
}

/// A container whose end is awaited: its monitor's, or, where that was killed, its first process'.
pub(crate) struct Ending {
    process: Option<OwnedFd>,
    is_monitor: bool,
}

impl Ending {
    pub fn of(engine: &Engine, id: &str, state: &State) -> Result<Ending> {
        let monitor = engine.monitor_process(id)?;
        let is_monitor = monitor.is_some();
        let payload = || Pid::from_raw(state.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Ok(Ending { process: monitor.or_else(payload), is_monitor })
    }

    /// Tells a monitor that sleeps to look what is wanted.
    fn wake(&self) {
        if let Some(process) = self.process.as_ref().filter(|_| self.is_monitor) {
            // It has ended meanwhile: so it needs no waking.
            let _ = pidfd_send_signal(process, Signal::USR1);
        }
    }

    /// Waits for the end; false where `patience` was over first.
    pub fn wait(&self, patience: Option<Duration>) -> Result<bool> {
        let Some(process) = &self.process else { return Ok(true) };
        let deadline = patience.map(|patience| Instant::now() + patience);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            let mut fds = [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::io("wait for", "the container's end", errno)),
            }
        }
    }
}

/// When `wait` returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// It does not run: at once where that is so.
    #[default]
    NotRunning,
    /// It has ended once more.
    NextExit,
    /// It is no more.
    Removed,
}

impl std::str::FromStr for Condition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Condition> {
        match text {
            "" | "not-running" => Ok(Condition::NotRunning),
            "next-exit" => Ok(Condition::NextExit),
            "removed" => Ok(Condition::Removed),
            _ => Err(Error::Invalid(format!("invalid condition: {text:?}"))),
        }
    }
}

impl Engine {
    /// Waits for a container; gives the exit code of its last run.
    ///
    /// # Errors
    /// Where events can't be read.
    pub fn wait(&self, container: &Container, condition: Condition) -> Result<i32> {
        // Watched before the state is read: an end in between is not missed.
        let mut following = self.events().follow()?;
        let mut code = None;
        loop {
            let state = self.state_of(&container.id)?;
            let active = state.as_ref().is_some_and(|state| state.status.is_active());
            for event in following.read()?.iter().filter(|event| event.actor.id == container.id) {
                if event.action == "die" && event.kind == "container" {
                    code = event.actor.attributes.get("exitCode").and_then(|code| code.parse().ok()).or(code);
                }
            }
            let last = state.as_ref().map(|state| state.exit_code);
            let is_done = match condition {
                Condition::NotRunning => !active || code.is_some(),
                Condition::NextExit => code.is_some() || state.is_none(),
                Condition::Removed => state.is_none(),
            };
            if is_done {
                return Ok(code.or(last).unwrap_or(0));
            }
            let process = match &state {
                Some(state) if active => Ending::of(self, &container.id, state)?.process,
                _ => None,
            };
            following.wait_or(process.as_ref())?;
        }
    }
}
