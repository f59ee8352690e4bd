//! berth's commands, under Docker's names: one file a command.

pub mod container;
mod context;
mod entry;
mod events;
mod flags;
mod fsck;
mod gc;
mod generate;
mod image;
mod info;
mod inspect;
mod layers;
mod login;
mod logout;
mod manifest;
mod manual;
mod network;
mod output;
mod system;
mod values;
mod version;
mod volume;

use std::ffi::OsString;
use std::process::ExitCode;

use entry::{Entry, command, group, quick};

use entry::told;
pub use entry::{Outcome, usage};

const COMMANDS: &[Entry] = &[
    quick!("run", "Make a container of an image and start it", container::run),
    quick!("create", "Make a container, without starting it", container::create),
    command!("start", "Start one or more stopped containers", container::start::Start),
    command!("stop", "Stop one or more running containers", container::stop::Stop),
    command!("restart", "Stop and start one or more containers", container::start::Restart),
    command!("kill", "Send a signal to one or more running containers", container::kill::Kill),
    command!("pause", "Freeze all processes of one or more containers", container::pause::Pause),
    command!("unpause", "Let frozen processes go on", container::pause::Unpause),
    command!("ps", "List containers", container::ls::Ls),
    command!("rm", "Remove one or more containers", container::rm::Rm),
    command!("rename", "Give a container another name", container::rename::Rename),
    quick!("exec", "Run a program in a running container", container::exec),
    command!("logs", "Show what a container has written", container::logs::Logs),
    command!("attach", "Attach to a running container", container::attach::Attach),
    quick!("update", "Change the limits of one or more containers", container::update),
    command!("wait", "Wait until containers stop, and print their exit codes", container::wait::Wait),
    command!(
        "inspect",
        "Show all that is known of containers, images, networks or volumes",
        inspect::Inspect
    ),
    command!("top", "Show the processes of a container", container::top::Top),
    command!("stats", "Show what containers use, again and again", container::stats::Stats),
    command!("port", "Show where ports of a container are published", container::port::Port),
    command!("cp", "Copy files into and out of containers", container::cp::Cp),
    command!("diff", "List what a container has changed in its file system", container::diff::Diff),
    command!("commit", "Make an image of a container's file system", container::commit::Commit),
    command!("export", "Write a container's file system as a tar archive", container::export::Export),
    group!("container", "Manage containers", container::COMMANDS),
    command!("pull", "Download an image from a registry", image::pull::Pull),
    command!("push", "Upload an image to a registry", image::push::Push),
    command!("images", "List images", image::ls::Images),
    group!("image", "Manage images", image::COMMANDS),
    command!("rmi", "Remove one or more images", image::rm::Rmi),
    command!("tag", "Give an image another name", image::tag::Tag),
    command!("save", "Save one or more images to an archive", image::save::Save),
    command!("load", "Load images from an archive", image::load::Load),
    command!("import", "Make an image of a root file system in a tar archive", image::import::Import),
    command!("history", "Show how an image came about", image::history::History),
    command!("login", "Log in to a registry", login::Login),
    command!("logout", "Log out from a registry", logout::Logout),
    group!("manifest", "Manage manifests and lists of them", manifest::COMMANDS),
    group!("network", "Manage networks", network::COMMANDS),
    group!("volume", "Manage volumes", volume::COMMANDS),
    command!("layers", "Show what a container's root is made of", layers::Layers),
    command!("events", "Show what happens to containers and images", events::Events),
    command!("info", "Show facts about this host and what is on it", info::Info),
    command!("version", "Show the versions of berth and the kernel", version::Version),
    group!("system", "Manage what is on this host", system::COMMANDS),
    group!("generate", "Print configurations for other programs", generate::COMMANDS),
    command!("df", "Show what images, containers and volumes take on disk", system::df::Df),
    command!("gc", "Free what nothing refers to", gc::Gc),
    command!("fsck", "Check what is on disk, and mend it", fsck::Fsck),
    command!("completion", "Print the completion script of a shell", manual::Completion),
    command!("man", "Write manual pages", manual::Man),
];

/// Runs the command that `words` (with the program's name first) are for, where it is one of these.
pub fn run(words: &[OsString]) -> Option<ExitCode> {
    entry::dispatch(COMMANDS, words)
}

/// These commands with their flags.
pub fn command() -> clap::Command {
    clap::Command::new("berth")
        .about("A container engine")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(entry::root())
        .subcommands(COMMANDS.iter().map(|entry| entry.tree(&format!("berth {}", entry.name))))
}
