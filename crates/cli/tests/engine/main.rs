//! The engine's commands, from a container's making to its removal, on good days and bad ones.

mod denials;
mod dry_run;
mod exits;
mod host;
mod killed;
mod lifecycle;
mod many;
mod nested;
mod network;
mod network_killed;
mod policies;
mod rootless;
mod servers;
mod userns;
