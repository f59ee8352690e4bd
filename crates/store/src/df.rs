//! What the store takes on disk, counted as du counts.

use std::path::Path;

use crate::gc::disk_bytes;
use crate::{Result, Store, StoreError};

/// Bytes on disk: blocks, not lengths, directories included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Complete blobs that something refers to.
    pub referenced: u64,
    /// Complete blobs that nothing refers to: what a collection frees.
    pub unreferenced: u64,
    /// Partials.
    pub partial: u64,
    /// The index, leases, directories, trash.
    pub other: u64,
}

impl Usage {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.referenced + self.unreferenced + self.partial + self.other
    }
}

impl Store {
    /// What the store takes on disk.
    pub fn usage(&self) -> Result<Usage> {
        let reachable = self.reachable_from_references()?;
        let mut usage = Usage::default();
        walk(self.root(), &mut |path, bytes| {
            let digest = self.digest_of(path);
            let place = match digest {
                Some(digest) if reachable.contains(&digest) => &mut usage.referenced,
                Some(_) => &mut usage.unreferenced,
                None if path.extension().is_some_and(|extension| extension == "partial") => {
                    &mut usage.partial
                }
                None => &mut usage.other,
            };
            *place += bytes;
        })?;
        Ok(usage)
    }

    /// The digest that a path under `blobs/` stands for.
    fn digest_of(&self, path: &Path) -> Option<oci::image::Digest> {
        let relative = path.strip_prefix(self.root().join("blobs")).ok()?;
        relative.to_str()?.replacen('/', ":", 1).parse().ok()
    }
}

/// Visits `path` and all below it with what each takes on disk. What vanishes meanwhile counts nothing.
fn walk(path: &Path, visit: &mut impl FnMut(&Path, u64)) -> Result<()> {
    let gone = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if gone(&error) => return Ok(()),
        Err(error) => return Err(StoreError::io("stat", path, error)),
    };
    visit(path, disk_bytes(&metadata));
    if !metadata.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(|error| StoreError::io("list", path, error))? {
        walk(&entry.map_err(|error| StoreError::io("list", path, error))?.path(), visit)?;
    }
    Ok(())
}
