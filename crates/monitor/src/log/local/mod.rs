//! The driver `local`: what the payload wrote, as it came, made for speed.
//!
//! ```text
//! local/00000003.zst    no longer written, compressed
//! local/00000004.log    no longer written
//! local/00000004.idx
//! local/00000005.log    being written
//! local/00000005.idx
//!
//! N.log:  "berthlg\1"  record  record  …
//! record: check u32 | length u32 | time i64 | stream u8 | flags u8 | 0xB10C u16 | bytes       (little endian)
//! N.idx:  { offset u64 | latest time before it i64 | check u32 }  …                             one per 256 KiB
//! N.zst:  zstd frames of whole records, about 1 MiB each; the index in a skippable frame at the end
//! ```
//! - **A record is a chunk as read from the pipe**, not a line: most of it goes from pipe to page cache by splice(2) and
//!   is never seen by the monitor. Flag 1 says that it begins within a line; so lines are whole however long they are.
//! - **A record is there once its header is.** A spliced record's header is written after its bytes, and `check` guards
//!   it: whoever meets anything else, or fewer bytes than announced, is at the end of the log. The next writer cuts that
//!   off and goes on there.
//! - **Segments have numbers that only grow.** A reader who is at the end of N goes on with N + 1 where that exists, so
//!   rotation needs no word between the two.
//! - **The index is a shortcut** that can be made again from the records. Its times are the latest so far, so that a
//!   binary search is right even where the clock was set back.
//! - A line's time is that of the record in which it begins.

mod compress;
mod index;
mod read;
mod record;
mod segment;
mod write;

#[cfg(test)]
pub(super) use compress::compress_all;
pub(super) use read::Local as LocalReader;
pub(super) use write::Local as LocalWriter;

/// The directory's name in a container's log directory.
pub(super) const DIR: &str = "local";
