//! The types of the OCI specifications, identifiers and references; no I/O.

pub mod id;
pub mod image;
pub mod reference;
pub mod spec;
pub mod time;
pub mod validate;

pub use id::ContainerId;
pub use reference::Reference;
