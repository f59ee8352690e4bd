//! The engine: containers from their making to their removal, without a daemon.
//!
//! State is on disk, each object in a directory of its own; every command finds there what the last one left, and repairs
//! what one that was killed left half done. Each running container has one small process beside it, its monitor.

pub mod config;
