//! `berth container …`, and the same commands without that word.

pub mod create;
mod device;
mod each;
mod env;
pub mod inspect;
pub mod kill;
pub mod ls;
mod mount;
mod networks;
pub mod pause;
pub mod port;
mod ports;
pub mod prune;
pub mod rename;
mod request;
pub mod rm;
mod security;
pub mod stats;
pub mod stop;
pub mod top;
pub mod wait;

use super::entry::{Entry, command, quick};

pub const COMMANDS: &[Entry] = &[
    quick!("create", "Make a container, without starting it", create),
    command!("inspect", "Show all that is known of one or more containers", inspect::Inspect),
    command!("kill", "Send a signal to one or more running containers", kill::Kill),
    command!("ls" | "list" | "ps", "List containers", ls::Ls),
    command!("pause", "Freeze all processes of one or more containers", pause::Pause),
    command!("port", "Show where ports of a container are published", port::Port),
    command!("prune", "Remove all stopped containers", prune::Prune),
    command!("rename", "Give a container another name", rename::Rename),
    command!("rm" | "remove", "Remove one or more containers", rm::Rm),
    command!("stats", "Show what containers use, again and again", stats::Stats),
    command!("stop", "Stop one or more running containers", stop::Stop),
    command!("top", "Show the processes of a container", top::Top),
    command!("unpause", "Let frozen processes go on", pause::Unpause),
    command!("wait", "Wait until containers stop, and print their exit codes", wait::Wait),
];
