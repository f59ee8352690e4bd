//! `berth network map`

use std::process::ExitCode;

use clap::Args;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::format::pretty;
use crate::commands::output::print;

#[derive(Args)]
pub struct Map {
    /// For graphviz
    #[arg(long, conflicts_with = "json")]
    dot: bool,
    /// As data
    #[arg(long)]
    json: bool,
}

impl Map {
    pub fn run(self, context: &Context) -> Outcome {
        let map = context.engine()?.networks().map()?;
        print(&match (self.dot, self.json) {
            (true, _) => map.dot(),
            (_, true) => pretty(&map)? + "\n",
            _ => map.text(),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
