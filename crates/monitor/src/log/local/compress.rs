//! Compressing segments that are no longer written. What exists as `N.zst` is whole (it was renamed to that); then `N.log` goes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::index::{self, ENTRY, Entry};
use super::record;
use super::segment::{self, Form, Segment};

/// About so much is in a frame, before compression.
const FRAME: usize = 1 << 20;

const LEVEL: i32 = 3;

/// A frame that decoders skip (RFC 8878, 3.1.2).
const SKIPPABLE: u32 = 0x184D_2A5B;

/// Compresses all segments but the one that is written.
pub(in crate::log) fn compress_all(dir: &Path) -> io::Result<()> {
    let segments = segment::list(dir)?;
    let Some(((current, _), old)) = segments.split_last() else { return Ok(()) };
    for (number, _) in old.iter().filter(|(number, form)| *form == Form::Plain && number != current) {
        compress(dir, *number)?;
    }
    Ok(())
}

/// Compresses one segment.
pub(super) fn compress(dir: &Path, number: u64) -> io::Result<()> {
    let Some(mut from) = Segment::open(dir, number)? else { return Ok(()) };
    let unfinished = segment::path(dir, number, "zst.tmp");
    let mut to = BufWriter::new(File::create(&unfinished)?);
    let (mut entries, mut offset, mut latest) = (Vec::new(), 0u64, i64::MIN);
    loop {
        let mut bytes = Vec::new();
        while bytes.len() < FRAME {
            let before = bytes.len();
            from.read(&mut bytes)?;
            if bytes.len() == before {
                break;
            }
        }
        entries.push(Entry { offset, latest });
        if bytes.is_empty() {
            break;
        }
        latest = record::records(&bytes).map(|record| record.header.time).fold(latest, i64::max);
        let frame = zstd::bulk::compress(&bytes, LEVEL)?;
        to.write_all(&frame)?;
        offset += frame.len() as u64;
    }
    to.write_all(&footer(&entries))?;
    to.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(&unfinished, segment::path(dir, number, "zst"))?;
    segment::remove(dir, number, &["log", "idx"])
}

/// The skippable frame with the entries; its last four bytes are its content's length.
fn footer(entries: &[Entry]) -> Vec<u8> {
    let length = (entries.len() * ENTRY + 4) as u32;
    let mut footer = SKIPPABLE.to_le_bytes().to_vec();
    footer.extend(length.to_le_bytes());
    footer.extend(entries.iter().flat_map(Entry::encode));
    footer.extend(length.to_le_bytes());
    footer
}

/// The entries of a compressed segment: the frames' beginnings, and the end of the last.
pub(super) fn entries(file: &File) -> io::Result<Vec<Entry>> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the index of a compressed log is damaged");
    let size = file.metadata()?.len();
    let mut last = [0; 4];
    file.read_exact_at(&mut last, size.checked_sub(4).ok_or_else(damaged)?)?;
    let length = u64::from(u32::from_le_bytes(last));
    let begin = size.checked_sub(length + 8).ok_or_else(damaged)?;
    let mut footer = vec![0; (length + 8) as usize];
    file.read_exact_at(&mut footer, begin)?;
    let head = footer.get(..8).ok_or_else(damaged)?;
    let expected = [SKIPPABLE.to_le_bytes(), (length as u32).to_le_bytes()].concat();
    if head != expected || length % ENTRY as u64 != 4 {
        return Err(damaged());
    }
    Ok(index::decode(&footer[8..footer.len() - 4]))
}
