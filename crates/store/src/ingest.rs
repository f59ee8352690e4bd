//! Content on its way in: hashed as it is written, resumable after a kill, followed while it grows.
//!
//! ```text
//!   Lease::ingest ── complete already ──────────────────────────────► Start::Present
//!        │
//!        └─► <digest>.partial, flock ──► write… ──► commit: size, digest, fsync, rename into blobs/
//!                 │                         │
//!                 │ resumed: re-hash        └─ dropped or killed: stays for the next one
//!                 └─ Follower ◄──────────────── reads along, ends when the digest is proved
//! ```

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use oci::image::{Algorithm, Digest, Hasher};
use rustix::fs::FlockOperation;

use crate::{Blob, Lease, Result, StoreError, durable, lock};

/// What [`Lease::ingest`] found.
#[derive(Debug)]
pub enum Start {
    /// The blob is complete.
    Present(Blob),
    /// The blob is to be written, from [`Ingest::offset`] on.
    Write(Box<Ingest>),
}

/// A blob being written.
pub struct Ingest {
    lease: Lease,
    name: Name,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    progress: Arc<Progress>,
    written: u64,
}

/// What is known of the content beforehand.
#[derive(Clone, Debug)]
enum Name {
    Known { digest: Digest, size: u64 },
    Unknown { media_type: String },
}

/// What followers wait for.
#[derive(Debug, Default)]
struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    written: u64,
    end: End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    Proved,
    Abandoned,
}

impl Progress {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }
}

impl Ingest {
    /// Takes over the partial of `digest`, waiting for whoever writes it.
    pub(crate) fn open(lease: Lease, digest: Digest, size: u64) -> Result<Start> {
        let path = lease.store().partial_path(&digest);
        let file = lock_partial(&path)?;
        // Complete since we looked: its writer had the partial before us.
        if let Some(blob) = lease.store().blob(&digest)? {
            durable::remove(&path)?;
            return Ok(Start::Present(blob));
        }
        let hasher = Hasher::new(digest.algorithm());
        let progress = Arc::new(Progress::default());
        let name = Name::Known { digest, size };
        let mut ingest = Ingest { lease, name, path, file, hasher, progress, written: 0 };
        ingest.resume(size)?;
        Ok(Start::Write(Box::new(ingest)))
    }

    /// Starts a partial under a random name.
    pub(crate) fn unnamed(lease: Lease, media_type: &str) -> Result<Ingest> {
        let directory = lease.store().root().join("ingest");
        let mut random = [0; 16];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| StoreError::io("draw a name in", &directory, error))?;
        let path = directory.join(format!("unnamed-{:032x}.partial", u128::from_ne_bytes(random)));
        let file = lock_partial(&path)?;
        let name = Name::Unknown { media_type: media_type.into() };
        let hasher = Hasher::new(Algorithm::Sha256);
        Ok(Ingest { lease, name, path, file, hasher, progress: Arc::default(), written: 0 })
    }

    /// Hashes what is there. The disk is asked, not a saved hash state: after a power cut only the disk knows
    /// what it kept, and it reads faster than a network delivers.
    fn resume(&mut self, size: u64) -> Result<()> {
        let length = self.file.metadata().map_err(|error| StoreError::io("stat", &self.path, error))?.len();
        if length > size {
            return self.restart();
        }
        let mut buffer = vec![0; if length == 0 { 0 } else { 256 << 10 }];
        while self.written < length {
            let read =
                self.file.read(&mut buffer).map_err(|error| StoreError::io("read", &self.path, error))?;
            if read == 0 {
                break;
            }
            self.hasher.update(&buffer[..read]);
            self.written += read as u64;
        }
        let written = self.written;
        self.progress.update(|state| state.written = written);
        Ok(())
    }

    /// How many bytes are there already: where to resume.
    pub fn offset(&self) -> u64 {
        self.written
    }

    /// Forgets what is there, because the source cannot resume. Followers must not have been made yet.
    pub fn restart(&mut self) -> Result<()> {
        self.file.set_len(0).map_err(|error| StoreError::io("truncate", &self.path, error))?;
        io::Seek::rewind(&mut self.file).map_err(|error| StoreError::io("rewind", &self.path, error))?;
        self.hasher = Hasher::new(match &self.name {
            Name::Known { digest, .. } => digest.algorithm(),
            Name::Unknown { .. } => Algorithm::Sha256,
        });
        self.written = 0;
        self.progress.update(|state| state.written = 0);
        Ok(())
    }

    /// Writes the next bytes. More than the descriptor says is an error at once.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let after = self.written + bytes.len() as u64;
        match &self.name {
            Name::Known { digest, size } if after > *size => {
                let (digest, expected) = (*digest, *size);
                return Err(StoreError::WrongSize { digest, expected, actual: expected, more: true });
            }
            _ => {}
        }
        self.file.write_all(bytes).map_err(|error| StoreError::io("write", &self.path, error))?;
        self.hasher.update(bytes);
        self.written = after;
        self.progress.update(|state| state.written = after);
        Ok(())
    }

    /// A reader from the start that waits for what is still to be written.
    pub fn follow(&self) -> Result<Follower> {
        let file = self.file.try_clone().map_err(|error| StoreError::io("duplicate", &self.path, error))?;
        Ok(Follower { file, progress: self.progress.clone(), offset: 0 })
    }

    /// Proves size and digest, syncs, and gives the blob its name. Content that is not what it should be is
    /// removed, so that no retry resumes it.
    pub fn commit(self) -> Result<Blob> {
        self.finish(true)
    }

    /// The same without waiting for the disk. After a power cut the blob may be damaged: only for content that its
    /// owner can make again, and checks whenever it is used.
    pub fn commit_volatile(self) -> Result<Blob> {
        self.finish(false)
    }

    fn finish(mut self, is_synced: bool) -> Result<Blob> {
        let actual = std::mem::replace(&mut self.hasher, Hasher::new(Algorithm::Sha256)).finish();
        if let Name::Known { digest, size } = self.name {
            if self.written != size {
                return Err(StoreError::WrongSize {
                    digest,
                    expected: size,
                    actual: self.written,
                    more: false,
                });
            }
            if actual != digest {
                durable::remove(&self.path)?;
                return Err(StoreError::WrongDigest { expected: digest, actual });
            }
        }
        self.progress.update(|state| state.end = End::Proved);
        if is_synced {
            self.file.sync_data().map_err(|error| StoreError::io("sync", &self.path, error))?;
        }
        if let Name::Unknown { media_type } = &self.name {
            self.lease.hold(&actual, media_type)?;
        }
        let store = self.lease.store();
        let to = store.blob_path(&actual);
        match is_synced {
            true => durable::rename(&self.path, &to)?,
            false => {
                std::fs::rename(&self.path, &to).map_err(|error| StoreError::io("rename to", &to, error))?;
            }
        }
        store.blob(&actual)?.ok_or(StoreError::Missing(actual))
    }

    /// Throws away what came so far.
    pub fn discard(self) -> Result<()> {
        durable::remove(&self.path)
    }
}

/// Opens or makes the partial at `path` and locks it. Whoever had it before may have taken its name away.
fn lock_partial(path: &Path) -> Result<File> {
    loop {
        let file = durable::open_or_create(path)?;
        lock::wait(&file, path, FlockOperation::LockExclusive)?;
        if is_at(&file, path)? {
            return Ok(file);
        }
    }
}

/// Whether `file` still has the name `path`.
fn is_at(file: &File, path: &Path) -> Result<bool> {
    let own = file.metadata().map_err(|error| StoreError::io("stat", path, error))?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io("stat", path, error)),
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        self.progress.update(|state| {
            if state.end == End::Open {
                state.end = End::Abandoned;
            }
        });
        // Nobody can resume what has no name.
        if matches!(self.name, Name::Unknown { .. }) {
            let _ = durable::remove(&self.path);
        }
    }
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest")
            .field("path", &self.path)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

impl Write for Ingest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a blob while it is written. The end is reported only after the digest was proved; a writer that
/// gives up is an error.
#[derive(Debug)]
pub struct Follower {
    file: File,
    progress: Arc<Progress>,
    offset: u64,
}

impl Read for Follower {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let state = {
            let waits = |state: &mut State| state.written <= self.offset && state.end == End::Open;
            let state = self.progress.changed.wait_while(self.progress.state(), waits);
            *state.unwrap_or_else(PoisonError::into_inner)
        };
        if state.end == End::Abandoned {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the download was given up"));
        }
        let available = usize::try_from(state.written - self.offset).unwrap_or(usize::MAX);
        let wanted = available.min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
