//! Writing Docker's lines.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Pid;

use super::gzip::compress_all;
use super::{compressed, current, encode, rotated};
use crate::log::Config;
use crate::log::compressor::Compressor;
use crate::log::lines::Line;
use crate::stdio::Stream;

/// Entries are written together up to this size.
const TOGETHER: usize = 64 << 10;

/// The file that is written, and those before.
#[derive(Debug)]
pub(crate) struct Json {
    dir: PathBuf,
    id: String,
    max_size: Option<u64>,
    max_file: u32,
    attrs: String,
    compressor: Option<Compressor>,
    file: File,
    size: u64,
    lines: [Line; 2],
}

impl Json {
    /// Goes on with the log in `config.dir`, or begins it.
    pub fn open(config: &Config, lines: [Line; 2], now: Duration) -> io::Result<Self> {
        std::fs::create_dir_all(&config.dir)?;
        let (dir, id) = (config.dir.clone(), config.id.clone());
        let mut file = open(&current(&dir, &id))?;
        let size = cut_torn_line(&mut file)?;
        let mut compressor = config.compress.then(Compressor::default);
        let uncompressed = (1..config.max_file).any(|n| rotated(&dir, &id, n).exists());
        if let (Some(compressor), true) = (&mut compressor, uncompressed) {
            compressor.rotated(now);
        }
        Ok(Self {
            max_size: config.max_size,
            max_file: config.max_file,
            attrs: encode::attrs(&config.attrs),
            dir,
            id,
            compressor,
            file,
            size,
            lines,
        })
    }

    /// Adds a chunk. On an error the rest of it is not there.
    pub fn write(&mut self, stream: Stream, time: i64, bytes: &[u8]) -> io::Result<()> {
        let mut out = Vec::new();
        let mut line = std::mem::take(&mut self.lines[stream.index()]);
        let rest = encode::rest(stream, &self.attrs, time);
        let written = line.add(bytes, |line| {
            encode::entry(line, &rest, &mut out);
            if out.len() < TOGETHER { Ok(()) } else { self.put(&mut out) }
        });
        self.lines[stream.index()] = line;
        written.and_then(|()| self.put(&mut out))
    }

    /// The payload has ended: what it wrote last is a line.
    pub fn end_lines(&mut self, time: i64) -> io::Result<()> {
        let mut out = Vec::new();
        for stream in Stream::BOTH {
            let mut line = std::mem::take(&mut self.lines[stream.index()]);
            line.end(|line| {
                encode::entry(line, &encode::rest(stream, &self.attrs, time), &mut out);
                Ok::<_, io::Error>(())
            })?;
        }
        self.put(&mut out)
    }

    /// Lines that have begun.
    pub fn lines(&self) -> [Line; 2] {
        self.lines.clone()
    }

    /// Writes whole entries, as many to a file as fit.
    fn put(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut rest = &std::mem::take(out)[..];
        while !rest.is_empty() {
            let room = self.max_size.map_or(usize::MAX, |max| max.saturating_sub(self.size) as usize);
            let mut fits = rest;
            if rest.len() > room {
                let end = rest[..room].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                if end == 0 && self.size > 0 {
                    self.rotate()?;
                    continue;
                }
                // However small max-size is, a file takes an entry.
                let first = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
                fits = &rest[..end.max(first)];
            }
            if let Err(error) = self.file.write_all_at(fits, self.size) {
                // Cut off what is not whole; the next opening does it otherwise.
                let _ = self.file.set_len(self.size);
                return Err(error);
            }
            self.size += fits.len() as u64;
            rest = &rest[fits.len()..];
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        if let Some(compressor) = &mut self.compressor {
            compressor.stop();
        }
        let path = current(&self.dir, &self.id);
        if self.max_file == 1 {
            // Docker truncates it then. A new file instead, so that who reads the old one can finish.
            ignore_missing(std::fs::remove_file(&path))?;
        } else {
            self.rename_old()?;
        }
        self.file = open(&path)?;
        self.size = 0;
        if let Some(compressor) = &mut self.compressor {
            compressor.rotated(crate::attend::now());
        }
        Ok(())
    }

    /// Each file gets the next number, from the oldest on.
    fn rename_old(&self) -> io::Result<()> {
        let (dir, id) = (&self.dir, &self.id);
        let last = self.max_file - 1;
        for old in [rotated(dir, id, last), compressed(dir, id, last)] {
            ignore_missing(std::fs::remove_file(old))?;
        }
        for n in (1..last).rev() {
            ignore_missing(std::fs::rename(rotated(dir, id, n), rotated(dir, id, n + 1)))?;
            ignore_missing(std::fs::rename(compressed(dir, id, n), compressed(dir, id, n + 1)))?;
        }
        ignore_missing(std::fs::rename(current(dir, id), rotated(dir, id, 1)))
    }

    /// When [`tick`](Self::tick) is to be called.
    pub fn due(&self) -> Option<Duration> {
        self.compressor.as_ref()?.due()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Duration) {
        if let Some(compressor) = &mut self.compressor {
            compressor.tick(now, || compress_all(&self.dir, &self.id, self.max_file));
        }
    }

    /// A child was reaped; true where it was the log's.
    pub fn reaped(&mut self, pid: Pid) -> bool {
        self.compressor.as_mut().is_some_and(|compressor| compressor.reaped(pid))
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).mode(0o640).open(path)
}

/// A writer that was killed may have left half an entry. Gives the file's size without it.
fn cut_torn_line(file: &mut File) -> io::Result<u64> {
    const BLOCK: u64 = 4096;
    let size = file.metadata()?.len();
    let mut end = size;
    while end > 0 {
        let begin = end.saturating_sub(BLOCK);
        let mut block = vec![0; (end - begin) as usize];
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            end = begin + at as u64 + 1;
            break;
        }
        end = begin;
    }
    if end != size {
        file.set_len(end)?;
        file.flush()?;
    }
    Ok(end)
}
