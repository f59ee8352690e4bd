//! The driver `json-file`: Docker's lines.
//!
//! ```text
//! ID-json.log         being written
//! ID-json.log.1       the one before; .1.gz once compressed
//! ID-json.log.2.gz    …
//! ```
//! One object a line, `{"log":"…\n","stream":"stdout","attrs":{…},"time":"…Z"}`, byte for byte as Docker writes it, with two
//! differences: rotation is the default, and lines are not cut into entries of 16 KiB (those beyond 1 MiB are).

mod encode;
mod gzip;
mod read;
mod write;

#[cfg(test)]
pub(super) use gzip::compress_all;
pub(super) use read::Json as JsonReader;
pub(super) use write::Json as JsonWriter;

use std::path::{Path, PathBuf};

/// The file that is written.
fn current(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{id}-json.log"))
}

/// The `n`th before it.
fn rotated(dir: &Path, id: &str, n: u32) -> PathBuf {
    dir.join(format!("{id}-json.log.{n}"))
}

/// The same, compressed.
fn compressed(dir: &Path, id: &str, n: u32) -> PathBuf {
    dir.join(format!("{id}-json.log.{n}.gz"))
}
