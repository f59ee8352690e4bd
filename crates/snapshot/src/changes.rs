//! What was changed in a copy of layers: the copy driver's files against those they were copied from, written
//! down in overlay's form. A file is unchanged if everything but its content is, and its size and time of
//! modification are, as Docker judges it.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, Stat, mkdirat, readlinkat, statat};

use crate::copy::{Copy, Found, merge, open_all};
use crate::layer::{XattrNamespace, make_opaque, make_whiteout};
use crate::{Result, SnapshotError, attributes, tree};

/// Puts into the empty directory `to` what `files` has over the layers `lower` (topmost first).
pub fn extract(lower: &[PathBuf], files: &Path, to: BorrowedFd<'_>, namespace: XattrNamespace) -> Result<()> {
    let roots = open_all(lower)?;
    let fail = |error: std::io::Error| SnapshotError::io("compare", files, error);
    let changed = tree::open_root(files).map_err(|error| fail(error.into()))?;
    let mut changes = Changes { copy: Copy::new(to), namespace };
    changes.directory(&roots, changed.as_fd(), to, b"").map_err(fail)
}

struct Changes<'fd> {
    copy: Copy<'fd>,
    namespace: XattrNamespace,
}

impl Changes<'_> {
    fn directory(
        &mut self,
        before: &[OwnedFd],
        after: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        path: &[u8],
    ) -> std::io::Result<()> {
        let mut old = merge(before)?;
        let names: BTreeMap<_, _> = tree::list(after)?.into_iter().collect();
        for name in old.keys().filter(|name| !names.contains_key(*name)) {
            make_whiteout(to, name)?;
        }
        for (name, _) in names {
            let path = [path, if path.is_empty() { b"" } else { b"/" }, &name].concat();
            let stat = statat(after, &name[..], AtFlags::SYMLINK_NOFOLLOW)?;
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            match old.remove(&name) {
                Some(Found::Directory(parts)) if is_directory => {
                    self.subdirectory(&parts, after, to, &name, &path)?;
                }
                found if is_directory => {
                    let own = self.subdirectory(&[], after, to, &name, &path)?;
                    if let (Some(own), Some(_)) = (own, found) {
                        make_opaque(own.as_fd(), self.namespace)?;
                    }
                }
                Some(Found::Other(layer, known))
                    if is_unchanged(before[layer].as_fd(), after, &name, &known, &stat)? => {}
                _ => self.copy.other(after, to, &name, &stat, &path)?,
            }
        }
        Ok(())
    }

    /// Compares a directory with the parts that it had; one without changes in it or of it is left out.
    fn subdirectory(
        &mut self,
        parts: &[OwnedFd],
        after: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
    ) -> std::io::Result<Option<OwnedFd>> {
        let now = tree::open_directory(after, name)?;
        mkdirat(to, name, Mode::RWXU)?;
        let own = tree::open_directory(to, name)?;
        self.directory(parts, now.as_fd(), own.as_fd(), path)?;
        if let Some(top) = parts.first()
            && tree::list(own.as_fd())?.is_empty()
            && same(&rustix::fs::fstat(top)?, &rustix::fs::fstat(&now)?)
            && attributes::xattrs(top.as_fd())? == attributes::xattrs(now.as_fd())?
        {
            rustix::fs::unlinkat(to, name, AtFlags::REMOVEDIR)?;
            return Ok(None);
        }
        attributes::copy(now.as_fd(), own.as_fd())?;
        Ok(Some(own))
    }
}

fn is_unchanged(
    before: BorrowedFd<'_>,
    after: BorrowedFd<'_>,
    name: &[u8],
    known: &Stat,
    stat: &Stat,
) -> std::io::Result<bool> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    if !same(known, stat) || (stat.st_size, stat.st_rdev) != (known.st_size, known.st_rdev) {
        return Ok(false);
    }
    if kind == FileType::Symlink {
        return Ok(readlinkat(before, name, Vec::new())? == readlinkat(after, name, Vec::new())?);
    }
    if kind != FileType::RegularFile {
        return Ok(true);
    }
    let attributes = |parent| attributes::xattrs(tree::open_file(parent, name)?.as_fd());
    Ok(attributes(before)? == attributes(after)?)
}

/// Whether type, mode, owner and time of modification are the same.
fn same(a: &Stat, b: &Stat) -> bool {
    let facts = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_mtime, stat.st_mtime_nsec);
    facts(a) == facts(b)
}
