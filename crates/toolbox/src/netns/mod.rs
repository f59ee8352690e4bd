//! Network namespaces: those with names in /run/netns, those of containers, and nameless ones.

pub mod exec;
pub mod links;
pub mod ls;
pub mod monitor;
pub mod names;
