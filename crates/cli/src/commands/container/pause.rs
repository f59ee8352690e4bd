//! `berth pause` and `berth unpause`

use clap::Args;

use super::each;
use crate::commands::Outcome;
use crate::commands::context::Context;

#[derive(Args)]
pub struct Pause {
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

#[derive(Args)]
pub struct Unpause {
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Pause {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        each::at_once(&engine, &self.containers, |container| engine.pause(container))
    }
}

impl Unpause {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        each::at_once(&engine, &self.containers, |container| engine.unpause(container))
    }
}
