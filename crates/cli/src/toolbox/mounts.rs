//! `berth mounts`.

use std::process::ExitCode;

use clap::Args;
use toolbox::containers;
use toolbox::mounts::Mounts;

use super::{Outcome, output};

#[derive(Args)]
pub struct Arguments {
    /// Show each mount below the one it is on
    #[arg(long)]
    tree: bool,
    /// JSON
    #[arg(long)]
    json: bool,
    /// A process id or a container
    target: String,
}

impl Arguments {
    pub fn run(self) -> Outcome {
        let mounts = Mounts::of_process(containers::resolve(&self.target)?)?;
        if self.json {
            output::print_json(&mounts)?;
        } else {
            output::print(&mounts.text(self.tree))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
