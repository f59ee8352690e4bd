//! A client in front of a container: `run`, `start -a` and `attach` until it ends or they detach.

use std::error::Error;
use std::io::{IsTerminal, stdin};
use std::process::ExitCode;

use engine::{Container, Engine};
use monitor::attach::{Client, DetachKeys, Ending, Session, Signals, Wants};

use crate::commands::entry::Failed;

/// What the client is to the container.
pub struct Front<'a> {
    pub engine: &'a Engine,
    pub container: &'a Container,
    pub wants: Wants,
    pub detach_keys: DetachKeys,
    /// Whether signals go to the container.
    pub forward: bool,
}

/// Reads `--detach-keys`.
pub fn detach_keys(text: Option<&str>) -> Result<DetachKeys, Box<dyn Error>> {
    Ok(text.unwrap_or_default().parse::<DetachKeys>()?)
}

/// Refuses to give the input of a pipe to a terminal, which would never see its end.
pub fn check_terminal(stdin_wanted: bool, tty: bool) -> Result<(), &'static str> {
    if stdin_wanted && tty && !stdin().is_terminal() {
        return Err("the input device is not a TTY: leave -t out");
    }
    Ok(())
}

impl Front<'_> {
    /// Goes with the container; its exit code is ours.
    pub fn run(self, client: Client, signals: &Signals) -> Result<ExitCode, Box<dyn Error>> {
        let tty = self.container.asked.config.tty;
        let mut forward = |signal: i32| {
            // One that has ended meanwhile needs no signal.
            let _ = self.engine.kill(self.container, &signal.to_string());
        };
        let session = Session {
            wants: self.wants,
            tty,
            detach_keys: self.wants.stdin.then(|| self.detach_keys.clone()),
            forward: if self.forward { Some(&mut forward) } else { None },
            started: &mut |_| {},
        };
        match client.run(session, signals)? {
            Ending::Exited(exited) => Ok(ExitCode::from(exited.code)),
            Ending::Failed(failed) => Err(Failed { status: failed.code, error: failed.into() }.into()),
            Ending::Detached => {
                eprintln!("read escape sequence");
                Ok(ExitCode::SUCCESS)
            }
            Ending::Interrupted(signal) => Ok(ExitCode::from(128 + u8::try_from(signal).unwrap_or(0))),
            Ending::Dropped => Err(failed(format!(
                "detached from {}: its output was not read fast enough; `berth logs` has all of it",
                self.container.name
            ))),
            Ending::Lost => self.lost(),
        }
    }

    /// The connection broke before the end was told: the monitor was killed, or the container had just ended when we came.
    fn lost(&self) -> Result<ExitCode, Box<dyn Error>> {
        let state = self.engine.state(self.container)?;
        match u8::try_from(state.exit_code) {
            Ok(code) if !state.status.is_active() && state.error.is_empty() => Ok(ExitCode::from(code)),
            _ => Err(failed(format!(
                "the monitor of container {} was lost: `berth ps -a` tells what became of it",
                self.container.name
            ))),
        }
    }
}

fn failed(message: String) -> Box<dyn Error> {
    Failed { status: 125, error: message.into() }.into()
}

/// Waits until a container that was started runs; its failure is an error.
pub fn await_start(client: Client) -> Result<(), Box<dyn Error>> {
    match client.wait_started()? {
        // One that has ended already has run.
        Ok(_) | Err(Ending::Exited(_)) => Ok(()),
        Err(Ending::Failed(failed)) => Err(Failed { status: failed.code, error: failed.into() }.into()),
        Err(_) => Err(failed("the monitor was lost before the container ran".to_owned())),
    }
}
