//! `berth network prune`

use std::process::ExitCode;

use clap::Args;
use engine::Filters;
use jiff::Timestamp;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::{print, prompt};
use crate::commands::values::instant;

#[derive(Args)]
pub struct Prune {
    /// Remove those that fit: label=NAME[=VALUE], label!=NAME[=VALUE], until=TIME
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Don't ask
    #[arg(short, long)]
    force: bool,
}

impl Prune {
    pub fn run(self, context: &Context) -> Outcome {
        let filters = Filters::parse(self.filter.iter().map(String::as_str))?;
        filters.only(&["label", "label!", "until"])?;
        let until = filters.get("until").iter().map(|text| instant(text, Timestamp::now()));
        let until = until.collect::<Result<Vec<_>, _>>()?.into_iter().min();
        let question = "WARNING! This will remove all custom networks not used by at least one container.\n\
                        Are you sure you want to continue?";
        if !self.force && !prompt::confirm(question)? {
            return Ok(ExitCode::SUCCESS);
        }
        let removed = context.engine()?.networks().prune(|network| {
            let created = network.created.parse::<Timestamp>().map(|time| time.as_nanosecond());
            let old = until.is_none_or(|until| created.is_ok_and(|created| created < i128::from(until)));
            old && filters.labels(&network.labels)
        })?;
        if !removed.is_empty() {
            let names: String = removed.iter().map(|name| format!("{name}\n")).collect();
            print(&format!("Deleted Networks:\n{names}\n"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
