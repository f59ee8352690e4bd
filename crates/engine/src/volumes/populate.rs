//! A new volume is filled with what the image has in its place.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use sys::mount::{MountAttr, MountChange, mount_setattr};

use crate::idmaps::Mapping;

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
pub fn populate(
    volumes: &Volumes,
    volume: &Volume,
    root: BorrowedFd<'_>,
    destination: &str,
    mapping: Option<Mapping<'_>>,
) -> Result<()> {
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
    let target = open_target(&data, mapping).map_err(|error| VolumeError::io("open", &data, error))?;
    let copy = || snapshot::copy_directory(source.as_fd(), target.as_fd());
    let copied = match mapping.map(|mapping| mapping.root()) {
        // Others can make nothing in a mount of the container's ids.
        Some((uid, gid)) => sys::fsid::with_fs_ids(uid, gid, copy).and_then(|copied| copied),
        None => copy(),
    };
    if let Err(error) = copied {
        empty(&data)?;
        let _ = fs::remove_file(&marker);
        return Err(VolumeError::io("copy the image's files to", volumes.mountpoint(&volume.name), error));
    }
    fs::remove_file(&marker).map_err(|error| VolumeError::io("remove", marker, error))
}

/// The volume's directory, with owners as in the root that it is filled from.
fn open_target(data: &Path, mapping: Option<Mapping<'_>>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Some(mapping) = mapping else { return Ok(rustix::fs::open(data, flags, Mode::empty())?) };
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, data, clone)?;
    let user_namespace = Some(mapping.namespace);
    let change = MountChange { set: MountAttr::IDMAP, user_namespace, ..MountChange::default() };
    mount_setattr(tree.as_fd(), c"", &change)?;
    Ok(rustix::fs::openat(&tree, ".", flags, Mode::empty())?)
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
