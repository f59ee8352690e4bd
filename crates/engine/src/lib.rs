//! The engine: containers from their making to their removal, without a daemon.
//!
//! State is on disk, each object in a directory of its own; every command finds there what the last one left, and repairs
//! what one that was killed left half done. Each running container has one small process beside it, its monitor.

mod apparmor;
mod attach;
mod attend;
mod boot;
pub mod cdi;
pub mod check;
mod clock;
mod commit;
pub mod config;
mod container;
mod copy;
mod counted;
mod create;
mod devices;
mod dry_run;
mod engine;
mod error;
mod events;
mod exec;
pub mod files;
mod filters;
mod id;
pub mod idmaps;
mod inspect;
mod join;
mod launch;
mod list;
pub mod merge;
pub mod mounts;
mod network;
mod observe;
mod paths;
mod prepare;
mod process;
mod provision;
mod record;
mod remove;
mod repair;
mod signal;
pub mod spec;
mod start;
mod state;
mod stats;
mod stop;
mod top;
mod update;
pub mod user_network;
mod users;
pub mod volumes;

pub use attach::LogQuery;
pub use boot::Booted;
pub use clock::human as human_duration;
pub use commit::Commit;
pub use container::{Container, MountPoint};
pub use copy::{CopyOptions, PathStat, Side};
pub use counted::Counted;
pub use create::Created;
pub use dry_run::DryRun;
pub use engine::Engine;
pub use error::{Error, Kind, Result};
pub use events::{Actor, Event, EventQuery, Events};
pub use exec::{ExecConfig, ExecEnding};
pub use filters::Filters;
pub use inspect::{
    GraphDriver, Inspect, InspectCheck, InspectHealth, InspectState, KernelView, NetworkSettings,
};
pub use list::{ListQuery, Summary};
pub use paths::Paths;
pub use process::monitor as be_monitor;
pub use remove::{Pruned, RemoveOptions};
pub use signal::parse as parse_signal;
pub use snapshot::Change;
pub use start::MONITOR;
pub use state::{Health, Port, Row, State, Status};
pub use stats::{Interface, Usage};
pub use stop::{Condition, StopOptions};
pub use top::Top;
pub use update::UpdateConfig;
