//! Writing archives: ustar headers, PAX records where those do not suffice. The same entries give the same
//! bytes, whoever writes them and when.

use std::io::{self, Write};

use super::header::{BLOCK, Kind};
use super::reader::Entry;

/// Writes an archive.
#[derive(Debug)]
pub struct Writer<W> {
    inner: W,
    /// Content of the current entry that is still to come.
    remaining: u64,
    padding: usize,
}

impl<W: Write> Writer<W> {
    /// Starts an archive.
    pub fn new(inner: W) -> Writer<W> {
        Writer { inner, remaining: 0, padding: 0 }
    }

    /// Starts an entry. The stored content follows: `entry.size` bytes of a regular file, or those of its
    /// `sparse` parts.
    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        self.finish_content()?;
        let mut pax = Vec::new();
        let map = entry.sparse.as_ref().map(|segments| {
            let numbers = segments.iter().flat_map(|segment| [segment.offset, segment.length]);
            let lines =
                std::iter::once(segments.len() as u64).chain(numbers).map(|number| format!("{number}\n"));
            padded(lines.collect::<String>().into_bytes())
        });
        let parts =
            entry.sparse.as_ref().map(|segments| segments.iter().map(|segment| segment.length).sum::<u64>());
        let stored = match entry.kind {
            Kind::File => parts.unwrap_or(entry.size) + map.as_ref().map_or(0, |map| map.len() as u64),
            _ => 0,
        };
        if entry.sparse.is_some() {
            record(&mut pax, b"GNU.sparse.major", b"1");
            record(&mut pax, b"GNU.sparse.minor", b"0");
            record(&mut pax, b"GNU.sparse.name", &entry.path);
            record(&mut pax, b"GNU.sparse.realsize", entry.size.to_string().as_bytes());
        }
        let header = header(entry, stored, &mut pax);
        if !pax.is_empty() {
            self.inner.write_all(&pax_header(pax.len()))?;
            self.inner.write_all(&padded(pax))?;
        }
        self.inner.write_all(&header)?;
        (self.remaining, self.padding) = (stored, pad(stored));
        map.map_or(Ok(()), |map| self.content(&map))
    }

    /// Writes content of the current entry.
    pub fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.remaining = self
            .remaining
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a file grew while it was read"))?;
        self.inner.write_all(bytes)
    }

    /// Writes the end mark and returns the stream.
    pub fn finish(mut self) -> io::Result<W> {
        self.finish_content()?;
        self.inner.write_all(&[0; 2 * BLOCK])?;
        Ok(self.inner)
    }

    fn finish_content(&mut self) -> io::Result<()> {
        if self.remaining > 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a file shrank while it was read"));
        }
        self.inner.write_all(&[0; BLOCK][..std::mem::take(&mut self.padding)])
    }
}

/// The bytes from `size` to the end of its last block.
fn pad(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK as u64) as usize
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len() + pad(bytes.len() as u64), 0);
    bytes
}

/// Appends a PAX record, whose length counts its own digits.
fn record(pax: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    pax.extend_from_slice(format!("{length} ").as_bytes());
    pax.extend([key, b"=", value, b"\n"].concat());
}

/// The header of an entry; what does not fit goes into `pax`.
fn header(entry: &Entry, stored: u64, pax: &mut Vec<u8>) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut text = |range: std::ops::Range<usize>, key: &[u8], value: &[u8], pax: &mut Vec<u8>| {
        if value.len() > range.len() {
            record(pax, key, value);
        }
        let fits = value.len().min(range.len());
        block[range][..fits].copy_from_slice(&value[..fits]);
    };
    text(0..100, b"path", &entry.path, pax);
    if matches!(entry.kind, Kind::HardLink | Kind::Symlink) {
        text(157..257, b"linkpath", &entry.link, pax);
    }
    octal(&mut block[100..108], u64::from(entry.mode));
    for (range, key, value) in [
        (108..116, &b"uid"[..], u64::from(entry.uid)),
        (116..124, b"gid", u64::from(entry.gid)),
        (124..136, b"size", stored),
    ] {
        if !octal(&mut block[range], value) {
            record(pax, key, value.to_string().as_bytes());
        }
    }
    let fits = entry.mtime.nanoseconds == 0
        && u64::try_from(entry.mtime.seconds).is_ok_and(|seconds| octal(&mut block[136..148], seconds));
    if !fits {
        octal(&mut block[136..148], entry.mtime.seconds.max(0) as u64);
        record(pax, b"mtime", decimal(entry.mtime.seconds, entry.mtime.nanoseconds).as_bytes());
    }
    for (name, value) in &entry.xattrs {
        record(pax, &[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
    block[156] = match entry.kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::Character => b'3',
        Kind::Block => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    };
    octal(&mut block[329..337], u64::from(entry.device.0));
    octal(&mut block[337..345], u64::from(entry.device.1));
    sealed(block)
}

/// The header in front of `length` bytes of PAX records.
fn pax_header(length: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..11].copy_from_slice(b"PaxHeaders/");
    octal(&mut block[100..108], 0o644);
    octal(&mut block[108..116], 0);
    octal(&mut block[116..124], 0);
    octal(&mut block[124..136], length as u64);
    octal(&mut block[136..148], 0);
    block[156] = b'x';
    sealed(block)
}

/// Magic and checksum.
fn sealed(mut block: [u8; BLOCK]) -> [u8; BLOCK] {
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].copy_from_slice(b"        ");
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    octal(&mut block[148..155], sum);
    block
}

/// Octal digits and a NUL; false, and zero, if they are too many.
fn octal(field: &mut [u8], value: u64) -> bool {
    let width = field.len() - 1;
    let digits = format!("{value:0width$o}");
    let fits = digits.len() == width;
    field[..width].copy_from_slice(if fits { digits.as_bytes() } else { &b"00000000000"[..width] });
    fits
}

/// Seconds with a fraction, as PAX writes them.
fn decimal(seconds: i64, nanoseconds: i64) -> String {
    let text = match (seconds, nanoseconds) {
        (_, 0) => return seconds.to_string(),
        (0.., _) => format!("{seconds}.{nanoseconds:09}"),
        (..0, _) => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
    };
    text.trim_end_matches('0').into()
}

#[cfg(test)]
mod tests {
    use super::super::{Reader, Segment, Time};
    use super::*;

    fn file(path: &[u8]) -> Entry {
        Entry {
            path: path.into(),
            link: Vec::new(),
            kind: Kind::File,
            mode: 0o4755,
            uid: 0,
            gid: 0,
            mtime: Time { seconds: 1_700_000_000, nanoseconds: 0 },
            atime: None,
            device: (0, 0),
            size: 0,
            xattrs: Vec::new(),
            sparse: None,
        }
    }

    fn round_trip(entry: &Entry, content: &[u8]) {
        let mut writer = Writer::new(Vec::new());
        writer.entry(entry).unwrap();
        writer.content(content).unwrap();
        let archive = writer.finish().unwrap();
        assert_eq!(archive.len() % BLOCK, 0);
        let mut reader = Reader::new(&archive[..]);
        let read = reader.next_entry().unwrap().unwrap();
        assert_eq!(format!("{read:?}"), format!("{entry:?}"));
        assert_eq!(reader.content().unwrap(), content);
        reader.consume(content.len());
        assert!(reader.next_entry().unwrap().is_none());
    }

    #[test]
    fn what_is_written_is_read() {
        round_trip(&Entry { size: 3, ..file(b"plain") }, b"abc");
        round_trip(&Entry { size: 1, uid: u32::MAX - 1, gid: 1 << 24, ..file(&[b'x'; 300]) }, b"a");
        round_trip(&Entry { path: vec![0xff; 255], ..file(b"") }, b"");
        round_trip(&Entry { mtime: Time { seconds: -2, nanoseconds: 750_000_000 }, ..file(b"old") }, b"");
        round_trip(&Entry { mtime: Time { seconds: -5, nanoseconds: 0 }, ..file(b"old") }, b"");
        round_trip(&Entry { kind: Kind::Symlink, link: vec![b'l'; 150], ..file(b"l") }, b"");
        round_trip(&Entry { kind: Kind::Character, device: (1, 3), ..file(b"null") }, b"");
        let xattrs = vec![(b"user.big".to_vec(), vec![7; 65_000]), (b"user.empty".to_vec(), vec![])];
        round_trip(&Entry { kind: Kind::Directory, xattrs, ..file(b"d") }, b"");
        let sparse = vec![Segment { offset: 4096, length: 4 }, Segment { offset: 1 << 40, length: 0 }];
        round_trip(&Entry { size: 1 << 40, sparse: Some(sparse), ..file(b"sparse") }, b"full");
    }

    #[test]
    fn a_record_counts_its_own_digits() {
        for size in 0..1200 {
            let mut pax = Vec::new();
            record(&mut pax, b"k", &vec![b'v'; size]);
            assert!(pax.starts_with(format!("{} k=", pax.len()).as_bytes()));
        }
    }
}
