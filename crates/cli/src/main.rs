//! The `berth` binary: the OCI runtime under the names `berth-oci`, `runc` and `crun` and as `berth oci`, and the
//! tools as commands of `berth`.
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "doc comments of arguments are what --help prints: NAME[:TAG]"
)]

mod commands;
mod oci;
mod toolbox;
mod unprinted;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    unprinted::end_quietly();
    let mut args: Vec<OsString> = std::env::args_os().collect();
    if args.first().is_some_and(|name| name == engine::MONITOR) {
        return engine::be_monitor(&args);
    }
    let name = args.first().and_then(|arg| Path::new(arg).file_name()).map(OsStr::to_os_string);
    if name.is_some_and(|name| name == "berth-oci" || name == "runc" || name == "crun") {
        return oci::main(args);
    }
    if args.get(1).is_some_and(|command| command == "oci") {
        args.splice(..2, ["berth oci".into()]);
        return oci::main(args);
    }
    if let Some(status) = commands::run(&args) {
        return status;
    }
    match args.get(1) {
        Some(tool) if toolbox::knows(tool) => toolbox::run(args),
        _ => whole(args),
    }
}

/// What is asked of the binary as a whole: help, the version, or a command that there is not.
fn whole(args: Vec<OsString>) -> ExitCode {
    match whole_tree().try_get_matches_from(&args) {
        // Flags for images before a tool: it says which one it does not take.
        Ok(_) => toolbox::run(args),
        Err(error) => commands::usage(&error),
    }
}

/// All commands with all their flags.
fn whole_tree() -> clap::Command {
    let tools = toolbox::command();
    // As they stand in their tables; then the tools, by name.
    let tools = tools.get_subcommands().cloned().map(|tool| tool.display_order(100));
    commands::command().subcommands(tools).subcommand(oci::command().display_order(101))
}
