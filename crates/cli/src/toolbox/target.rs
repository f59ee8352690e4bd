//! What most tools take: a target, and whether the answer is JSON.

use clap::Args;
use rustix::process::Pid;
use toolbox::containers::{self, TargetError};

#[derive(Args)]
pub struct Target {
    /// JSON
    #[arg(long)]
    pub json: bool,
    /// A process id or a container
    target: String,
}

impl Target {
    /// The process that is meant.
    pub fn pid(&self) -> Result<Pid, TargetError> {
        containers::resolve(&self.target)
    }
}
