//! Where in a segment to begin to read.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::record::{HEADER, Header, MAGIC, check};

/// Length of an entry in a file.
pub(super) const ENTRY: usize = 20;

/// So far at least is one entry from the next.
pub(super) const STRIDE: u64 = 256 << 10;

/// A record's place, and the latest time before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub offset: u64,
    pub latest: i64,
}

impl Entry {
    /// The first record.
    pub const FIRST: Self = Self { offset: MAGIC.len() as u64, latest: i64::MIN };

    pub fn encode(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.latest.to_le_bytes());
        let check = check(&bytes[..16]);
        bytes[16..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// None where these bytes are no entry.
    fn decode(bytes: &[u8; ENTRY]) -> Option<Self> {
        let (content, sum) = bytes.split_last_chunk()?;
        let (offset, latest) = content.split_first_chunk()?;
        (u32::from_le_bytes(*sum) == check(content)).then_some(Self {
            offset: u64::from_le_bytes(*offset),
            latest: i64::from_le_bytes(*latest.first_chunk()?),
        })
    }
}

/// The entries in these bytes, up to what is torn or damaged.
pub(super) fn decode(bytes: &[u8]) -> Vec<Entry> {
    let (entries, _torn) = bytes.as_chunks::<ENTRY>();
    entries.iter().map_while(Entry::decode).collect()
}

/// The entries of a segment whose index file holds `bytes`. What a power cut made of the two files is checked: an entry
/// that points to no record ends the index, and what it lacks is found by going from record to record.
pub(super) fn complete(bytes: &[u8], segment: &File) -> Vec<Entry> {
    let later = decode(bytes).into_iter().filter(|entry| entry.offset > Entry::FIRST.offset);
    let mut entries: Vec<Entry> = [Entry::FIRST].into_iter().chain(later).collect();
    let sound = |entry: &Entry| header_at(segment, entry.offset).is_some();
    let ordered = entries.windows(2).take_while(|pair| pair[0].offset < pair[1].offset).count() + 1;
    entries.truncate(ordered);
    while entries.len() > 1 && entries.last().is_some_and(|last| !sound(last)) {
        entries.pop();
    }
    let mut last = entries.last().copied().unwrap_or(Entry::FIRST);
    let (mut offset, mut latest) = (last.offset, last.latest);
    while let Some(header) = header_at(segment, offset) {
        if offset - last.offset >= STRIDE {
            last = Entry { offset, latest };
            entries.push(last);
        }
        latest = latest.max(header.time);
        offset += header.span() as u64;
    }
    entries
}

/// The header of the record at `offset`, where there is one.
pub(super) fn header_at(segment: &File, offset: u64) -> Option<Header> {
    let mut bytes = [0; HEADER];
    segment.read_exact_at(&mut bytes, offset).ok()?;
    Header::decode(&bytes)
}

/// The last entry before which everything is older than `since`.
pub(super) fn begin(entries: &[Entry], since: i64) -> usize {
    entries.partition_point(|entry| entry.latest < since).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::stdio::Stream;

    fn segment(records: usize, length: usize) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&MAGIC).unwrap();
        for time in 0..records {
            let header = Header { length, time: time as i64, stream: Stream::Stdout, continues: false };
            file.write_all(&header.encode()).unwrap();
            file.write_all(&vec![b'x'; length]).unwrap();
        }
        file
    }

    #[test]
    fn a_lost_or_damaged_index_is_made_again_from_the_records() {
        let segment = segment(100, 100_000);
        let whole = complete(&[], &segment);
        assert_eq!(whole.len(), 34, "{whole:?}");
        let mut bytes: Vec<u8> = whole[1..].iter().flat_map(Entry::encode).collect();
        assert_eq!(complete(&bytes, &segment), whole);
        bytes.truncate(ENTRY * 7 + 3);
        assert_eq!(complete(&bytes, &segment), whole);
        bytes.extend([0; 40]);
        assert_eq!(complete(&bytes, &segment), whole);
        // Sound entries of a file that is shorter.
        bytes = whole[1..].iter().chain(&whole[5..]).flat_map(Entry::encode).collect();
        segment.set_len(1_000_000).unwrap();
        assert_eq!(complete(&bytes, &segment), whole[..4]);
    }

    #[test]
    fn the_search_never_skips_what_is_wanted() {
        let entry = |latest| Entry { offset: 0, latest };
        let entries = [entry(i64::MIN), entry(10), entry(10), entry(20)];
        assert_eq!(begin(&entries, i64::MIN), 0);
        assert_eq!(begin(&entries, 10), 0);
        assert_eq!(begin(&entries, 11), 2);
        assert_eq!(begin(&entries, 20), 2);
        assert_eq!(begin(&entries, 21), 3);
    }
}
