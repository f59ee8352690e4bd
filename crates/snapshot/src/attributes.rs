//! What directories look like that a layer uses but does not describe: as in the layers below.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, Timespec, Timestamps, XattrFlags, fchmod, fchown, fgetxattr, flistxattr,
    fsetxattr, fstat, futimens, statat,
};
use rustix::io::Errno;

use crate::layer::{is_opaque, is_overlays, is_whiteout};
use crate::stage::Stage;
use crate::{Result, SnapshotError, tree};

/// Gives the directories `implied` of a staged layer the attributes that they have in `below` (lowest layer
/// first). What is new keeps those of a plain directory.
pub fn inherit(stage: &Stage, implied: &[Vec<u8>], below: &[PathBuf]) -> Result<()> {
    for path in implied {
        let Some(source) = find(below, path)? else { continue };
        let own = stage.path().join("fs");
        let fail = |error| SnapshotError::io("set attributes below", &own, error);
        let Search::Found(directory) = descend(&own, path).map_err(fail)? else { continue };
        copy(source.as_fd(), directory.as_fd()).map_err(fail)?;
    }
    Ok(())
}

/// The directory `path` as it shows through the layers `below`.
fn find(below: &[PathBuf], path: &[u8]) -> Result<Option<OwnedFd>> {
    for layer in below.iter().rev() {
        match descend(layer, path).map_err(|error| SnapshotError::io("search", layer, error))? {
            Search::Found(directory) => return Ok(Some(directory)),
            Search::Hidden => return Ok(None),
            Search::Absent => {}
        }
    }
    Ok(None)
}

enum Search {
    Found(OwnedFd),
    /// The layer says that there is no such directory, whatever is below it.
    Hidden,
    /// The layer says nothing.
    Absent,
}

fn descend(layer: &Path, path: &[u8]) -> rustix::io::Result<Search> {
    let mut directory = tree::open_root(layer)?;
    let mut opaque = false;
    for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
        match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(if opaque { Search::Hidden } else { Search::Absent }),
            Err(error) => return Err(error),
            Ok(stat)
                if is_whiteout(&stat) || FileType::from_raw_mode(stat.st_mode) != FileType::Directory =>
            {
                return Ok(Search::Hidden);
            }
            Ok(_) => directory = tree::open_directory(directory.as_fd(), name)?,
        }
        opaque |= is_opaque(directory.as_fd())?;
    }
    Ok(Search::Found(directory))
}

/// Copies owner, mode, extended attributes but overlay's, and times.
pub fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let stat = fstat(from)?;
    let (uid, gid) = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
    match fchown(to, Some(uid), Some(gid)) {
        // Unprivileged, everything is ours anyway.
        Err(Errno::PERM) if !rustix::process::geteuid().is_root() => {}
        other => other?,
    }
    fchmod(to, Mode::from_raw_mode(stat.st_mode))?;
    copy_xattrs(from, to)?;
    futimens(to, &times(&stat))
}

/// The times of a file, to set them elsewhere.
pub fn times(stat: &rustix::fs::Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ },
    }
}

fn copy_xattrs(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> rustix::io::Result<()> {
    for (name, value) in xattrs(from)? {
        match fsetxattr(to, &name[..], &value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(Errno::PERM) if !rustix::process::geteuid().is_root() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The extended attributes of a file but overlay's own, sorted by name.
pub fn xattrs(file: BorrowedFd<'_>) -> rustix::io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut names = vec![0u8; 64 << 10];
    let length = match flistxattr(file, &mut names) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for name in names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty() && !is_overlays(name))
    {
        let mut value = vec![0u8; 64 << 10];
        match fgetxattr(file, name, &mut value) {
            Ok(length) => value.truncate(length),
            Err(Errno::NODATA) => continue,
            Err(error) => return Err(error),
        }
        found.push((name.to_vec(), value));
    }
    found.sort_unstable();
    Ok(found)
}
