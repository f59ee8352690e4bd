//! A directory of segments, and reading one.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::index::{self, Entry};
use super::record::{self, HEADER, Header, LONGEST};

/// How much is read of a segment at a time.
const CHUNK: usize = 256 << 10;

/// What a segment's file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    Compressed,
    Plain,
}

/// The path of a segment, or of its index.
pub(super) fn path(dir: &Path, number: u64, extension: &str) -> PathBuf {
    dir.join(format!("{number:08}.{extension}"))
}

/// Removes files of a segment; it is no error where they are gone.
pub(super) fn remove(dir: &Path, number: u64, extensions: &[&str]) -> io::Result<()> {
    for extension in extensions {
        match std::fs::remove_file(path(dir, number, extension)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// All segments there are, oldest first. A segment that is both (its compressor was killed between two steps) is
/// there once, in the form that is surely whole.
pub(super) fn list(dir: &Path) -> io::Result<Vec<(u64, Form)>> {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some((stem, extension)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
        let form = match extension {
            "log" => Form::Plain,
            "zst" => Form::Compressed,
            _ => continue,
        };
        if let Ok(number) = stem.parse::<u64>() {
            segments.push((number, form));
        }
    }
    segments.sort_unstable();
    segments.dedup_by_key(|(number, _)| *number);
    Ok(segments)
}

/// A segment that is read.
#[derive(Debug)]
pub(super) struct Segment {
    pub number: u64,
    file: File,
    form: Form,
    entries: Vec<Entry>,
    /// Where the next record begins; of a compressed segment, the next frame.
    offset: u64,
}

impl Segment {
    /// Opens a segment at its first record; none where it is gone.
    pub fn open(dir: &Path, number: u64) -> io::Result<Option<Self>> {
        for (form, extension) in [(Form::Plain, "log"), (Form::Compressed, "zst")] {
            let file = match File::open(path(dir, number, extension)) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let entries = match form {
                Form::Plain => vec![Entry::FIRST],
                Form::Compressed => super::compress::entries(&file)?,
            };
            let offset = entries.first().map_or(0, |entry| entry.offset);
            return Ok(Some(Self { number, file, form, entries, offset }));
        }
        Ok(None)
    }

    /// Loads the index, for what seeks.
    pub fn load_index(&mut self, dir: &Path) -> io::Result<()> {
        if self.form == Form::Plain {
            let mut bytes = Vec::new();
            match File::open(path(dir, self.number, "idx")) {
                Ok(mut file) => drop(file.read_to_end(&mut bytes)?),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            self.entries = index::complete(&bytes, &self.file);
        }
        Ok(())
    }

    /// Goes to where everything before is older than `since`.
    pub fn seek(&mut self, since: i64) {
        self.go_to(index::begin(&self.entries, since));
    }

    /// How many blocks the index knows.
    pub fn blocks(&self) -> usize {
        match self.form {
            Form::Plain => self.entries.len(),
            // The last entry is the end of the last frame.
            Form::Compressed => self.entries.len().saturating_sub(1),
        }
    }

    /// Goes to the beginning of a block.
    pub fn go_to(&mut self, block: usize) {
        if let Some(entry) = self.entries.get(block) {
            self.offset = entry.offset;
        }
    }

    /// The whole records of a block.
    pub fn block(&mut self, block: usize) -> io::Result<Vec<u8>> {
        self.go_to(block);
        let end = self.entries.get(block + 1).map(|entry| entry.offset);
        let mut bytes = Vec::new();
        while end.is_none_or(|end| self.offset < end) {
            let before = bytes.len();
            self.read(&mut bytes)?;
            if bytes.len() == before {
                break;
            }
            if let Some(end) = end.filter(|end| self.offset > *end) {
                bytes.truncate(bytes.len() - (self.offset - end) as usize);
                self.offset = end;
            }
        }
        Ok(bytes)
    }

    /// Adds the next whole records to `bytes`; nothing where there are none (yet).
    pub fn read(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        match self.form {
            Form::Plain => self.read_plain(bytes),
            Form::Compressed => self.read_compressed(bytes),
        }
    }

    fn read_plain(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let begin = bytes.len();
        let mut wanted = CHUNK;
        loop {
            bytes.resize(begin + wanted, 0);
            let n = read_at(&self.file, &mut bytes[begin..], self.offset)?;
            bytes.truncate(begin + n);
            let whole = record::whole(&bytes[begin..]);
            let announced = Header::decode(&bytes[begin..]).map_or(0, |header| header.span());
            if whole == 0 && n == wanted && announced > wanted && wanted < LONGEST + HEADER {
                wanted = announced;
                continue;
            }
            bytes.truncate(begin + whole);
            self.offset += whole as u64;
            return Ok(());
        }
    }

    fn read_compressed(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let at = self.entries.partition_point(|entry| entry.offset <= self.offset);
        let Some(next) = self.entries.get(at) else { return Ok(()) };
        let mut frame = vec![0; next.offset.saturating_sub(self.offset) as usize];
        self.file.read_exact_at(&mut frame, self.offset)?;
        zstd::stream::copy_decode(&frame[..], bytes)?;
        self.offset = next.offset;
        Ok(())
    }
}

/// Reads until the buffer is full or the file ends.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
