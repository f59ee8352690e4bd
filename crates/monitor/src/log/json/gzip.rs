//! Compressing files that were rotated.

use std::fs::File;
use std::io;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{compressed, rotated};

/// Compresses all files but the one that is written.
pub(in crate::log) fn compress_all(dir: &Path, id: &str, max_file: u32) -> io::Result<()> {
    for n in 1..max_file {
        let from = match File::open(rotated(dir, id, n)) {
            Ok(from) => from,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let to = compressed(dir, id, n);
        let unfinished = to.with_extension("gz.tmp");
        let mut encoder = GzEncoder::new(File::create(&unfinished)?, Compression::default());
        io::copy(&mut &from, &mut encoder)?;
        encoder.finish()?.sync_all()?;
        std::fs::rename(&unfinished, &to)?;
        std::fs::remove_file(rotated(dir, id, n))?;
    }
    Ok(())
}
