//! `berth ns show`.

use std::process::ExitCode;

use clap::Args;
use toolbox::containers;
use toolbox::ns::show::Comparison;

use crate::toolbox::{Outcome, output};

#[derive(Args)]
pub struct Arguments {
    /// JSON
    #[arg(long)]
    json: bool,
    /// A process id or a container
    target: String,
}

impl Arguments {
    pub fn run(self) -> Outcome {
        let comparison = Comparison::new(containers::resolve(&self.target)?)?;
        if self.json {
            output::print_json(&comparison)?;
        } else {
            output::print(&comparison.text())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
