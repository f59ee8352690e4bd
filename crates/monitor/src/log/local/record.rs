//! One record: see the module above.

use crate::stdio::Stream;

/// What every segment begins with.
pub(super) const MAGIC: [u8; 8] = *b"berthlg\x01";

/// Length of a record's header.
pub(super) const HEADER: usize = 20;

/// The most bytes in one record.
pub(super) const LONGEST: usize = 1 << 20;

const MARK: u16 = 0xB10C;
const CONTINUES: u8 = 1;

/// What is known of a record's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// How many they are.
    pub length: usize,
    /// Nanoseconds since 1970.
    pub time: i64,
    pub stream: Stream,
    /// The first byte is not a line's first.
    pub continues: bool,
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[4..8].copy_from_slice(&(self.length as u32).to_le_bytes());
        bytes[8..16].copy_from_slice(&self.time.to_le_bytes());
        bytes[16] = self.stream as u8;
        bytes[17] = if self.continues { CONTINUES } else { 0 };
        bytes[18..].copy_from_slice(&MARK.to_le_bytes());
        let check = check(&bytes[4..]);
        bytes[..4].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// What these bytes begin with, where it is a whole header.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER] = bytes.first_chunk()?;
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if word(0) != check(&bytes[4..]) || u16::from_le_bytes([bytes[18], bytes[19]]) != MARK {
            return None;
        }
        let length = word(4) as usize;
        let stream = match bytes[16] {
            0 => Stream::Stdout,
            1 => Stream::Stderr,
            _ => return None,
        };
        let time = i64::from(word(8)) | (i64::from(word(12)) << 32);
        (length <= LONGEST).then_some(Self { length, time, stream, continues: bytes[17] & CONTINUES != 0 })
    }

    /// How much of the file the record takes.
    pub fn span(&self) -> usize {
        HEADER + self.length
    }
}

/// FNV-1a: it tells a header or an index entry from zeros and from whatever else a power cut leaves.
pub(super) fn check(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// A record with its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub header: Header,
    pub bytes: &'a [u8],
}

impl Record<'_> {
    /// How many lines begin in it.
    pub fn lines(&self) -> usize {
        let Some((_, body)) = self.bytes.split_last() else { return 0 };
        let first = usize::from(!self.header.continues);
        first + body.iter().filter(|byte| **byte == b'\n').count()
    }
}

/// The whole records that `bytes` begin with.
pub(super) fn records(bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header = Header::decode(rest)?;
        let bytes = rest.get(HEADER..header.span())?;
        rest = &rest[header.span()..];
        Some(Record { header, bytes })
    })
}

/// How many bytes the whole records take that `bytes` begin with.
pub(super) fn whole(bytes: &[u8]) -> usize {
    records(bytes).map(|record| record.header.span()).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(length: usize, time: i64, stderr: bool, continues: bool) -> Header {
        Header { length, time, stream: Stream::BOTH[usize::from(stderr)], continues }
    }

    proptest! {
        #[test]
        fn a_header_comes_back(length in 0..=LONGEST, time: i64, stderr: bool, continues: bool) {
            let header = header(length, time, stderr, continues);
            prop_assert_eq!(Header::decode(&header.encode()), Some(header));
        }

        #[test]
        fn a_damaged_header_is_none(time: i64, bit in 0..HEADER * 8) {
            let mut bytes = header(100, time, false, true).encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Header::decode(&bytes), None);
        }

        #[test]
        fn a_torn_tail_is_not_read(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..10),
                                   cut in 1usize..20) {
            let mut bytes = Vec::new();
            for payload in &payloads {
                bytes.extend(header(payload.len(), 1, false, false).encode());
                bytes.extend(payload);
            }
            let last = payloads.last().unwrap().len() + HEADER;
            let torn = &bytes[..bytes.len() - cut.min(last)];
            let read: Vec<&[u8]> = records(torn).map(|record| record.bytes).collect();
            prop_assert_eq!(read, payloads[..payloads.len() - 1].iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(whole(torn), bytes.len() - last);
        }
    }

    #[test]
    fn zeros_are_no_record() {
        assert_eq!(Header::decode(&[0; 64]), None);
    }

    #[test]
    fn lines_that_begin_are_counted() {
        let lines = |bytes: &'static [u8], continues| {
            Record { header: header(bytes.len(), 0, false, continues), bytes }.lines()
        };
        assert_eq!(lines(b"a\nb\n", false), 2);
        assert_eq!(lines(b"a\nb", false), 2);
        assert_eq!(lines(b"a\nb", true), 1);
        assert_eq!(lines(b"\n", true), 0);
        assert_eq!(lines(b"\n", false), 1);
        assert_eq!(lines(b"", false), 0);
    }
}
