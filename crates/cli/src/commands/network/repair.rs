//! `berth network repair`

use std::process::ExitCode;

use clap::Args;

use crate::commands::Outcome;
use crate::commands::context::Context;

#[derive(Args)]
pub struct Repair {}

impl Repair {
    pub fn run(self, context: &Context) -> Outcome {
        context.engine()?.networks().repair()?;
        Ok(ExitCode::SUCCESS)
    }
}
