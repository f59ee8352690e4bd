//! `berth container …`, and the same commands without that word.

pub mod attach;
pub mod commit;
pub mod cp;
pub mod create;
mod device;
pub mod diff;
mod each;
mod env;
pub mod exec;
pub mod export;
pub mod foreground;
pub mod inspect;
pub mod kill;
pub mod logs;
pub mod ls;
mod mount;
mod networks;
pub mod observed;
pub mod pause;
pub mod port;
mod ports;
pub mod prune;
pub mod rename;
mod request;
pub mod rm;
pub mod run;
mod security;
pub mod start;
pub mod stats;
pub mod stop;
pub mod top;
pub mod update;
pub mod wait;

use super::entry::{Entry, command, quick};

pub const COMMANDS: &[Entry] = &[
    command!("attach", "Attach to a running container", attach::Attach),
    command!("commit", "Make an image of a container's file system", commit::Commit),
    command!("cp", "Copy files into and out of containers", cp::Cp),
    quick!("create", "Make a container, without starting it", create),
    command!("diff", "List what a container has changed in its file system", diff::Diff),
    quick!("exec", "Run a program in a running container", exec),
    command!("export", "Write a container's file system as a tar archive", export::Export),
    command!("inspect", "Show all that is known of one or more containers", inspect::Inspect),
    command!("kill", "Send a signal to one or more running containers", kill::Kill),
    command!("logs", "Show what a container has written", logs::Logs),
    command!("ls" | "list" | "ps", "List containers", ls::Ls),
    command!("pause", "Freeze all processes of one or more containers", pause::Pause),
    command!("port", "Show where ports of a container are published", port::Port),
    command!("prune", "Remove all stopped containers", prune::Prune),
    command!("rename", "Give a container another name", rename::Rename),
    command!("restart", "Stop and start one or more containers", start::Restart),
    command!("rm" | "remove", "Remove one or more containers", rm::Rm),
    quick!("run", "Make a container of an image and start it", run),
    command!("start", "Start one or more stopped containers", start::Start),
    command!("stats", "Show what containers use, again and again", stats::Stats),
    command!("stop", "Stop one or more running containers", stop::Stop),
    command!("top", "Show the processes of a container", top::Top),
    command!("unpause", "Let frozen processes go on", pause::Unpause),
    quick!("update", "Change the limits of one or more containers", update),
    command!("wait", "Wait until containers stop, and print their exit codes", wait::Wait),
];
