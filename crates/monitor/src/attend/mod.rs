//! The event loop of a monitor.

mod config;

pub use config::Config;
