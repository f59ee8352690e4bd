//! `volume ls`, `rm` and `prune`.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::FlockOperation;

use crate::error::Error;
use crate::filters::Filters;

use super::{Result, Volume, VolumeError, Volumes};

/// Which containers use which volumes: ids by the volume's name. It is asked while no container can be recorded.
pub type Users<'a> = &'a dyn Fn() -> crate::error::Result<BTreeMap<String, Vec<String>>>;

/// What `prune` removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names.
    pub volumes: Vec<String>,
    /// Bytes on disk.
    pub reclaimed: u64,
}

impl Volumes {
    /// All volumes, by name.
    ///
    /// # Errors
    /// The directory or a record can't be read.
    pub fn list(&self) -> Result<Vec<Volume>> {
        let mut volumes = Vec::new();
        for name in
            self.entries()?.into_iter().filter(|name| super::check_name(name).is_ok() && name != "lock")
        {
            match self.get(&name) {
                Err(VolumeError::NotFound(_)) => {}
                other => volumes.push(other?),
            }
        }
        Ok(volumes)
    }

    /// Those that filters let through: `dangling`, `driver`, `label`, `name`.
    ///
    /// # Errors
    /// An unknown filter.
    pub fn filtered(&self, filters: &Filters, users: Users<'_>) -> crate::error::Result<Vec<Volume>> {
        filters.only(&["dangling", "driver", "label", "label!", "name"])?;
        let dangling = boolean(filters, "dangling")?;
        let used = if dangling.is_some() { users()? } else { BTreeMap::new() };
        let mut kept = Vec::new();
        for volume in self.list()? {
            let keeps = dangling.is_none_or(|wanted| wanted != used.contains_key(&volume.name))
                && filters.any("driver", |driver| driver == "local")
                && filters.labels(volume.labels())
                && filters.any("name", |part| volume.name.contains(part.as_str()));
            if keeps {
                kept.push(volume);
            }
        }
        Ok(kept)
    }

    /// Removes a volume that no container uses.
    ///
    /// # Errors
    /// There is none, or it is used.
    pub fn remove(&self, name: &str, users: Users<'_>) -> crate::error::Result<()> {
        let _lock = self.lock(FlockOperation::LockExclusive)?;
        self.get(name)?;
        if let Some(users) = users()?.remove(name) {
            return Err(VolumeError::InUse { name: name.to_owned(), users }.into());
        }
        self.discard(name)?;
        Ok(self.sweep()?)
    }

    /// Removes the volumes of a container that goes, those that were made for it and that no other one uses.
    ///
    /// # Errors
    /// As for [`Volumes::remove`]; what is gone already, or used, is no error.
    pub fn remove_anonymous(&self, names: &[String], users: Users<'_>) -> crate::error::Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let _lock = self.lock(FlockOperation::LockExclusive)?;
        let used = users()?;
        for name in names.iter().filter(|name| !used.contains_key(*name)) {
            match self.discard(name) {
                Err(VolumeError::NotFound(_)) => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Removes volumes that no container uses: anonymous ones, or with `all` every one. Filters: `all`, `label`.
    ///
    /// # Errors
    /// An unknown filter, or a volume that can't be removed.
    pub fn prune(&self, all: bool, filters: &Filters, users: Users<'_>) -> crate::error::Result<Pruned> {
        filters.only(&["all", "label", "label!"])?;
        let all = all || boolean(filters, "all")? == Some(true);
        let _lock = self.lock(FlockOperation::LockExclusive)?;
        let used = users()?;
        let mut pruned = Pruned::default();
        for volume in self.list()? {
            let goes = (all || volume.is_anonymous())
                && !used.contains_key(&volume.name)
                && filters.labels(volume.labels());
            if goes {
                pruned.reclaimed += size(&volume.mountpoint());
                self.discard(&volume.name)?;
                pruned.volumes.push(volume.name);
            }
        }
        self.sweep()?;
        Ok(pruned)
    }
}

impl Volume {
    /// Bytes that its files take on disk; of what others change meanwhile it is a guess.
    pub fn size(&self) -> u64 {
        size(&self.mountpoint())
    }
}

fn boolean(filters: &Filters, name: &str) -> crate::error::Result<Option<bool>> {
    match filters.get(name) {
        [] => Ok(None),
        [value] => match value.as_str() {
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            _ => Err(Error::Invalid(format!("invalid filter '{name}={value}': use true or false"))),
        },
        _ => Err(Error::Invalid(format!("invalid filter '{name}': it has more than one value"))),
    }
}

fn size(directory: &Path) -> u64 {
    let mut seen = std::collections::BTreeSet::new();
    let (mut bytes, mut pending) = (0, vec![directory.to_owned()]);
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.nlink() < 2 || metadata.is_dir() || seen.insert((metadata.dev(), metadata.ino())) {
                bytes += metadata.blocks() * 512;
            }
            if metadata.is_dir() {
                pending.push(entry.path());
            }
        }
    }
    bytes
}
