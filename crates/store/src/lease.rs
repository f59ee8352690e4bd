//! Leases: what a process counts on before a reference holds it.
//!
//! A lease is a file that lists blobs and that its process keeps locked. Making it and adding to it take the
//! store's lock shared, collecting takes it exclusively. So a lease that the collector finds unlocked belongs
//! to a process that is no more, and is void; and a blob that a claim found is there until the lease ends.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use oci::image::{Descriptor, Digest};
use rustix::fs::FlockOperation;

use crate::{Blob, Ingest, Result, Start, Store, StoreError, durable, lock};

/// Keeps what was claimed or written through it from being collected, until it is dropped or its process
/// ends. Cheap to clone; the lease lasts as long as the last clone.
#[derive(Clone, Debug)]
pub struct Lease(Arc<Held>);

#[derive(Debug)]
struct Held {
    store: Store,
    file: File,
    path: PathBuf,
}

impl Store {
    /// A new lease of this process.
    pub fn lease(&self) -> Result<Lease> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let _lock = self.lock_shared()?;
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = self.root.join("leases").join(format!("{}-{number}", std::process::id()));
            let file = match File::options().append(true).create_new(true).open(&path) {
                Ok(file) => file,
                // Left by a process that had our id, or of one in another pid namespace.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(StoreError::io("make lease", path, error)),
            };
            lock::wait(&file, &path, FlockOperation::LockExclusive)?;
            return Ok(Lease(Arc::new(Held { store: self.clone(), file, path })));
        }
    }

    /// What the leases of live processes hold, as (digest, media type). Void leases are removed. The caller
    /// holds the lock exclusively.
    pub(crate) fn leased(&self) -> Result<Vec<Descriptor>> {
        let directory = self.root.join("leases");
        let mut held = Vec::new();
        for name in durable::list(&directory)? {
            let path = directory.join(name);
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(StoreError::io("open", path, error)),
            };
            if lock::try_exclusive(&file, &path)? {
                durable::remove(&path)?;
                continue;
            }
            let text =
                std::io::read_to_string(&file).map_err(|error| StoreError::io("read", &path, error))?;
            held.extend(text.lines().filter_map(parse_line));
        }
        Ok(held)
    }
}

fn parse_line(line: &str) -> Option<Descriptor> {
    let (digest, media_type) = line.split_once(' ')?;
    Some(Descriptor::new(media_type, digest.parse().ok()?, 0))
}

impl Lease {
    /// The store that it is a lease on.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Holds the blob that `descriptor` points at, and all that it points at if it is a manifest, and opens
    /// it if it is there with the size that the descriptor says. Its time of last use becomes now.
    pub fn claim(&self, descriptor: &Descriptor) -> Result<Option<Blob>> {
        self.hold(&descriptor.digest, &descriptor.media_type)?;
        let Some(blob) = self.store().blob(&descriptor.digest)? else { return Ok(None) };
        if blob.size != descriptor.size {
            let (digest, expected, actual) = (descriptor.digest, descriptor.size, blob.size);
            return Err(StoreError::WrongSize { digest, expected, actual, more: false });
        }
        touch(&blob);
        Ok(Some(blob))
    }

    /// Starts or resumes the blob that `descriptor` points at, or finds it complete. If another process (or
    /// thread) is writing it, this waits for it: no blob is fetched twice.
    pub fn ingest(&self, descriptor: &Descriptor) -> Result<Start> {
        if let Some(blob) = self.claim(descriptor)? {
            return Ok(Start::Present(blob));
        }
        Ingest::open(self.clone(), descriptor.digest, descriptor.size)
    }

    /// Starts content whose digest nobody knows yet; it becomes a SHA-256 one of `media_type`.
    pub fn ingest_unnamed(&self, media_type: &str) -> Result<Ingest> {
        Ingest::unnamed(self.clone(), media_type)
    }

    /// Stores a small document and returns where it is.
    pub fn put(&self, media_type: &str, content: &[u8]) -> Result<Descriptor> {
        let descriptor = Descriptor::new(media_type, Digest::sha256(content), content.len() as u64);
        if let Start::Write(mut ingest) = self.ingest(&descriptor)? {
            ingest.restart()?;
            ingest.append(content)?;
            ingest.commit()?;
        }
        Ok(descriptor)
    }

    /// Adds a blob to the lease.
    pub(crate) fn hold(&self, digest: &Digest, media_type: &str) -> Result<()> {
        let media_type: String = media_type.chars().filter(|c| !c.is_control()).take(256).collect();
        let _lock = self.store().lock_shared()?;
        (&self.0.file)
            .write_all(format!("{digest} {media_type}\n").as_bytes())
            .map_err(|error| StoreError::io("write", &self.0.path, error))
    }
}

/// Marks a blob as just used. A store on a read-only file system works without.
fn touch(blob: &Blob) {
    let now = std::fs::FileTimes::new().set_modified(std::time::SystemTime::now());
    let _ = blob.file.set_times(now);
}

impl Drop for Held {
    fn drop(&mut self) {
        // Unlinked while locked, so nobody mistakes it for a dead one; if this fails, the collector does it.
        let _ = std::fs::remove_file(&self.path);
    }
}
