//! `berth volume prune`

use std::process::ExitCode;

use clap::Args;
use engine::Filters;

use super::users;
use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::{print, prompt, units};

#[derive(Args)]
pub struct Prune {
    /// Remove those with names as well, not only those that were made for one container
    #[arg(short, long)]
    all: bool,
    /// Remove those that fit: label=NAME[=VALUE], label!=NAME[=VALUE]
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Don't ask
    #[arg(short, long)]
    force: bool,
}

impl Prune {
    pub fn run(self, context: &Context) -> Outcome {
        let what = if self.all { "all" } else { "anonymous" };
        let question = format!(
            "WARNING! This will remove {what} local volumes not used by at least one container.\n\
             Are you sure you want to continue?"
        );
        if !self.force && !prompt::confirm(&question)? {
            return Ok(ExitCode::SUCCESS);
        }
        let engine = context.engine()?;
        let filters = Filters::parse(self.filter.iter().map(String::as_str))?;
        let pruned = context.volumes().prune(self.all, &filters, &|| users(&engine))?;
        let mut text = String::new();
        if !pruned.volumes.is_empty() {
            text += "Deleted Volumes:\n";
            text.extend(pruned.volumes.iter().map(|name| format!("{name}\n")));
            text += "\n";
        }
        print(&format!("{text}Total reclaimed space: {}\n", units::size(pruned.reclaimed, 4)))?;
        Ok(ExitCode::SUCCESS)
    }
}
