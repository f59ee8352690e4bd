//! `berth stop`

use clap::Args;
use engine::{Error, StopOptions};

use super::each;
use crate::commands::Outcome;
use crate::commands::context::Context;

#[derive(Args)]
pub struct Stop {
    #[command(flatten)]
    how: How,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

// How a container is asked to stop: no doc comment, which clap would take for the command.
#[derive(Args)]
pub struct How {
    /// The signal that asks it to stop [default: SIGTERM, or what the image says]
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
    /// Seconds to wait before it is killed; -1 waits for ever [default: 10, or what the container says]
    #[arg(short, long, visible_alias = "time", value_name = "SECONDS", allow_negative_numbers = true)]
    timeout: Option<i64>,
}

impl From<How> for StopOptions {
    fn from(how: How) -> StopOptions {
        StopOptions { signal: how.signal, timeout: how.timeout }
    }
}

impl Stop {
    pub fn run(self, context: &Context) -> Outcome {
        let (engine, options) = (context.engine()?, StopOptions::from(self.how));
        each::at_once(&engine, &self.containers, |container| match engine.stop(container, &options) {
            // What does not run has stopped.
            Ok(()) | Err(Error::NotModified(_)) => Ok(()),
            Err(error) => Err(error),
        })
    }
}
