//! Files that are complete once they have their name: stage, sync, rename, sync the directory.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::{Result, StoreError};

/// Makes a directory unless it is there.
pub fn make_directory(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|error| StoreError::io("make directory", path, error))
}

/// Whether something has this name.
pub fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(|error| StoreError::io("look up", path, error))
}

/// Opens or makes a file for reading and writing, owned by the store alone.
pub fn open_or_create(path: &Path) -> Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::from_raw_mode(0o644))
        .map(File::from)
        .map_err(|error| StoreError::io("open", path, error))
}

/// Replaces the file at `path` by `content`. The caller holds the lock that guards `path`, so the staged
/// file's name is fixed and a killed process leaves at most one behind, which the next writer reuses.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let staged = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&staged)?;
        file.write_all(content)?;
        file.sync_data()
    };
    write().map_err(|error| StoreError::io("write", &staged, error))?;
    rename(&staged, path)
}

/// Gives a synced file its name, durably.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).map_err(|error| StoreError::io("rename to", to, error))?;
    sync_directory(to.parent().unwrap_or(Path::new("/")))
}

/// Makes the names in a directory durable.
pub fn sync_directory(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| StoreError::io("sync", path, error))
}

/// Removes a file; one that is gone already is as good.
pub fn remove(path: &Path) -> Result<()> {
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(StoreError::io("remove", path, error)),
    }
}

/// The names in a directory of the store, sorted. Names that are not UTF-8 are none that the store gave.
pub fn list(path: &Path) -> Result<Vec<String>> {
    let fail = |error| StoreError::io("list", path, error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        names.extend(entry.map_err(fail)?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}
