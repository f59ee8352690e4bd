//! `berth network …`

mod connect;
mod create;
mod inspect;
mod ls;
mod map;
mod prune;
mod repair;
mod rm;
mod trace;

pub use inspect::find;

use super::entry::{Entry, command};

pub const COMMANDS: &[Entry] = &[
    command!("connect", "Connect a container to a network", connect::Connect),
    command!("create", "Make a network", create::Create),
    command!("disconnect", "Disconnect a container from a network", connect::Disconnect),
    command!("inspect", "Show all that is known of one or more networks", inspect::Inspect),
    command!("ls" | "list", "List networks", ls::Ls),
    command!("map", "Draw networks with their containers", map::Map),
    command!("prune", "Remove networks that no container is connected to", prune::Prune),
    command!("repair", "Make again what somebody removed: bridges, rules, parameters", repair::Repair),
    command!("rm" | "remove", "Remove one or more networks", rm::Rm),
    command!("trace-dns", "Show step by step how a container resolves a name", trace::TraceDns),
];
