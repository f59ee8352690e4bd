//! A new volume is filled with what the image has in its place.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FlockOperation, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::stage::lock_directory;
use super::{Result, Volume, VolumeError, Volumes};

/// Fills an empty volume from the directory `destination` of the file system at `root`, owners, modes, attributes and links
/// kept. A volume that has files, and a destination that is no directory, stay as they are.
///
/// Two containers that start at once wait for each other at the volume's flock. While files are copied, `populating` lies
/// beside them: whoever finds it under the lock was preceded by one that was killed, and starts anew.
///
/// # Errors
/// Files can't be read or written; the volume is empty again then.
pub fn populate(volumes: &Volumes, volume: &Volume, root: BorrowedFd<'_>, destination: &str) -> Result<()> {
    let data = volume.mountpoint();
    let marker = volume.directory.join("populating");
    if !is_empty(&data)? && !exists(&marker)? {
        return Ok(());
    }
    let Some(source) = open_source(root, destination)? else { return Ok(()) };
    let lock = lock_directory(&volume.directory, FlockOperation::LockExclusive);
    let _lock = lock.map_err(|errno| VolumeError::io("lock", &volume.directory, errno))?;
    if exists(&marker)? {
        empty(&data)?;
    } else if !is_empty(&data)? {
        return Ok(());
    }
    fs::write(&marker, b"").map_err(|error| VolumeError::io("write", &marker, error))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target = rustix::fs::open(&data, flags, Mode::empty());
    let target = target.map_err(|errno| VolumeError::io("open", &data, errno))?;
    if let Err(error) = snapshot::copy_directory(source.as_fd(), target.as_fd()) {
        empty(&data)?;
        let _ = fs::remove_file(&marker);
        return Err(VolumeError::io("copy the image's files to", volumes.mountpoint(&volume.name), error));
    }
    fs::remove_file(&marker).map_err(|error| VolumeError::io("remove", marker, error))
}

/// The image's directory, within the image whatever links it has.
fn open_source(root: BorrowedFd<'_>, destination: &str) -> Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat2(
        root,
        destination,
        flags,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    ) {
        Ok(source) => Ok(Some(source)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(VolumeError::io("open", destination, errno)),
    }
}

fn is_empty(directory: &std::path::Path) -> Result<bool> {
    let mut entries = fs::read_dir(directory).map_err(|error| VolumeError::io("list", directory, error))?;
    Ok(entries.next().is_none())
}

fn exists(path: &std::path::Path) -> Result<bool> {
    path.try_exists().map_err(|error| VolumeError::io("look up", path, error))
}

fn empty(directory: &std::path::Path) -> Result<()> {
    let entries = fs::read_dir(directory).map_err(|error| VolumeError::io("list", directory, error))?;
    for entry in entries {
        let removed = entry.and_then(|entry| match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path()),
            false => fs::remove_file(entry.path()),
        });
        removed.map_err(|error| VolumeError::io("empty", directory, error))?;
    }
    Ok(())
}
