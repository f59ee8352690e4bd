//! Entries, one after the other.

use std::io::{BufRead, ErrorKind};

use super::header::{BLOCK, Flag, Header, Kind};
use super::pax::Pax;
use super::sparse::{self, Segment};
use super::{TarError, number};

/// The most that one extended header may take: an attribute of 64 KiB and a path, several times over.
const MAX_PAX: u64 = 1 << 20;
/// The longest GNU long name, NUL included: PATH_MAX.
const MAX_NAME: u64 = 4096;

/// A time stamp; nanoseconds count towards the future, also before 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds since 1970.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: i64,
}

/// One member of an archive.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name as it stands: any bytes but NUL, perhaps absolute, perhaps with `..`.
    pub path: Vec<u8>,
    /// The target of a link.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permissions with set-id and sticky bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The time of modification.
    pub mtime: Time,
    /// The time of access, if it is recorded.
    pub atime: Option<Time>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// The size of the file, holes included.
    pub size: u64,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The parts that are stored, of a sparse file.
    pub sparse: Option<Vec<Segment>>,
}

/// Reads an archive.
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    offset: u64,
    /// Content of the current entry that was not read yet.
    remaining: u64,
    /// What fills the content's last block.
    padding: u64,
}

/// What extension headers collected for the next entry.
#[derive(Default)]
struct Extensions {
    pax: Pax,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the archive in `inner`, uncompressed.
    pub fn new(inner: R) -> Reader<R> {
        Reader { inner, offset: 0, remaining: 0, padding: 0 }
    }

    /// The stream below.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// The next entry; `None` at the end mark, or at the end of the stream between entries. What is left of
    /// the current entry's content is skipped.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip_content()?;
        let mut extensions = Extensions::default();
        let mut extended = false;
        loop {
            let mut block = [0; BLOCK];
            if !self.read_block(&mut block, !extended)? {
                return Ok(None);
            }
            if block.iter().all(|&byte| byte == 0) {
                return if extended {
                    Err(self.malformed("an extension header has no entry"))
                } else {
                    Ok(None)
                };
            }
            let header =
                Header::parse(&block).ok_or_else(|| self.malformed("a header has a wrong checksum"))?;
            let size = header.size().and_then(|size| u64::try_from(size).ok());
            let size = size.ok_or_else(|| self.malformed("a header's size is malformed"))?;
            match header.flag() {
                Flag::Pax => {
                    let bytes = self.extension(size, MAX_PAX)?;
                    extensions.pax = Pax::parse(&bytes).map_err(|what| self.malformed(what))?;
                }
                Flag::GnuName => extensions.name = Some(self.long_name(size)?),
                Flag::GnuLink => extensions.link = Some(self.long_name(size)?),
                Flag::PaxGlobal | Flag::GnuLabel => {
                    self.extension(size, MAX_PAX)?;
                    continue;
                }
                Flag::Unknown => return Err(self.malformed("an entry has an unknown type")),
                Flag::Entry(kind) => return self.entry(&header, kind, size, extensions, None).map(Some),
                Flag::GnuSparse => {
                    let (real, segments) = self.old_gnu_map(&block)?;
                    let map = Some((real, segments));
                    return self.entry(&header, Kind::File, size, extensions, map).map(Some);
                }
            }
            extended = true;
        }
    }

    /// Puts header and extensions together. PAX wins over GNU, GNU over ustar.
    fn entry(
        &mut self,
        header: &Header<'_>,
        kind: Kind,
        size: u64,
        extensions: Extensions,
        map: Option<(u64, Vec<Segment>)>,
    ) -> Result<Entry, TarError> {
        let Extensions { pax, name, link } = extensions;
        let malformed = |what| TarError::Malformed { offset: self.offset, what };
        let id = |value: Option<i64>| value.and_then(|id| u32::try_from(id).ok());
        let path = pax.path.or(name).unwrap_or_else(|| header.name());
        // Before ustar, directories were files whose names end with a slash.
        let is_old_directory = kind == Kind::File && path.ends_with(b"/");
        if is_old_directory && (size, pax.size.unwrap_or(0)) != (0, 0) {
            return Err(malformed("a regular file's name ends with a slash"));
        }
        let kind = if is_old_directory { Kind::Directory } else { kind };
        let has_content = kind == Kind::File;
        let stored = if has_content { pax.size.unwrap_or(size) } else { 0 };
        if stored > i64::MAX as u64 {
            return Err(malformed("a file is larger than any file can be"));
        }
        let device = match kind {
            Kind::Character | Kind::Block => header
                .device()
                .and_then(|(major, minor)| Some((u32::try_from(major).ok()?, u32::try_from(minor).ok()?))),
            _ => Some((0, 0)),
        };
        let mtime = pax.mtime.or_else(|| header.mtime().map(|seconds| Time { seconds, nanoseconds: 0 }));
        let mut entry = Entry {
            path,
            link: pax.link.or(link).unwrap_or_else(|| header.link().to_vec()),
            kind,
            mode: header.mode().ok_or_else(|| malformed("a header's mode is malformed"))? as u32 & 0o7777,
            uid: pax
                .uid
                .or_else(|| id(header.uid()))
                .ok_or_else(|| malformed("a header's owner is malformed"))?,
            gid: pax
                .gid
                .or_else(|| id(header.gid()))
                .ok_or_else(|| malformed("a header's group is malformed"))?,
            mtime: mtime.ok_or_else(|| malformed("a header's time is malformed"))?,
            atime: pax.atime,
            device: device.ok_or_else(|| malformed("a header's device number is malformed"))?,
            size: stored,
            xattrs: pax.xattrs,
            sparse: None,
        };
        self.start_content(stored);
        if !has_content {
            return Ok(entry);
        }
        if let Some((real, segments)) = map {
            (entry.size, entry.sparse) = (real, Some(segments));
        } else if pax.sparse.major == Some(1) {
            entry.sparse = Some(self.map_in_content()?);
            entry.size = pax.sparse.size.ok_or_else(|| self.malformed("a sparse file has no size"))?;
        } else if !pax.sparse.map.is_empty() {
            entry.sparse = Some(sparse::pairs(&pax.sparse.map).map_err(|what| self.malformed(what))?);
            entry.size = pax.sparse.size.ok_or_else(|| self.malformed("a sparse file has no size"))?;
        }
        if let Some(segments) = &entry.sparse {
            sparse::check(segments, entry.size, self.remaining).map_err(|what| self.malformed(what))?;
            entry.path = pax.sparse.name.unwrap_or(entry.path);
        }
        Ok(entry)
    }

    /// The next stretch of the current entry's stored content, as large as the stream has it in memory;
    /// empty at its end. [`Reader::consume`] moves on.
    pub fn content(&mut self) -> Result<&[u8], TarError> {
        if self.remaining == 0 {
            return Ok(&[]);
        }
        let offset = self.offset;
        let available = fill(&mut self.inner)?;
        if available.is_empty() {
            return Err(TarError::Truncated { offset, within: "a file's content" });
        }
        let length = available.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        Ok(&available[..length])
    }

    /// Marks `count` bytes of [`Reader::content`] as read.
    pub fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.offset += count as u64;
        self.remaining -= count as u64;
    }

    fn start_content(&mut self, size: u64) {
        self.remaining = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn skip_content(&mut self) -> Result<(), TarError> {
        self.remaining += std::mem::take(&mut self.padding);
        loop {
            match self.content()?.len() {
                0 => return Ok(()),
                count => self.consume(count),
            }
        }
    }

    /// Reads a block; false if the stream ends before it and it may.
    fn read_block(&mut self, block: &mut [u8; BLOCK], may_end: bool) -> Result<bool, TarError> {
        let mut filled = 0;
        while filled < BLOCK {
            let available = fill(&mut self.inner)?;
            if available.is_empty() {
                return match filled == 0 && may_end {
                    true => Ok(false),
                    false => Err(TarError::Truncated { offset: self.offset, within: "a header" }),
                };
            }
            let count = available.len().min(BLOCK - filled);
            block[filled..filled + count].copy_from_slice(&available[..count]);
            filled += count;
            self.inner.consume(count);
            self.offset += count as u64;
        }
        Ok(true)
    }

    /// The content of an extension header.
    fn extension(&mut self, size: u64, limit: u64) -> Result<Vec<u8>, TarError> {
        if size > limit {
            return Err(self.malformed("an extension header is too large"));
        }
        self.start_content(size);
        let mut bytes = Vec::with_capacity(size as usize);
        while self.remaining > 0 {
            let content = self.content()?;
            bytes.extend_from_slice(content);
            let count = content.len();
            self.consume(count);
        }
        self.skip_content()?;
        Ok(bytes)
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        let mut name = self.extension(size, MAX_NAME)?;
        name.truncate(name.iter().position(|&byte| byte == 0).unwrap_or(name.len()));
        if name.is_empty() { Err(self.malformed("a long name is empty")) } else { Ok(name) }
    }

    /// The real size and the map of GNU's old sparse format: four parts in the header, 21 in each further block.
    fn old_gnu_map(&mut self, header: &[u8; BLOCK]) -> Result<(u64, Vec<Segment>), TarError> {
        let real = number::parse(&header[483..495]).and_then(|size| u64::try_from(size).ok());
        let real = real.ok_or_else(|| self.malformed("a sparse file's size is malformed"))?;
        let mut segments = Vec::new();
        sparse::old_gnu(header, 386, 4, &mut segments).map_err(|what| self.malformed(what))?;
        let mut more = header[482] != 0;
        while more {
            let mut block = [0; BLOCK];
            self.read_block(&mut block, false)?;
            sparse::old_gnu(&block, 0, 21, &mut segments).map_err(|what| self.malformed(what))?;
            more = block[504] != 0;
        }
        Ok((real, segments))
    }

    /// The map of sparse format 1.0: decimal lines at the start of the content, padded to a block.
    fn map_in_content(&mut self) -> Result<Vec<Segment>, TarError> {
        let before = self.offset;
        let count = self.line()?;
        let count = usize::try_from(count).ok().filter(|&count| count <= sparse::MAX_SEGMENTS);
        let count = count.ok_or_else(|| self.malformed("a sparse map has too many parts"))?;
        let mut segments = Vec::new();
        for _ in 0..count {
            segments.push(Segment { offset: self.line()?, length: self.line()? });
        }
        let mut pad = (self.offset - before).wrapping_neg() % BLOCK as u64;
        while pad > 0 {
            let count = (self.content()?.len() as u64).min(pad);
            if count == 0 {
                return Err(self.malformed("a sparse map is cut short"));
            }
            self.consume(count as usize);
            pad -= count;
        }
        Ok(segments)
    }

    /// A number that ends with a newline, within the content.
    fn line(&mut self) -> Result<u64, TarError> {
        let mut digits = Vec::with_capacity(20);
        loop {
            match self.content()?.first() {
                Some(b'\n') => break,
                Some(&digit) if digits.len() < 20 => digits.push(digit),
                _ => return Err(self.malformed("a sparse map is malformed")),
            }
            self.consume(1);
        }
        self.consume(1);
        number::decimal(&digits).ok_or_else(|| self.malformed("a sparse map is malformed"))
    }

    /// Reads what follows the archive's end, so that a hash below sees the whole stream.
    pub fn drain(&mut self) -> Result<(), TarError> {
        loop {
            match fill(&mut self.inner)?.len() {
                0 => return Ok(()),
                count => {
                    self.inner.consume(count);
                    self.offset += count as u64;
                }
            }
        }
    }

    fn malformed(&self, what: &'static str) -> TarError {
        TarError::Malformed { offset: self.offset, what }
    }
}

/// `fill_buf`, again after a signal.
fn fill<R: BufRead>(inner: &mut R) -> Result<&[u8], TarError> {
    // Asked twice because the borrow checker cannot return from a loop what it borrows in it; the second call
    // finds the buffer filled.
    loop {
        match inner.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(TarError::Read(error)),
        }
    }
    inner.fill_buf().map_err(TarError::Read)
}
