//! `berth mounts`.

use clap::Args;
use toolbox::mounts::Mounts;

use super::target::Target;
use super::{Outcome, output};

#[derive(Args)]
pub struct Arguments {
    /// Show each mount below the one it is on
    #[arg(long)]
    tree: bool,
    #[command(flatten)]
    target: Target,
}

impl Arguments {
    pub fn run(self) -> Outcome {
        let mounts = Mounts::of_process(self.target.pid()?)?;
        output::answer(self.target.json, &mounts, || mounts.text(self.tree))
    }
}
