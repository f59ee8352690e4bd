//! `berth kill`

use clap::Args;

use super::each;
use crate::commands::Outcome;
use crate::commands::context::Context;

#[derive(Args)]
pub struct Kill {
    /// The signal, by name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    signal: String,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Kill {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        engine::parse_signal(&self.signal)?;
        each::at_once(&engine, &self.containers, |container| engine.kill(container, &self.signal))
    }
}
