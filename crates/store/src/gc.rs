//! Garbage collection: what nobody refers to goes.
//!
//! Marking reads manifests and may take a while, so it runs twice: once without the lock, which warms what
//! the second run needs, and once under it, where nothing can become referenced any more. Under the lock
//! blobs are only renamed into `trash/`; they are deleted after it.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use oci::image::{Algorithm, Digest};

use crate::{Reachable, Result, Store, StoreError, durable, lock};

/// What is spared of what nobody refers to.
#[derive(Clone, Copy, Debug, Default)]
pub struct GcOptions {
    /// Spare what was used within this time.
    pub keep_since: Option<Duration>,
    /// Stop, oldest first, when the blobs that are left take no more than this many bytes.
    pub keep_bytes: Option<u64>,
}

/// What a collection removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs that nobody refers to.
    pub blobs: Vec<Digest>,
    /// Partials that nobody writes.
    pub partials: usize,
    /// The bytes that both took on disk.
    pub bytes: u64,
}

/// Something that can go.
struct Candidate {
    path: PathBuf,
    digest: Option<Digest>,
    used: SystemTime,
    bytes: u64,
    /// A partial is locked until it has lost its name, so that no writer takes it up meanwhile.
    _locked: Option<File>,
}

impl Store {
    /// Removes what neither a reference nor a live lease reaches. `under_lock` runs while nothing can become
    /// referenced or leased, with what stays: it removes by rename what belongs to other blobs (snapshots).
    /// A damaged manifest stops the collection before it starts.
    pub fn gc(
        &self,
        options: GcOptions,
        under_lock: impl FnOnce(&Reachable) -> Result<()>,
    ) -> Result<Collected> {
        self.reachable_from_references()?;
        let trash = self.root.join("trash");
        let mut collected = Collected::default();
        {
            let _lock = self.lock_exclusive()?;
            let mut reachable = self.reachable_from_references()?;
            for descriptor in self.leased()? {
                reachable.mark(self, &descriptor)?;
            }
            // What a damaged manifest holds is unknown, so nothing is safe to collect.
            if let Some(damage) = reachable.take_damage() {
                return Err(damage);
            }
            for candidate in self.doomed(&reachable, options)? {
                let name = candidate.path.file_name().unwrap_or_default();
                let to = trash.join(name);
                std::fs::rename(&candidate.path, &to)
                    .map_err(|error| StoreError::io("move to", to, error))?;
                collected.bytes += candidate.bytes;
                match candidate.digest {
                    Some(digest) => collected.blobs.push(digest),
                    None => collected.partials += 1,
                }
            }
            self.forget_discarded(&reachable)?;
            under_lock(&reachable)?;
        }
        for name in durable::list(&trash)? {
            durable::remove(&trash.join(name))?;
        }
        Ok(collected)
    }

    /// What goes, oldest first.
    fn doomed(&self, reachable: &Reachable, options: GcOptions) -> Result<Vec<Candidate>> {
        let mut candidates = self.idle_partials()?;
        let mut total: u64 = candidates.iter().map(|candidate| candidate.bytes).sum();
        for algorithm in Algorithm::ALL {
            let directory = self.blobs(algorithm);
            for name in durable::list(&directory)? {
                let path = directory.join(&name);
                let Some(metadata) = stat(&path)? else { continue };
                total += disk_bytes(&metadata);
                let digest = Digest::from_hex(algorithm, &name).ok();
                if digest.is_none_or(|digest| !reachable.contains(&digest)) {
                    candidates.push(candidate(path, digest, &metadata));
                }
            }
        }
        candidates.sort_by_key(|candidate| candidate.used);
        let now = SystemTime::now();
        candidates.retain(|candidate| {
            let age = now.duration_since(candidate.used).unwrap_or_default();
            let is_old = options.keep_since.is_none_or(|kept| age >= kept);
            let is_too_much = options.keep_bytes.is_none_or(|kept| total > kept);
            let goes = is_old && is_too_much;
            total -= if goes { candidate.bytes } else { 0 };
            goes
        });
        Ok(candidates)
    }

    /// Partials that no process writes.
    fn idle_partials(&self) -> Result<Vec<Candidate>> {
        let directory = self.root.join("ingest");
        let mut idle = Vec::new();
        for name in durable::list(&directory)? {
            let path = directory.join(name);
            let Some(metadata) = stat(&path)? else { continue };
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(StoreError::io("open", path, error)),
            };
            if lock::try_exclusive(&file, &path)? {
                idle.push(Candidate { _locked: Some(file), ..candidate(path, None, &metadata) });
            }
        }
        Ok(idle)
    }
}

fn candidate(path: PathBuf, digest: Option<Digest>, metadata: &Metadata) -> Candidate {
    let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    Candidate { path, digest, used, bytes: disk_bytes(metadata), _locked: None }
}

/// What a file takes on disk.
pub fn disk_bytes(metadata: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    metadata.blocks() * 512
}

fn stat(path: &Path) -> Result<Option<Metadata>> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("stat", path, error)),
    }
}
