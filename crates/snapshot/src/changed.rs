//! Which paths were changed in a snapshot: `docker diff`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Stat, statat};
use rustix::io::Errno;

use crate::copy::open_all;
use crate::layer::{is_opaque, is_whiteout};
use crate::snapshots::Snapshot;
use crate::{Driver, Result, SnapshotError, changes, tree};

/// How a path was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It is new.
    Added,
    /// It was there before.
    Changed,
    /// It was removed.
    Deleted,
}

/// A path that was changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangedPath {
    /// From the root, without a slash at its start.
    pub path: Vec<u8>,
    /// How.
    pub change: Change,
    /// Whether it is an empty directory or file: what a mount leaves behind that needed a place.
    pub is_blank: bool,
}

impl Snapshot<'_> {
    /// The paths that differ from the layers below, sorted. A directory counts as changed where something in it was added
    /// or removed, or its attributes differ. Others may write meanwhile: what goes away is passed over.
    ///
    /// # Errors
    /// Those of reading directories.
    pub fn changed(&self) -> Result<Vec<ChangedPath>> {
        let layout = self.layout()?;
        let lower = match self.is_over_host() {
            true => layout.lower,
            false => self.snapshots.lower_directories(self.parent())?,
        };
        let Some(upper) = layout.upper else { return Ok(Vec::new()) };
        let mut found = match self.driver() {
            Driver::Overlay => walk(&upper, &lower)?,
            Driver::Copy => {
                let stage = self.snapshots.stage()?;
                let changed = stage.make_directory("fs", 0o755)?;
                changes::extract(&lower, &upper, changed.as_fd(), self.snapshots.xattrs())?;
                walk(&stage.path().join("fs"), &lower)?
            }
        };
        found.sort_unstable();
        found.dedup_by(|a, b| a.path == b.path);
        Ok(found)
    }
}

fn walk(upper: &PathBuf, lower: &[PathBuf]) -> Result<Vec<ChangedPath>> {
    let lower = open_all(lower)?;
    let fail = |error: io::Error| SnapshotError::io("look for changes in", upper, error);
    let root = tree::open_root(upper).map_err(|errno| fail(errno.into()))?;
    let mut found = Vec::new();
    directory(root.as_fd(), &lower, b"", &mut found).map_err(fail)?;
    Ok(found)
}

/// Tells what is in one directory; whether something was added or removed there.
fn directory(
    upper: BorrowedFd<'_>,
    lower: &[OwnedFd],
    path: &[u8],
    found: &mut Vec<ChangedPath>,
) -> io::Result<bool> {
    let mut has_news = false;
    for (name, _) in tree::list(upper)? {
        let stat = match statat(upper, &name[..], AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        let path = [path, if path.is_empty() { b"" } else { b"/" }, &name].concat();
        let before = Before::of(lower, &name)?;
        if is_whiteout(&stat) {
            has_news = true;
            found.push(ChangedPath { path, change: Change::Deleted, is_blank: false });
            continue;
        }
        let change = if before.stat.is_some() { Change::Changed } else { Change::Added };
        has_news |= change == Change::Added;
        let (mut is_blank, mut differs) = (stat.st_size == 0, true);
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let below = match tree::open_directory(upper, &name) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                other => other?,
            };
            let count = found.len();
            let lower = if is_opaque(below.as_fd())? { Vec::new() } else { before.directories };
            let news = directory(below.as_fd(), &lower, &path, found)?;
            is_blank = found.len() == count;
            differs = news || before.stat.is_none_or(|before| is_other(&before, &stat));
        }
        if differs {
            found.push(ChangedPath { path, change, is_blank });
        }
    }
    Ok(has_news)
}

/// Attributes that make a directory another one.
fn is_other(before: &Stat, after: &Stat) -> bool {
    let attributes = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid);
    attributes(before) != attributes(after)
}

/// What shows through the layers below under one name.
struct Before {
    stat: Option<Stat>,
    directories: Vec<OwnedFd>,
}

impl Before {
    fn of(lower: &[OwnedFd], name: &[u8]) -> io::Result<Before> {
        let mut before = Before { stat: None, directories: Vec::new() };
        for layer in lower {
            let stat = match statat(layer, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                other => other?,
            };
            if is_whiteout(&stat) {
                break;
            }
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if before.stat.is_some() && !is_directory {
                break;
            }
            before.stat.get_or_insert(stat);
            if !is_directory {
                break;
            }
            let directory = match tree::open_directory(layer.as_fd(), name) {
                // Of the host's own root, where another file system hides what is below.
                Err(Errno::XDEV) => break,
                other => other?,
            };
            let opaque = is_opaque(directory.as_fd())?;
            before.directories.push(directory);
            if opaque {
                break;
            }
        }
        Ok(before)
    }
}
