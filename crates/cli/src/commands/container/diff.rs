//! `berth diff`

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use engine::Change;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::print;

#[derive(Args)]
pub struct Diff {
    /// Name or id
    container: String,
}

impl Diff {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let mut text = String::new();
        for (change, path) in engine.diff(&engine.find(&self.container)?)? {
            let letter = match change {
                Change::Added => 'A',
                Change::Changed => 'C',
                Change::Deleted => 'D',
            };
            writeln!(text, "{letter} {path}")?;
        }
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}
