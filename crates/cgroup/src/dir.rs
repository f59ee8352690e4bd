//! A directory of a cgroup hierarchy, and its files.
//!
//! Everything is opened without following links, and names come from a [`GroupPath`], which has no `..`, or
//! are resolved beneath a directory: what is of hostile origin cannot leave the hierarchy.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Errno;

use crate::Error;
use crate::path::GroupPath;

/// An open directory (`O_PATH`) of a hierarchy.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const NO_LINKS: ResolveFlags = ResolveFlags::NO_SYMLINKS.union(ResolveFlags::NO_MAGICLINKS);
const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(NO_LINKS);

impl Dir {
    /// Opens the mount point of a hierarchy.
    pub fn mount_point(path: &Path) -> Result<Self, Error> {
        let fd = rustix::fs::open(path, DIRECTORY, Mode::empty()).map_err(|e| Error::io("open", path, e))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Opens the group `path` of the hierarchy at `mount_point`.
    pub fn group(mount_point: &Path, path: &GroupPath) -> Result<Self, Error> {
        let whole = mount_point.join(path.as_str());
        let fd = open_in(mount_point, &whole, DIRECTORY)?;
        Ok(Self { fd, path: whole })
    }

    /// Opens the file `name` of that group by itself.
    pub fn group_file(
        mount_point: &Path,
        path: &GroupPath,
        name: &str,
        flags: OFlags,
    ) -> Result<OwnedFd, Error> {
        open_in(mount_point, &mount_point.join(path.as_str()).join(name), flags | OFlags::CLOEXEC)
    }

    /// Opens the directory at the relative path `below`; the empty path is this directory.
    pub fn open(&self, below: impl AsRef<Path>) -> Result<Self, Error> {
        let below = below.as_ref();
        let empty = below.as_os_str().is_empty();
        let path = if empty { self.path.clone() } else { self.path.join(below) };
        let below = if empty { Path::new(".") } else { below };
        let fd = rustix::fs::openat2(&self.fd, below, DIRECTORY, Mode::empty(), INSIDE)
            .map_err(|e| Error::io("open", &path, e))?;
        Ok(Self { fd, path })
    }

    /// Makes the directory `name` right below; `false` if it was there already.
    pub fn make(&self, name: &str) -> Result<bool, Error> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::from(0o755)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(e) => Err(Error::io("mkdir", &self.path.join(name), e)),
        }
    }

    /// Removes the directory `name` right below; one that is gone is fine.
    pub fn remove(&self, name: impl AsRef<Path>) -> Result<(), Error> {
        let name = name.as_ref();
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(Error::io("rmdir", &self.path.join(name), e)),
        }
    }

    /// Opens the file `name` with `flags`, close-on-exec.
    pub fn file(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Error> {
        rustix::fs::openat2(&self.fd, name, flags | OFlags::CLOEXEC, Mode::empty(), INSIDE)
            .map_err(|e| Error::io("open", &self.path.join(name), e))
    }

    /// The whole content of the file `name`.
    pub fn read(&self, name: &str) -> Result<String, Error> {
        let file = self.file(name, OFlags::RDONLY)?;
        read_to_end(file.as_fd()).map_err(|e| Error::io("read", &self.path.join(name), e))
    }

    /// Writes `value` to the file `name` in one write, as the kernel demands.
    pub fn write(&self, name: &str, value: &str) -> Result<(), Error> {
        let file = self.file(name, OFlags::WRONLY)?;
        self.write_to(&file, name, value)
    }

    /// Writes `value` to the open file, which is called `name` here.
    pub fn write_to(&self, file: impl AsFd, name: &str, value: &str) -> Result<(), Error> {
        rustix::io::retry_on_intr(|| rustix::io::write(&file, value.as_bytes()))
            .map_err(|e| Error::io(format!("failed to write {value:?} to"), &self.path.join(name), e))?;
        Ok(())
    }

    /// Makes `uid` the owner of the file `name`.
    pub fn give(&self, name: &str, uid: u32) -> Result<(), Error> {
        let owner = rustix::fs::Uid::from_raw(uid);
        rustix::fs::chownat(&self.fd, name, Some(owner), None, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| Error::io("chown", &self.path.join(name), e))
    }

    /// Whether the file or directory `name` exists.
    pub fn has(&self, name: &str) -> bool {
        rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// The names of the directories right below.
    pub fn children(&self) -> Result<Vec<OsString>, Error> {
        let listing = self.file(".", OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut buffer = Vec::with_capacity(8192);
        let mut entries = RawDir::new(listing, buffer.spare_capacity_mut());
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(Errno::NOENT) => break,
                Err(e) => return Err(Error::io("list", &self.path, e)),
            };
            let name = entry.file_name().to_bytes();
            if entry.file_type() == rustix::fs::FileType::Directory && name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        Ok(names)
    }

    /// The directory above, for a walk that counts its depth.
    pub fn parent(&self) -> Result<Self, Error> {
        let fd = rustix::fs::openat(&self.fd, "..", DIRECTORY, Mode::empty())
            .map_err(|e| Error::io("open the parent of", &self.path, e))?;
        let path = self.path.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Self { fd, path })
    }

    /// Where this is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens `whole`, which is below `mount_point`, in one system call. The way to the mount point may have
/// links, and then takes another; the way from there may not.
fn open_in(mount_point: &Path, whole: &Path, flags: OFlags) -> Result<OwnedFd, Error> {
    let opened = match rustix::fs::openat2(CWD, whole, flags, Mode::empty(), NO_LINKS) {
        Err(Errno::LOOP) => {
            let below = whole.strip_prefix(mount_point).ok().filter(|below| !below.as_os_str().is_empty());
            let below = below.unwrap_or(Path::new("."));
            let root = Dir::mount_point(mount_point)?;
            rustix::fs::openat2(&root.fd, below, flags, Mode::empty(), INSIDE)
        }
        opened => opened,
    };
    opened.map_err(|e| Error::io("open", whole, e))
}

/// Reads from the file's present offset to its end.
pub(crate) fn read_to_end(file: BorrowedFd<'_>) -> io::Result<String> {
    let mut content = Vec::new();
    loop {
        content.reserve(4096);
        let read = rustix::io::retry_on_intr(|| {
            rustix::io::read(file, rustix::buffer::spare_capacity(&mut content))
        })?;
        if read == 0 {
            return Ok(String::from_utf8_lossy(&content).into_owned());
        }
    }
}

/// Reads a file outside the hierarchies, such as `/proc/self/cgroup`.
pub(crate) fn read_file(path: impl AsRef<OsStr>) -> Result<String, Error> {
    let path = Path::new(path.as_ref());
    let read = || {
        let file =
            rustix::fs::open(path.as_os_str().as_bytes(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        read_to_end(file.as_fd())
    };
    read().map_err(|e| Error::io("read", path, e))
}
