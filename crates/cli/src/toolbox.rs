//! `berth ns|userns|caps|cgroup|mounts|netns|seccomp|explain`: the toolbox, which needs no engine.

mod caps;
mod cgroup;
mod denials;
mod explain;
mod getopt;
mod mounts;
mod netns;
mod ns;
mod output;
mod seccomp;
mod signals;
mod target;
mod userns;

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use toolbox::launch::{Ending, ExecError};

#[derive(Parser)]
#[command(name = "berth", about = "Shows and changes what containers are made of")]
struct Arguments {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one value, made once")]
enum Tool {
    /// Namespaces: list, compare, enter and make them
    #[command(subcommand)]
    Ns(ns::Command),
    /// Capabilities: explain, show, list, of files, and run with chosen ones
    #[command(subcommand)]
    Caps(caps::Command),
    /// User namespaces: what ids mean, who may open a file, and writing maps
    #[command(subcommand)]
    Userns(userns::Command),
    /// Control groups: limits, use and pressure
    #[command(subcommand)]
    Cgroup(cgroup::Command),
    /// Network namespaces: list with links and peers, name, run programs in them
    #[command(subcommand)]
    Netns(netns::Command),
    /// seccomp: filters in force, what a call would get, profiles as programs
    #[command(subcommand)]
    Seccomp(seccomp::Command),
    /// One page: what isolates a process, what it may do, which limits it is near
    Explain(explain::Arguments),
    /// The mounts of a process and how they differ from the caller's
    Mounts(mounts::Arguments),
}

impl Tool {
    fn run(self) -> Outcome {
        match self {
            Self::Ns(command) => command.run(),
            Self::Caps(command) => command.run(),
            Self::Userns(command) => command.run(),
            Self::Cgroup(command) => command.run(),
            Self::Netns(command) => command.run(),
            Self::Seccomp(command) => command.run(),
            Self::Explain(arguments) => arguments.run(),
            Self::Mounts(arguments) => arguments.run(),
        }
    }
}

/// What a tool answers: the exit status, or an error to print.
type Outcome = Result<ExitCode, Box<dyn Error>>;

/// The tools with their flags.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// The tools' names: known without making all their flags.
const NAMES: &[&str] = &["ns", "caps", "userns", "cgroup", "netns", "seccomp", "explain", "mounts"];

/// Whether there is a tool of this name.
pub fn knows(name: &OsStr) -> bool {
    NAMES.iter().any(|tool| name == *tool)
}

/// Runs a tool; `arguments` are those of the program, with its name first.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let mut command = Arguments::command();
    command.build();
    let arguments = getopt::expand_attached_values(&command, arguments);
    let parsed =
        command.try_get_matches_from(arguments).and_then(|matches| Arguments::from_arg_matches(&matches));
    let outcome = match parsed {
        Ok(Arguments { tool }) => tool.run(),
        Err(error) => error.exit(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("berth: {error}");
        ExitCode::from(exit_status(error.as_ref()))
    })
}

/// 126 and 127 tell that a program could not be run, as in shells; everything else is 1.
fn exit_status(error: &(dyn Error + 'static)) -> u8 {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(exec) = error.downcast_ref::<ExecError>() {
            return exec.exit_status();
        }
        cause = error.source();
    }
    1
}

/// Ends as a program that was waited for ended: with its status, or by the same signal.
fn end_like(ending: Ending) -> ExitCode {
    match ending {
        Ending::Exited(status) => ExitCode::from(u8::try_from(status).unwrap_or(1)),
        Ending::Killed(signal) => {
            if let Some(signal) = rustix::process::Signal::from_named_raw(signal) {
                let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
            }
            ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_is_known_by_its_name() {
        let tools = command();
        assert!(tools.get_subcommands().map(clap::Command::get_name).eq(NAMES.iter().copied()));
    }
}
