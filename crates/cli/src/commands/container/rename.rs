//! `berth rename`

use std::process::ExitCode;

use clap::Args;

use crate::commands::Outcome;
use crate::commands::context::Context;

#[derive(Args)]
pub struct Rename {
    /// Name or id
    container: String,
    /// Its new name
    name: String,
}

impl Rename {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        engine.rename(&engine.find(&self.container)?, &self.name)?;
        Ok(ExitCode::SUCCESS)
    }
}
