//! The program of the built-in image `hello`: it prints what isolates it.
//!
//! It is a static program of its own, without libc and without `std`, because it is all that its image has: some ten
//! kilobytes, and no start-up to wait for. `build.rs` compiles `program.rs` with one call of rustc, and its bytes are
//! [`PROGRAM`]. What it prints is made in [`report`], which is ordinary code under ordinary tests.

pub mod report;

/// The program, an ELF executable for this machine.
pub const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hello"));

#[cfg(test)]
mod tests;
