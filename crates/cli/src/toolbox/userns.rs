//! `berth userns`.

mod explain;
mod map;
mod set;

use clap::Subcommand;

use super::Outcome;

#[derive(Subcommand)]
pub enum Command {
    /// Show the id maps of a process through all levels up to the caller
    Map(map::Arguments),
    /// Say which of the caller's ids an id of a process is, and whether it may open a file and why
    Explain(explain::Arguments),
    /// Write the id maps of a new user namespace, and say why the kernel would refuse them
    Set(set::Arguments),
}

impl Command {
    pub fn run(self) -> Outcome {
        match self {
            Self::Map(arguments) => arguments.run(),
            Self::Explain(arguments) => arguments.run(),
            Self::Set(arguments) => arguments.run(),
        }
    }
}
