//! `berth caps show` and `ls`.

use std::process::ExitCode;

use clap::Args;
use toolbox::caps::ls;
use toolbox::caps::show::Privileges;
use toolbox::containers::{self, Containers};

use crate::toolbox::{Outcome, output};

#[derive(Args)]
pub struct Show {
    /// JSON
    #[arg(long)]
    json: bool,
    /// berth itself, with its securebits
    #[arg(long = "self", conflicts_with = "target")]
    own: bool,
    /// A process id or a container
    #[arg(required_unless_present = "own")]
    target: Option<String>,
}

impl Show {
    pub fn run(self) -> Outcome {
        let pid = match self.target {
            Some(target) => containers::resolve(&target)?,
            None => rustix::process::getpid(),
        };
        let privileges = Privileges::of_process(pid)?;
        output::answer(self.json, &privileges, || privileges.text())
    }
}

#[derive(Args)]
pub struct Ls {
    /// JSON
    #[arg(long)]
    json: bool,
    /// Kernel threads too
    #[arg(short, long)]
    all: bool,
}

impl Ls {
    pub fn run(self) -> Outcome {
        let holders = ls::holders(self.all, &Containers::read())?;
        if self.json {
            output::print_json(&holders)?;
        } else {
            output::print_table(&ls::table(&holders).to_string())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
