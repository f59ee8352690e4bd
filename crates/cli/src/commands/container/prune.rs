//! `berth container prune`

use std::process::ExitCode;

use clap::Args;
use engine::Filters;
use jiff::Timestamp;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::{print, prompt, units};
use crate::commands::values::instant;

#[derive(Args)]
pub struct Prune {
    /// Remove those that fit: until=TIME, label=NAME[=VALUE], label!=NAME[=VALUE]
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Don't ask
    #[arg(short, long)]
    force: bool,
}

impl Prune {
    pub fn run(self, context: &Context) -> Outcome {
        let question =
            "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?";
        if !self.force && !prompt::confirm(question)? {
            return Ok(ExitCode::SUCCESS);
        }
        let filters = Filters::parse(self.filter.iter().map(String::as_str))?;
        let until = filters.get("until").iter().map(|time| instant(time, Timestamp::now()));
        let until = until.collect::<Result<Vec<_>, _>>()?.into_iter().min();
        let pruned = context.engine()?.prune(&filters, until)?;
        let mut text = String::new();
        if !pruned.removed.is_empty() {
            text += "Deleted Containers:\n";
            text.extend(pruned.removed.iter().map(|id| format!("{id}\n")));
            text += "\n";
        }
        print(&format!("{text}Total reclaimed space: {}\n", units::size(pruned.bytes, 4)))?;
        Ok(ExitCode::SUCCESS)
    }
}
