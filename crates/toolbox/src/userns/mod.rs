//! User namespaces: what their maps mean, whether they let a process at a file, and writing them.

pub mod access;
pub mod levels;
pub mod set;

mod witness;
