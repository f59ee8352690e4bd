//! `berth wait`

use clap::Args;
use engine::Condition;

use super::each;
use crate::commands::Outcome;
use crate::commands::context::Context;

#[derive(Args)]
pub struct Wait {
    /// What to wait for: not-running, next-exit, removed
    #[arg(long, value_name = "CONDITION", default_value = "not-running")]
    condition: Condition,
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Wait {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        each::answer_in_turn(&engine, &self.containers, |_, container| {
            Ok(format!("{}\n", engine.wait(container, self.condition)?))
        })
    }
}
