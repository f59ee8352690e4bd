//! Writing the log.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::pipe::SpliceFlags;
use rustix::process::Pid;

use super::compress::compress_all;
use super::index::{self, ENTRY, Entry, STRIDE};
use super::record::{HEADER, Header, LONGEST, MAGIC};
use super::segment::{self, Form};
use crate::log::Config;
use crate::log::compressor::Compressor;
use crate::stdio::Stream;

/// Less than that is copied rather than spliced: it is fewer system calls.
const WORTH_SPLICING: usize = 16 << 10;

/// The segment that is written, and those that were.
#[derive(Debug)]
pub(crate) struct Local {
    dir: PathBuf,
    max_size: Option<u64>,
    max_file: u64,
    compressor: Option<Compressor>,
    number: u64,
    file: File,
    index: File,
    end: u64,
    indexed: u64,
    index_end: u64,
    latest: i64,
    /// For each stream, whether the last byte was not a line's last.
    within_line: [bool; 2],
}

impl Local {
    /// Goes on with the log in `config.dir`, or begins it.
    pub fn open(config: &Config, within_line: [bool; 2], now: Duration) -> io::Result<Self> {
        let dir = config.dir.join(super::DIR);
        std::fs::create_dir_all(&dir)?;
        let segments = segment::list(&dir)?;
        let (number, file, index) = match segments.last() {
            Some((number, Form::Plain)) => {
                let log = open(&segment::path(&dir, *number, "log"))?;
                (*number, log, open(&segment::path(&dir, *number, "idx"))?)
            }
            last => create(&dir, last.map_or(1, |(number, _)| number + 1))?,
        };
        let mut local = Self {
            max_size: config.max_size,
            max_file: u64::from(config.max_file),
            compressor: config.compress.then(Compressor::default),
            dir,
            number,
            file,
            index,
            end: MAGIC.len() as u64,
            indexed: MAGIC.len() as u64,
            index_end: 0,
            latest: i64::MIN,
            within_line,
        };
        local.repair()?;
        if let (Some(compressor), true) = (&mut local.compressor, segments.len() > 1) {
            compressor.rotated(now);
        }
        local.forget_old()?;
        Ok(local)
    }

    /// Finds the log's end, and cuts off what an end of the last writer at any instant left behind it.
    fn repair(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut self.index, &mut bytes)?;
        let entries = index::complete(&bytes, &self.file);
        let last = entries.last().copied().unwrap_or(Entry::FIRST);
        (self.indexed, self.end, self.latest) = (last.offset, last.offset, last.latest);
        let size = self.file.metadata()?.len();
        while let Some(header) = index::header_at(&self.file, self.end) {
            let end = self.end + header.span() as u64;
            if end > size {
                break;
            }
            self.end = end;
            self.latest = self.latest.max(header.time);
        }
        if size != self.end {
            self.file.set_len(self.end)?;
            // A segment that was cut off before its first bytes.
            self.file.write_all_at(&MAGIC, 0)?;
        }
        let sound: Vec<u8> = entries[1..].iter().flat_map(Entry::encode).collect();
        if sound != bytes {
            self.index.set_len(0)?;
            self.index.write_all_at(&sound, 0)?;
        }
        self.index_end = sound.len() as u64;
        Ok(())
    }

    /// Adds a chunk. On an error the rest of it is not there.
    pub fn write(&mut self, stream: Stream, time: i64, bytes: &[u8]) -> io::Result<()> {
        self.add(stream, time, bytes).inspect_err(|_| self.take_back())
    }

    fn add(&mut self, stream: Stream, time: i64, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let header = self.next(stream, time, rest.len())?;
            let (now, later) = rest.split_at(header.length);
            self.put(&header, now)?;
            self.within_line[stream.index()] = now.last() != Some(&b'\n');
            rest = later;
        }
        Ok(())
    }

    fn put(&mut self, header: &Header, bytes: &[u8]) -> io::Result<()> {
        let head = header.encode();
        let written = rustix::io::pwritev(&self.file, &[IoSlice::new(&head), IoSlice::new(bytes)], self.end)?;
        // Short only where the disk is full: then the rest says so.
        if let Some(rest) = written.checked_sub(HEADER) {
            self.file.write_all_at(&bytes[rest..], self.end + written as u64)?;
        } else {
            self.file.write_all_at(&head[written..], self.end + written as u64)?;
            self.file.write_all_at(bytes, self.end + HEADER as u64)?;
        }
        self.end += header.span() as u64;
        Ok(())
    }

    /// Adds what waits in a pipe, of which nobody else reads; at most `waiting` bytes. Gives how many were taken, 0
    /// where so few wait that the caller should read and [`write`](Self::write) them.
    ///
    /// The header follows the bytes, so that a record is there when it is whole.
    pub fn splice(
        &mut self,
        stream: Stream,
        time: i64,
        pipe: BorrowedFd<'_>,
        waiting: usize,
    ) -> io::Result<usize> {
        if waiting < WORTH_SPLICING {
            return Ok(0);
        }
        self.pass(stream, time, pipe, waiting).inspect_err(|_| self.take_back())
    }

    fn pass(&mut self, stream: Stream, time: i64, pipe: BorrowedFd<'_>, waiting: usize) -> io::Result<usize> {
        let mut header = self.next(stream, time, waiting)?;
        let begin = self.end + HEADER as u64;
        let mut to = begin;
        let taken = loop {
            let taken = (to - begin) as usize;
            let left = header.length - taken;
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            match rustix::pipe::splice(pipe, None, self.file.as_fd(), Some(&mut to), left, flags) {
                Ok(n) if n > 0 && n < left => {}
                Err(Errno::INTR) => {}
                Ok(_) | Err(Errno::AGAIN) => break (to - begin) as usize,
                Err(_) if taken > 0 => break taken,
                Err(errno) => return Err(errno.into()),
            }
        };
        if taken == 0 {
            return Ok(0);
        }
        header.length = taken;
        let mut last = [0];
        self.file.read_exact_at(&mut last, to - 1)?;
        self.file.write_all_at(&header.encode(), self.end)?;
        self.end = to;
        self.within_line[stream.index()] = last[0] != b'\n';
        Ok(taken)
    }

    /// The header of a record that begins at the end, in a new segment where it would not fit; of as many bytes as fit.
    fn next(&mut self, stream: Stream, time: i64, length: usize) -> io::Result<Header> {
        // However small max-size is, a segment takes a record of a page.
        let largest = self
            .max_size
            .map_or(LONGEST as u64, |max| max.saturating_sub(MAGIC.len() as u64 + HEADER as u64));
        let length = length.min(LONGEST).min(largest.max(4096) as usize);
        let is_empty = self.end == MAGIC.len() as u64;
        let needed = self.end + (HEADER + length) as u64;
        if !is_empty && self.max_size.is_some_and(|max| needed > max) {
            self.rotate()?;
        }
        if self.end - self.indexed >= STRIDE {
            let entry = Entry { offset: self.end, latest: self.latest };
            self.index.write_all_at(&entry.encode(), self.index_end)?;
            (self.indexed, self.index_end) = (self.end, self.index_end + ENTRY as u64);
        }
        self.latest = self.latest.max(time);
        Ok(Header { length, time, stream, continues: self.within_line[stream.index()] })
    }

    fn rotate(&mut self) -> io::Result<()> {
        (self.number, self.file, self.index) = create(&self.dir, self.number + 1)?;
        (self.end, self.indexed) = (MAGIC.len() as u64, MAGIC.len() as u64);
        (self.index_end, self.latest) = (0, i64::MIN);
        if let Some(compressor) = &mut self.compressor {
            compressor.rotated(crate::attend::now());
        }
        self.forget_old()
    }

    /// Removes segments that are too old, and what a killed compressor left.
    fn forget_old(&self) -> io::Result<()> {
        for (number, _) in segment::list(&self.dir)? {
            if number + self.max_file <= self.number {
                segment::remove(&self.dir, number, &["log", "idx", "zst", "zst.tmp"])?;
            }
        }
        Ok(())
    }

    /// Cuts off a record that could not be written whole, lest its bytes be taken for records some day.
    fn take_back(&self) {
        // Where that fails too, the next opening does it.
        let _ = self.file.set_len(self.end);
    }

    /// The payload has ended: what the next one writes begins a line.
    pub fn end_lines(&mut self) {
        self.within_line = [false; 2];
    }

    /// What must be known to go on within a line.
    pub fn within_line(&self) -> [bool; 2] {
        self.within_line
    }

    /// When [`tick`](Self::tick) is to be called.
    pub fn due(&self) -> Option<Duration> {
        self.compressor.as_ref()?.due()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Duration) {
        if let Some(compressor) = &mut self.compressor {
            compressor.tick(now, || compress_all(&self.dir));
        }
    }

    /// A child was reaped; true where it was the log's.
    pub fn reaped(&mut self, pid: Pid) -> bool {
        self.compressor.as_mut().is_some_and(|compressor| compressor.reaped(pid))
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// A new segment. The index is there first: a segment without one costs its first reader a walk.
///
/// The files are new ones, never truncated ones: what is written to a file after a truncation, ext4 sends to the disk when
/// it is closed (auto_da_alloc), and most segments of a busy payload are removed before anybody would.
fn create(dir: &Path, number: u64) -> io::Result<(u64, File, File)> {
    segment::remove(dir, number, &["idx", "log"])?;
    let index = open(&segment::path(dir, number, "idx"))?;
    let file = open(&segment::path(dir, number, "log"))?;
    file.write_all_at(&MAGIC, 0)?;
    Ok((number, file, index))
}
