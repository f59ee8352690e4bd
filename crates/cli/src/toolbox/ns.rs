//! `berth ns`.

mod enter;
mod kinds;
mod ls;
mod new;
mod show;

use clap::Subcommand;

use super::Outcome;

#[derive(Subcommand)]
pub enum Command {
    /// List namespaces of all types, also those that no process is in
    Ls(ls::Arguments),
    /// Compare the namespaces of a process with the caller's
    Show(show::Arguments),
    /// Run a program in namespaces of another process, as nsenter does
    Enter(enter::Arguments),
    /// Run a program in new namespaces, as unshare does
    New(new::Arguments),
}

impl Command {
    pub fn run(self) -> Outcome {
        match self {
            Self::Ls(arguments) => arguments.run(),
            Self::Show(arguments) => arguments.run(),
            Self::Enter(arguments) => arguments.run(),
            Self::New(arguments) => arguments.run(),
        }
    }
}
