//! Reading Docker's lines, through rotations.
//!
//! Rotation renames files, so a file is known by its inode: the one that follows is found by looking where ours is now.
//! As names may move between two looks, it is looked again afterwards, until both fit together.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::current;
use crate::log::printer::{Chunk, Flow, Printer};
use crate::log::reader::{self, Query, Sink, Step};
use crate::log::time;
use crate::stdio::Stream;

/// How much is read at a time.
const CHUNK: usize = 64 << 10;

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    log: String,
    stream: Stream,
    time: String,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
}

/// A place in the log.
#[derive(Debug)]
pub(crate) struct Json {
    dir: PathBuf,
    id: String,
    file: Option<Open>,
    /// The time of the last entry that was read.
    latest: i64,
    /// The same when lines went missing: what is not later may have been read before that.
    gap: Option<i64>,
}

#[derive(Debug)]
struct Open {
    file: File,
    inode: u64,
    offset: u64,
}

/// A file of the log by its name; 0 is the one that is written.
#[derive(Debug)]
struct Named {
    n: u32,
    path: PathBuf,
    compressed: bool,
}

impl Json {
    /// The log in a container's log directory, at its beginning.
    pub fn new(dir: &Path, id: &str) -> Self {
        Self { dir: dir.to_owned(), id: id.to_owned(), file: None, latest: i64::MIN, gap: None }
    }

    /// Goes to where `query` begins. Gives how many lines are to be left out from there.
    pub fn begin(&mut self, query: &Query<'_>) -> io::Result<usize> {
        match (query.tail, query.since) {
            (Some(lines), _) => self.tail(query, lines)?,
            (None, Some(since)) => self.since(since)?,
            (None, None) => {}
        }
        Ok(0)
    }

    /// All files there are, oldest first.
    fn files(&self) -> io::Result<Vec<Named>> {
        let name = format!("{}-json.log", self.id);
        let mut files = Vec::new();
        let entries = match std::fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let file_name = entry.file_name();
            let Some(rest) = file_name.to_str().and_then(|file| file.strip_prefix(&name)) else { continue };
            let (number, compressed) = match rest.strip_suffix(".gz") {
                Some(number) => (number, true),
                None => (rest, false),
            };
            let n = if number.is_empty() {
                Some(0)
            } else {
                number.strip_prefix('.').and_then(|n| n.parse().ok())
            };
            files.extend(n.map(|n| Named { n, path: entry.path(), compressed }));
        }
        // What is there in both forms was not compressed wholly, or is about to go in the one that we prefer.
        files.sort_unstable_by_key(|file| (std::cmp::Reverse(file.n), file.compressed));
        files.dedup_by_key(|file| file.n);
        Ok(files)
    }

    fn since(&mut self, since: i64) -> io::Result<()> {
        for named in self.files()? {
            let Some(mut open) = Open::new(&named)? else { continue };
            let is_last = named.n == 0;
            if is_last || open.last_time()?.is_some_and(|last| last >= since) {
                open.seek(since)?;
                self.file = Some(open);
                break;
            }
        }
        Ok(())
    }

    fn tail(&mut self, query: &Query<'_>, wanted: usize) -> io::Result<()> {
        let mut left = wanted;
        for named in self.files()?.into_iter().rev() {
            let Some(mut open) = Open::new(&named)? else { continue };
            let mut lines = Backwards::new(&open.file)?;
            open.offset = lines.end;
            while left > 0 {
                let Some((offset, line)) = lines.next()? else { break };
                open.offset = offset;
                let Some((entry, at)) = parse(&line) else { continue };
                let counts = query.shows(entry.stream) && query.until.is_none_or(|until| at <= until);
                left -= usize::from(counts);
            }
            self.file = Some(open);
            if left == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Prints what comes next.
    pub fn step(&mut self, printer: &mut Printer<'_, '_>, sink: &mut dyn Sink) -> io::Result<Step> {
        let bytes = match &mut self.file {
            Some(open) => open.read()?,
            None => Vec::new(),
        };
        if !bytes.is_empty() {
            return self.print(&bytes, printer, sink);
        }
        let Some(open) = &mut self.file else {
            // Nothing was ever logged, or it is now.
            self.file = self.oldest()?;
            return Ok(if self.file.is_some() { Step::More } else { Step::End });
        };
        let inode = open.inode;
        if is_at(&current(&self.dir, &self.id), inode)? {
            return Ok(Step::End);
        }
        // It was rotated: what came before that, and after the last read, is still to be read.
        let bytes = open.read()?;
        if !bytes.is_empty() {
            return self.print(&bytes, printer, sink);
        }
        self.file = match self.successor(inode)? {
            Some(next) => Some(next),
            None => {
                sink.missing();
                self.gap = Some(self.latest);
                self.oldest()?
            }
        };
        Ok(Step::More)
    }

    fn oldest(&self) -> io::Result<Option<Open>> {
        for named in self.files()? {
            let Some(mut open) = Open::new(&named)? else { continue };
            let is_later = |last| self.gap.is_none_or(|gap| last > gap);
            if named.n == 0 || open.last_time()?.is_some_and(is_later) {
                return Ok(Some(open));
            }
        }
        Ok(None)
    }

    /// The file after the one with this inode; none where that one is gone, or has become another by compression.
    fn successor(&self, inode: u64) -> io::Result<Option<Open>> {
        loop {
            let Some(n) = self.number_of(inode)? else { return Ok(None) };
            let Some(next) = n.checked_sub(1) else { return Ok(None) };
            let files = self.files()?;
            let Some(named) = files.iter().find(|named| named.n == next) else { continue };
            let Some(open) = Open::new(named)? else { continue };
            let still = self.number_of(inode)?;
            if named.compressed && still == Some(n) || still == self.number_of(open.inode)?.map(|n| n + 1) {
                return Ok(Some(open));
            }
        }
    }

    fn number_of(&self, inode: u64) -> io::Result<Option<u32>> {
        for named in self.files()? {
            if is_at(&named.path, inode)? {
                return Ok(Some(named.n));
            }
        }
        Ok(None)
    }

    fn print(
        &mut self,
        bytes: &[u8],
        printer: &mut Printer<'_, '_>,
        sink: &mut dyn Sink,
    ) -> io::Result<Step> {
        let mut together: Option<(Entry, i64)> = None;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            // What a power cut left instead of an entry is left out.
            let Some((entry, at)) = parse(line) else { continue };
            if self.gap.is_some_and(|gap| at <= gap) {
                continue;
            }
            self.latest = self.latest.max(at);
            // Lines that were read from the payload at once are passed on at once.
            match &mut together {
                Some((before, time)) if before.is_like(&entry) && *time == at => before.log += &entry.log,
                Some((before, time)) => {
                    if pass_on(before, *time, printer, sink)? == Flow::Done {
                        return Ok(Step::Done);
                    }
                    together = Some((entry, at));
                }
                None => together = Some((entry, at)),
            }
        }
        match together {
            Some((entry, at)) if pass_on(&entry, at, printer, sink)? == Flow::Done => Ok(Step::Done),
            _ => Ok(Step::More),
        }
    }
}

fn pass_on(entry: &Entry, at: i64, printer: &mut Printer<'_, '_>, sink: &mut dyn Sink) -> io::Result<Flow> {
    let details = reader::details(&entry.attrs);
    let chunk = Chunk {
        stream: entry.stream,
        time: at,
        continues: None,
        bytes: entry.log.as_bytes(),
        details: Some(&details),
    };
    printer.print(&chunk, sink)
}

impl Entry {
    fn is_like(&self, other: &Self) -> bool {
        self.stream == other.stream && self.attrs == other.attrs
    }
}

fn parse(line: &[u8]) -> Option<(Entry, i64)> {
    let entry: Entry = serde_json::from_slice(line).ok()?;
    let at = time::parse(&entry.time)?;
    Some((entry, at))
}

fn is_at(path: &Path, inode: u64) -> io::Result<bool> {
    match path.metadata() {
        Ok(metadata) => Ok(metadata.ino() == inode),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl Open {
    /// None where the file is gone.
    fn new(named: &Named) -> io::Result<Option<Self>> {
        let file = match File::open(&named.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let inode = file.metadata()?.ino();
        if !named.compressed {
            return Ok(Some(Self { file, inode, offset: 0 }));
        }
        let name = "decompressed log";
        let mut plain = File::from(rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)?);
        io::copy(&mut flate2::read::MultiGzDecoder::new(file), &mut plain)?;
        Ok(Some(Self { file: plain, inode, offset: 0 }))
    }

    /// The next whole lines; nothing where there are none (yet).
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut wanted = CHUNK;
        loop {
            let mut bytes = vec![0; wanted];
            let n = read_at(&self.file, &mut bytes, self.offset)?;
            bytes.truncate(n);
            if let Some(at) = bytes.iter().rposition(|byte| *byte == b'\n') {
                bytes.truncate(at + 1);
                self.offset += bytes.len() as u64;
                return Ok(bytes);
            }
            if n < wanted {
                return Ok(Vec::new());
            }
            wanted *= 2;
        }
    }

    fn last_time(&mut self) -> io::Result<Option<i64>> {
        let mut lines = Backwards::new(&self.file)?;
        while let Some((_, line)) = lines.next()? {
            if let Some((_, at)) = parse(&line) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Goes to a line before which all are older than `since`, by halving.
    fn seek(&mut self, since: i64) -> io::Result<()> {
        let (mut low, mut high) = (0, self.file.metadata()?.len());
        while high - low > CHUNK as u64 {
            let middle = low + (high - low) / 2;
            match self.first_after(middle)? {
                Some((offset, at)) if offset < high && at < since => low = offset,
                Some(_) => high = middle,
                None => high = middle,
            }
        }
        self.offset = low;
        Ok(())
    }

    /// The first entry that begins after `offset`, and its time.
    fn first_after(&mut self, offset: u64) -> io::Result<Option<(u64, i64)>> {
        self.offset = offset;
        let mut within = true;
        loop {
            let begin = self.offset;
            let bytes = self.read()?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let mut at = begin;
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                let parsed = if std::mem::take(&mut within) { None } else { parse(line) };
                if let Some((_, time)) = parsed {
                    return Ok(Some((at, time)));
                }
                at += line.len() as u64;
            }
        }
    }
}

/// The lines of a file from its end on.
struct Backwards<'a> {
    file: &'a File,
    /// The end of the last whole line that was not given yet.
    end: u64,
    /// What was read before `end`.
    bytes: Vec<u8>,
}

impl<'a> Backwards<'a> {
    fn new(file: &'a File) -> io::Result<Self> {
        let mut lines = Self { file, end: file.metadata()?.len(), bytes: Vec::new() };
        // What follows the last newline is not whole.
        loop {
            if let Some(at) = lines.bytes.iter().rposition(|byte| *byte == b'\n') {
                lines.end -= (lines.bytes.len() - at - 1) as u64;
                lines.bytes.truncate(at + 1);
                return Ok(lines);
            }
            if !lines.more()? {
                (lines.end, lines.bytes) = (0, Vec::new());
                return Ok(lines);
            }
        }
    }

    /// Reads what stands before; false at the file's beginning.
    fn more(&mut self) -> io::Result<bool> {
        let known = self.end - self.bytes.len() as u64;
        let n = known.min(CHUNK as u64);
        let mut bytes = vec![0; n as usize];
        self.file.read_exact_at(&mut bytes, known - n)?;
        bytes.append(&mut self.bytes);
        self.bytes = bytes;
        Ok(n > 0)
    }

    /// The line before, and where it begins.
    fn next(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        if self.end == 0 {
            return Ok(None);
        }
        loop {
            let before = &self.bytes[..self.bytes.len().saturating_sub(1)];
            if let Some(at) = before.iter().rposition(|byte| *byte == b'\n') {
                return Ok(Some(self.take(at + 1)));
            }
            if !self.more()? {
                return Ok(Some(self.take(0)));
            }
        }
    }

    fn take(&mut self, at: usize) -> (u64, Vec<u8>) {
        let line = self.bytes.split_off(at);
        self.end -= line.len() as u64;
        (self.end, line)
    }
}

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
