//! `berth system …`

pub mod df;
mod prune;
mod start;

use super::entry::{Entry, command};
use super::{events, info};

pub const COMMANDS: &[Entry] = &[
    command!("df", "Show what images, containers and volumes take on disk", df::Df),
    command!("events", "Show what happens to containers and images", events::Events),
    command!("info", "Show facts about this host and what is on it", info::Info),
    command!("prune", "Remove what nobody needs", prune::Prune),
    command!("start", "Start what a restart policy wants running, after the host's start", start::Start),
];
