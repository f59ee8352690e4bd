//! `berth attach`

use clap::{ArgAction, Args};
use monitor::attach::{Signals, Wants};

use super::foreground::{Front, check_terminal, detach_keys};
use crate::commands::Outcome;
use crate::commands::context::Context;

#[derive(Args)]
pub struct Attach {
    /// The keys that detach from a terminal [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Don't attach to its input
    #[arg(long)]
    no_stdin: bool,
    /// Pass signals on to the container
    #[arg(long, value_name = "BOOL", default_value = "true", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sig_proxy: bool,
    /// Name or id
    container: String,
}

impl Attach {
    pub fn run(self, context: &Context) -> Outcome {
        let (engine, detach_keys) = (context.engine()?, detach_keys(self.detach_keys.as_deref())?);
        let container = engine.find(&self.container)?;
        let config = &container.asked.config;
        let stdin = !self.no_stdin && config.open_stdin;
        // A container that does not run is told before what is wrong here.
        let client = engine.attach(&container)?;
        check_terminal(stdin, config.tty)?;
        let signals = Signals::hold()?;
        let wants = Wants { stdin, stdout: true, stderr: true };
        let forward = self.sig_proxy && !config.tty;
        let front = Front { engine: &engine, container: &container, wants, detach_keys, forward };
        front.run(client, &signals)
    }
}
