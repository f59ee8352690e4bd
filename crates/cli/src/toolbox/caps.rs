//! `berth caps`.

mod codec;
mod file;
mod run;
mod show;

use clap::Subcommand;

use super::Outcome;

#[derive(Subcommand)]
pub enum Command {
    /// Name the capabilities in a hexadecimal mask
    Decode(codec::Decode),
    /// Make a hexadecimal mask of names
    Encode(codec::Encode),
    /// Explain what a capability allows, what needs it and which flag gives it
    Why(codec::Why),
    /// Show the five sets of a process, and of its threads where they differ
    Show(show::Show),
    /// List the processes that have capabilities
    Ls(show::Ls),
    /// Show the capabilities of files, as getcap does
    Get(file::Get),
    /// Give capabilities to files, as setcap does
    Set(file::Set),
    /// Take all capabilities from files
    Rm(file::Rm),
    /// Run a program with exactly these sets
    Run(run::Run),
}

impl Command {
    pub fn run(self) -> Outcome {
        match self {
            Self::Decode(arguments) => arguments.run(),
            Self::Encode(arguments) => arguments.run(),
            Self::Why(arguments) => arguments.run(),
            Self::Show(arguments) => arguments.run(),
            Self::Ls(arguments) => arguments.run(),
            Self::Get(arguments) => arguments.run(),
            Self::Set(arguments) => arguments.run(),
            Self::Rm(arguments) => arguments.run(),
            Self::Run(arguments) => arguments.run(),
        }
    }
}
