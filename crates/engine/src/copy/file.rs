//! One file, held by its directory and name.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, OFlags, Stat, readlinkat, statat};
use rustix::io::Errno;

use super::PathStat;
use super::path::{Named, There};
use super::root::in_root;

/// How many links in a row are followed, as in the kernel.
const MAX_LINKS: usize = 40;

/// A file that is to be packed.
pub(super) struct File {
    /// The directory that it is in.
    pub parent: OwnedFd,
    /// Its name there.
    pub name: Vec<u8>,
    /// The name that is shown, where another led here.
    pub shown: Option<Vec<u8>>,
    pub(super) stat: Stat,
}

impl File {
    pub fn at(parent: OwnedFd, name: Vec<u8>) -> rustix::io::Result<File> {
        let stat = statat(&parent, &name[..], AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(File { parent, name, shown: None, stat })
    }

    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    pub fn is_directory(&self) -> bool {
        self.kind() == FileType::Directory
    }

    pub fn is_link(&self) -> bool {
        self.kind() == FileType::Symlink
    }

    /// The name in the archive; empty where only the contents are meant.
    pub fn shown(&self, named: &Named) -> Vec<u8> {
        match &self.shown {
            _ if named.contents || self.name == b"." => Vec::new(),
            Some(shown) => shown.clone(),
            None => self.name.clone(),
        }
    }

    pub fn stat(&self, named: &Named) -> PathStat {
        let link = match self.is_link() {
            true => readlinkat(&self.parent, &self.name[..], Vec::new()).ok(),
            false => None,
        };
        let name = named.path.file_name().unwrap_or(OsStr::new("/"));
        PathStat {
            name: name.to_string_lossy().into_owned(),
            size: self.stat.st_size.unsigned_abs(),
            mode: self.stat.st_mode,
            mtime: (self.stat.st_mtime, self.stat.st_mtime_nsec as i64),
            link_target: link.map(|link| link.to_string_lossy().into_owned()).unwrap_or_default(),
        }
    }
}

/// What is at `path`.
pub(super) fn look(at: BorrowedFd<'_>, path: &[u8], flags: AtFlags) -> rustix::io::Result<There> {
    match statat(at, path, flags) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => Ok(There::Directory),
        Ok(_) => Ok(There::Other),
        Err(Errno::NOENT) => Ok(There::Nothing),
        Err(errno) => Err(errno),
    }
}

/// Follows the links at the end of a path in a container: the directory and name at which there is none, or nothing.
pub(super) fn follow(root: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<(PathBuf, Vec<u8>)> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let (directory, name) = Named { path: path.clone(), contents: false, is_directory: false }.split();
        let parent = in_root(root, &directory, OFlags::PATH | OFlags::DIRECTORY)?;
        let link = match readlinkat(parent.as_fd(), &name[..], Vec::new()) {
            Ok(link) => PathBuf::from(std::ffi::OsString::from_vec(link.into_bytes())),
            // It is no link, or there is nothing.
            Err(Errno::INVAL | Errno::NOENT) => return Ok((directory, name)),
            Err(errno) => return Err(errno),
        };
        // `..` counts from where the directory really is; the kernel walks it, from the root where it must.
        path = if link.is_absolute() { link } else { directory.join(link) };
        if path.components().next_back() == Some(Component::ParentDir)
            || path.as_os_str().as_bytes().ends_with(b"/")
        {
            return Ok((path, b".".to_vec()));
        }
    }
    Err(Errno::LOOP)
}
