//! `berth top`

use std::process::ExitCode;

use clap::Args;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::format::aligned;
use crate::commands::output::print;

#[derive(Args)]
pub struct Top {
    /// Name or id
    container: String,
    /// Options of ps(1), such as `-o pid,comm` [default: -ef]
    #[arg(value_name = "PS OPTIONS", trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// As wide as Docker's.
const MIN_WIDTH: usize = 20;

impl Top {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let top = engine.top(&engine.find(&self.container)?, &self.options)?;
        let lines = std::iter::once(&top.titles).chain(&top.processes);
        // A tab in a command is no column.
        let lines: Vec<String> = lines.map(|cells| cells.join("\t").replace(['\n', '\x1b'], " ")).collect();
        print(&aligned(&lines, MIN_WIDTH))?;
        Ok(ExitCode::SUCCESS)
    }
}
