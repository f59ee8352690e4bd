//! The host's own root as the lower directory of an overlay.
//!
//! The upper directory lies within the lower one, which overlay allows; what it refuses, with ELOOP, is a lower within
//! a lower, and to show an upper directory through its own lower. Of the host's mounts only that of `/` is seen: overlay
//! does not descend into others. Sockets of the host's file system are there and nobody answers, as overlay gives
//! each an inode of its own.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, mkdirat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::layer::{XattrNamespace, is_opaque, make_opaque};
use crate::stage::Stage;
use crate::{Result, SnapshotError, attributes, tree};

/// The lower directory.
pub const ROOT: &str = "/";

/// Makes each of the host's directories `hidden` an empty one in a staged snapshot.
pub fn hide<'a>(
    stage: &Stage,
    hidden: impl Iterator<Item = &'a Path>,
    namespace: XattrNamespace,
) -> Result<()> {
    let fail = |path: &Path, error: io::Error| SnapshotError::io("hide", path, error);
    let files = stage.path().join("fs");
    // Without what is mounted on it, as overlay sees it; without the right to do so, what is mounted is not reached.
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let host = open_tree(CWD, ROOT, flags).or_else(|_| tree::open_root(Path::new(ROOT)));
    let host = host.map_err(|error| fail(Path::new(ROOT), error.into()))?;
    for path in hidden {
        let own = tree::open_root(&files).map_err(|error| fail(&files, error.into()))?;
        hide_one(&host, own, path, namespace).map_err(|error| fail(path, error))?;
    }
    Ok(())
}

fn hide_one(host: &OwnedFd, mut own: OwnedFd, path: &Path, namespace: XattrNamespace) -> io::Result<()> {
    let mut theirs = tree::open_directory(host.as_fd(), b".")?;
    for component in path.components() {
        let Component::Normal(name) = component else { continue };
        let name = name.as_encoded_bytes();
        theirs = match tree::open_directory(theirs.as_fd(), name) {
            Ok(directory) => directory,
            // Not there, or a link to what is hidden under its own name, or of another file system.
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::XDEV) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match mkdirat(&own, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        own = tree::open_directory(own.as_fd(), name)?;
        if is_opaque(own.as_fd())? {
            return Ok(());
        }
        attributes::copy(theirs.as_fd(), own.as_fd())?;
    }
    Ok(make_opaque(own.as_fd(), namespace)?)
}
