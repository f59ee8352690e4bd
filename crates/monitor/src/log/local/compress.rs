//! Segments that are no longer written are compressed by a child process, so that neither payload nor readers wait.
//!
//! It begins only when no segment was begun for a while: what a busy payload writes is rotated away before it is worth
//! anything. What exists as `N.zst` is whole (it was renamed to that); then `N.log` goes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Pid;
use sys::process::{CloneFlags, Cloned};

use super::index::{self, ENTRY, Entry};
use super::record;
use super::segment::{self, Form, Segment};

/// So long after the last rotation it begins.
const QUIET: Duration = Duration::from_secs(5);

/// About so much is in a frame, before compression.
const FRAME: usize = 1 << 20;

const LEVEL: i32 = 3;

/// A frame that decoders skip (RFC 8878, 3.1.2).
const SKIPPABLE: u32 = 0x184D_2A5B;

/// When to compress, and who does it now.
#[derive(Debug, Default)]
pub(crate) struct Compressor {
    dir: PathBuf,
    due: Option<Duration>,
    child: Option<Pid>,
}

impl Compressor {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, due: None, child: None }
    }

    /// A segment was begun.
    pub fn rotated(&mut self, now: Duration) {
        self.due = Some(now + QUIET);
    }

    /// When [`tick`](Self::tick) is to be called.
    pub fn due(&self) -> Option<Duration> {
        if self.child.is_some() { None } else { self.due }
    }

    /// Begins, if it is time.
    pub fn tick(&mut self, now: Duration) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        self.due = None;
        match sys::process::clone(CloneFlags::empty(), None) {
            Ok(Cloned::Child) => {
                let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
                let _ = rustix::process::nice(19);
                let done = compress_all(&self.dir);
                sys::process::exit_now(i32::from(done.is_err()));
            }
            Ok(Cloned::Parent { pid, .. }) => self.child = Some(pid),
            // There will be another rotation.
            Err(_) => {}
        }
    }

    /// A child was reaped; true where it was ours.
    pub fn reaped(&mut self, pid: Pid) -> bool {
        if self.child == Some(pid) {
            self.child = None;
            return true;
        }
        false
    }
}

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
