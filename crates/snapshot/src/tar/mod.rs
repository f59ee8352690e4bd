//! A reader of tar archives: ustar, PAX, GNU long names and all four sparse formats.
//!
//! Archives come from strangers. Every size is bounded before memory is taken for it, every number is checked,
//! and where formats let two readers see two archives (a PAX size beside a ustar size, CVE-2025-62518) this
//! one sees what Go's reader sees, because that is what wrote and measured the image.

mod header;
mod number;
mod pax;
mod reader;
mod sparse;
mod write;

pub use header::{BLOCK, Kind};
pub use pax::{Pax, Records};
pub use reader::{Entry, Reader, Time};
pub use sparse::Segment;
pub use write::Writer;

use std::io;

/// Why an archive cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The stream below failed.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// The stream ended in the middle of something.
    #[error("the archive is truncated at byte {offset}, within {within}")]
    Truncated {
        /// Bytes read until then.
        offset: u64,
        /// What was being read.
        within: &'static str,
    },
    /// The bytes mean nothing.
    #[error("the archive is malformed at byte {offset}: {what}")]
    Malformed {
        /// Where the entry's header ends.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
}
