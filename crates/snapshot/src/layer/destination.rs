//! Making the files of a layer: every name is made anew, and what has it already makes way first.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, linkat, makedev, mkdirat, mknodat, openat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::{LayerError, whiteout};
use crate::tar::{Entry, Kind};
use crate::tree;

/// What had the name of a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    Nothing,
    /// A whiteout of this layer.
    Whiteout,
    /// A directory of this layer, which the new directory is merged with.
    Directory,
    /// Something else of this layer, which is gone now.
    Replaced,
}

/// Runs `make`, and once more after what has the name was removed.
fn make_anew<T>(
    parent: BorrowedFd<'_>,
    name: &[u8],
    path: &[u8],
    operation: &'static str,
    make: impl Fn() -> rustix::io::Result<T>,
) -> Result<(T, Before), LayerError> {
    match make() {
        Ok(made) => Ok((made, Before::Nothing)),
        Err(Errno::EXIST) => {
            let before = clear(parent, name, path)?;
            make().map(|made| (made, before)).map_err(|error| LayerError::entry(operation, path, error))
        }
        Err(error) => Err(LayerError::entry(operation, path, error)),
    }
}

/// Removes what is called `name`, with all below it if it is a directory.
fn clear(parent: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<Before, LayerError> {
    let fail = |error| LayerError::entry("replace", path, error);
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            tree::remove(parent, name).map_err(|error| LayerError::entry("replace", path, error))
        }
        _ => unlinkat(parent, name, AtFlags::empty()).map_err(fail),
    }?;
    Ok(if whiteout::is_whiteout(&stat) { Before::Whiteout } else { Before::Replaced })
}

/// Makes an empty file, open for writing, with `mode` less the process' umask.
pub fn file(
    parent: BorrowedFd<'_>,
    name: &[u8],
    mode: u32,
    path: &[u8],
) -> Result<(OwnedFd, Before), LayerError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    make_anew(parent, name, path, "make", || openat(parent, name, flags, Mode::from_raw_mode(mode)))
}

/// Makes a directory that only we can enter until it gets its mode, or keeps the one that this layer made.
pub fn directory(parent: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<Before, LayerError> {
    match mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
        Ok(()) => return Ok(Before::Nothing),
        Err(Errno::EXIST) => {}
        Err(error) => return Err(LayerError::entry("make the directory", path, error)),
    }
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    let stat = stat.map_err(|error| LayerError::entry("look up", path, error))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Ok(Before::Directory);
    }
    make_anew(parent, name, path, "make the directory", || mkdirat(parent, name, Mode::from_raw_mode(0o700)))
        .map(|((), before)| before)
}

/// Makes a symbolic link, device or pipe.
pub fn special(
    parent: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    path: &[u8],
) -> Result<Before, LayerError> {
    let node = |kind, device| move || mknodat(parent, name, kind, Mode::from_raw_mode(0o600), device);
    let device = makedev(entry.device.0, entry.device.1);
    let made = match entry.kind {
        Kind::Symlink => {
            make_anew(parent, name, path, "make the link", || symlinkat(&entry.link[..], parent, name))
        }
        Kind::Character => {
            make_anew(parent, name, path, "make the device", node(FileType::CharacterDevice, device))
        }
        Kind::Block => make_anew(parent, name, path, "make the device", node(FileType::BlockDevice, device)),
        _ => make_anew(parent, name, path, "make the pipe", node(FileType::Fifo, 0)),
    };
    made.map(|((), before)| before)
}

/// Makes `name` another name of `target` in `target_parent`. Links are linked themselves, never followed.
pub fn hard_link(
    target_parent: BorrowedFd<'_>,
    target: &[u8],
    parent: BorrowedFd<'_>,
    name: &[u8],
    path: &[u8],
) -> Result<Before, LayerError> {
    let refused = |why| Err(LayerError::refused(path, why));
    let stat = match statat(target_parent, target, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return refused("it is a hard link to a file that this layer does not have"),
        Err(error) => return Err(LayerError::entry("look up the target of", path, error)),
    };
    if whiteout::is_whiteout(&stat) {
        return refused("it is a hard link to a file that this layer removes");
    }
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return refused("it is a hard link to a directory");
    }
    // A link to itself would lose the file when it is replaced.
    let same = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    if same.is_ok_and(|own| (own.st_dev, own.st_ino) == (stat.st_dev, stat.st_ino)) {
        return Ok(Before::Nothing);
    }
    let link = || linkat(target_parent, target, parent, name, AtFlags::empty());
    make_anew(parent, name, path, "make the hard link", link).map(|((), before)| before)
}
