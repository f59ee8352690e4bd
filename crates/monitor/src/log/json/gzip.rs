//! Files that were rotated are compressed by a child process, when no other was rotated for a while.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::process::{Pid, Signal};
use sys::process::{CloneFlags, Cloned};

use super::{compressed, rotated};

/// So long after the last rotation it begins.
const QUIET: Duration = Duration::from_secs(5);

/// When to compress, and who does it now.
#[derive(Debug)]
pub(super) struct Compressor {
    dir: PathBuf,
    id: String,
    max_file: u32,
    due: Option<Duration>,
    child: Option<Pid>,
}

impl Compressor {
    pub fn new(dir: &Path, id: &str, max_file: u32) -> Self {
        Self { dir: dir.to_owned(), id: id.to_owned(), max_file, due: None, child: None }
    }

    /// Files were renamed.
    pub fn rotated(&mut self, now: Duration) {
        self.due = Some(now + QUIET);
    }

    pub fn due(&self) -> Option<Duration> {
        if self.child.is_some() { None } else { self.due }
    }

    pub fn tick(&mut self, now: Duration) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        self.due = None;
        match sys::process::clone(CloneFlags::empty(), None) {
            Ok(Cloned::Child) => {
                let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
                let _ = rustix::process::nice(19);
                let done = compress_all(&self.dir, &self.id, self.max_file);
                sys::process::exit_now(i32::from(done.is_err()));
            }
            Ok(Cloned::Parent { pid, .. }) => self.child = Some(pid),
            // There will be another rotation.
            Err(_) => {}
        }
    }

    /// Ends a compression, before files get other names.
    pub fn stop(&mut self) {
        let Some(pid) = self.child.take() else { return };
        // Not reaped yet, or `reaped` had been told: the number is its own.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
        let _ = rustix::io::retry_on_intr(|| {
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
        });
    }

    pub fn reaped(&mut self, pid: Pid) -> bool {
        if self.child == Some(pid) {
            self.child = None;
            return true;
        }
        false
    }
}

/// Compresses all files but the one that is written.
pub(in crate::log) fn compress_all(dir: &Path, id: &str, max_file: u32) -> io::Result<()> {
    for n in 1..max_file {
        let from = match File::open(rotated(dir, id, n)) {
            Ok(from) => from,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let to = compressed(dir, id, n);
        let unfinished = to.with_extension("gz.tmp");
        let mut encoder = GzEncoder::new(File::create(&unfinished)?, Compression::default());
        io::copy(&mut &from, &mut encoder)?;
        encoder.finish()?.sync_all()?;
        std::fs::rename(&unfinished, &to)?;
        std::fs::remove_file(rotated(dir, id, n))?;
    }
    Ok(())
}
