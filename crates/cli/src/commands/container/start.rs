//! `berth start` and `berth restart`

use clap::Args;
use engine::{Error, StopOptions};
use monitor::attach::{Signals, Wants};

use super::each;
use super::foreground::{Front, await_start, check_terminal, detach_keys};
use super::stop::How;
use crate::commands::Outcome;
use crate::commands::context::Context;

#[derive(Args)]
pub struct Start {
    /// Attach to its output, and pass signals on
    #[arg(short, long)]
    attach: bool,
    /// The keys that detach from a terminal [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Attach to its input as well
    #[arg(short, long)]
    interactive: bool,
    /// Don't pass signals on
    #[arg(long = "sig-proxy", value_name = "BOOL", default_value = "true", action = clap::ArgAction::Set, hide = true)]
    sig_proxy: bool,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

#[derive(Args)]
pub struct Restart {
    #[command(flatten)]
    how: How,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Start {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        if self.attach || self.interactive {
            return self.in_front(context);
        }
        each::in_turn(&engine, &self.containers, |container| {
            match engine.start(container, None) {
                Ok(client) => await_start(client)?,
                Err(Error::NotModified(_)) => {}
                Err(error) => return Err(error.into()),
            }
            Ok(())
        })
    }

    fn in_front(self, context: &Context) -> Outcome {
        let [name] = &self.containers[..] else {
            return Err("you cannot start and attach multiple containers at once".into());
        };
        let (engine, detach_keys) = (context.engine()?, detach_keys(self.detach_keys.as_deref())?);
        let container = engine.find(name)?;
        let config = &container.asked.config;
        let stdin = self.interactive && config.open_stdin;
        check_terminal(stdin, config.tty)?;
        let wants = Wants { stdin, stdout: true, stderr: true };
        let signals = Signals::hold()?;
        let client = engine.start(&container, Some(wants))?;
        let front =
            Front { engine: &engine, container: &container, wants, detach_keys, forward: self.sig_proxy };
        front.run(client, &signals)
    }
}

impl Restart {
    pub fn run(self, context: &Context) -> Outcome {
        let (engine, options) = (context.engine()?, StopOptions::from(self.how));
        each::in_turn(&engine, &self.containers, |container| {
            await_start(engine.restart(container, &options)?)
        })
    }
}
