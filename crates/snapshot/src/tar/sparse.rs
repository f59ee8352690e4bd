//! Sparse files: which parts of a file the archive holds.

use super::header::BLOCK;
use super::number;

/// A part of a file that has content; the rest up to the file's size is holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it starts in the file.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// More parts than any file system would report, and 16 MiB of them.
pub const MAX_SEGMENTS: usize = 1 << 20;

/// Pairs of offset and length.
pub fn pairs(numbers: &[u64]) -> Result<Vec<Segment>, &'static str> {
    if !numbers.len().is_multiple_of(2) {
        return Err("a sparse map has an offset without a length");
    }
    Ok(numbers.chunks_exact(2).map(|pair| Segment { offset: pair[0], length: pair[1] }).collect())
}

/// Whether `segments` are in order, apart, within `size`, and take exactly the `stored` bytes of content.
pub fn check(segments: &[Segment], size: u64, stored: u64) -> Result<(), &'static str> {
    let (mut end, mut total) = (0, 0u64);
    for segment in segments {
        if segment.offset < end {
            return Err("a sparse map is out of order");
        }
        end = segment.offset.checked_add(segment.length).ok_or("a sparse map overflows")?;
        // Each end is at most `size`, so the sum cannot overflow.
        total += segment.length;
        if end > size {
            return Err("a sparse map reaches beyond its file");
        }
    }
    if total == stored { Ok(()) } else { Err("a sparse map and the content differ in size") }
}

/// The `count` pairs of 12-byte fields of GNU's old format at `at`, up to the first empty one.
pub fn old_gnu(
    block: &[u8; BLOCK],
    at: usize,
    count: usize,
    into: &mut Vec<Segment>,
) -> Result<(), &'static str> {
    for pair in block[at..at + 24 * count].chunks_exact(24) {
        if pair[0] == 0 {
            break;
        }
        let field = |field: &[u8]| number::parse(field).and_then(|value| u64::try_from(value).ok());
        let (offset, length) =
            field(&pair[..12]).zip(field(&pair[12..])).ok_or("a sparse map is malformed")?;
        into.push(Segment { offset, length });
    }
    if into.len() > MAX_SEGMENTS { Err("a sparse map has too many parts") } else { Ok(()) }
}
