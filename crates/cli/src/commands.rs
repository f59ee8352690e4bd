//! The commands for images, under Docker's names: one file a command.

mod context;
mod df;
mod diff;
mod fsck;
mod gc;
mod history;
mod image;
mod images;
mod import;
mod inspect;
mod load;
mod login;
mod logout;
mod manifest;
mod mount;
mod output;
mod prune;
mod pull;
mod push;
mod rmi;
mod save;
mod sign_check;
mod tag;
mod tree;

use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use context::Context;

/// Docker's exit status for flags that it does not know.
const USAGE_STATUS: u8 = 125;

#[derive(Parser)]
#[command(name = "berth", about = "A container engine", version)]
struct Arguments {
    /// Where images and containers are kept [default: /var/lib/berth, or berth in $XDG_DATA_HOME]
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Download an image from a registry
    Pull(pull::Pull),
    /// Upload an image to a registry
    Push(push::Push),
    /// List images
    Images(images::Images),
    /// Manage images
    #[command(subcommand)]
    Image(image::Image),
    /// Remove one or more images
    Rmi(rmi::Rmi),
    /// Give an image another name
    Tag(tag::Tag),
    /// Save one or more images to an archive
    Save(save::Save),
    /// Load images from an archive
    Load(load::Load),
    /// Make an image of a root file system in a tar archive
    Import(import::Import),
    /// Show how an image came about
    History(history::History),
    /// Log in to a registry
    Login(login::Login),
    /// Log out from a registry
    Logout(logout::Logout),
    /// Manage manifests and lists of them
    #[command(subcommand)]
    Manifest(manifest::Manifest),
    /// Show what images take on disk
    Df(df::Df),
    /// Free what nothing refers to
    Gc(gc::Gc),
    /// Check what is on disk, and mend it
    Fsck(fsck::Fsck),
}

/// What a command answers: the exit status, or an error to print.
type Outcome = Result<ExitCode, Box<dyn Error>>;

/// Whether `arguments` (with the program's name first) are for one of these commands.
pub fn knows(arguments: &[OsString]) -> bool {
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        match argument.to_str() {
            Some("--root") => drop(rest.next()),
            Some(flag) if flag.starts_with("--root=") => {}
            _ => return Arguments::command().get_subcommands().any(|command| argument == command.get_name()),
        }
    }
    false
}

/// Runs a command; `arguments` are those of the program, with its name first.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let parsed = match Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error),
    };
    let context = Context::new(parsed.root);
    parsed.command.run(&context).unwrap_or_else(|error| {
        eprintln!("berth: {}", told(error.as_ref()));
        if let Some(hint) = context::hint(error.as_ref()) {
            eprintln!("hint: {hint}");
        }
        ExitCode::FAILURE
    })
}

/// These commands with their flags.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Prints what clap has to say: help that was asked for, or what is wrong with the arguments.
pub fn usage(error: &clap::Error) -> ExitCode {
    // What can't be printed has no reader.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(USAGE_STATUS),
    }
}

/// An error with all its causes.
fn told(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told += &format!(": {error}");
        cause = error.source();
    }
    told
}

impl Command {
    fn run(self, context: &Context) -> Outcome {
        match self {
            Command::Pull(command) => command.run(context),
            Command::Push(command) => command.run(context),
            Command::Images(command) => command.run(context),
            Command::Image(command) => command.run(context),
            Command::Rmi(command) => command.run(context),
            Command::Tag(command) => command.run(context),
            Command::Save(command) => command.run(context),
            Command::Load(command) => command.run(context),
            Command::Import(command) => command.run(context),
            Command::History(command) => command.run(context),
            Command::Login(command) => command.run(context),
            Command::Logout(command) => command.run(context),
            Command::Manifest(command) => command.run(context),
            Command::Df(command) => command.run(context),
            Command::Gc(command) => command.run(context),
            Command::Fsck(command) => command.run(context),
        }
    }
}
