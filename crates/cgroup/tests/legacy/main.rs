//! Against the v1 hierarchies of a v1 or hybrid host, as root.
#![allow(missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod v1;
