//! Paths inside the root file system.
//!
//! The image's author and whoever shares a volume with the container can make any of them a link to anywhere at
//! any time (CVE-2021-30465, CVE-2019-19921, CVE-2024-45310): each walk is one openat2(2) in which the kernel keeps
//! links below the root, and what is opened is used by descriptor from then on.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Init;
use crate::failure::{Failure, OrFail, Result};

/// As many links as the kernel follows (MAXSYMLINKS).
const LINKS: usize = 40;
const DIRECTORY: Mode = Mode::from_raw_mode(0o755);

/// Opens `path` below `root`, links followed but kept below it.
pub(crate) fn open_in(root: BorrowedFd<'_>, path: impl AsRef<Path>, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path.as_ref(), flags, Mode::empty(), resolve)
}

/// Opens `path` below `root`, where no component may be a link.
pub(crate) fn open_plain(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
}

fn openat2(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    loop {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, mode, resolve) {
            // A rename elsewhere made the kernel unsure whether the walk stayed below the root (openat2(2)).
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// The type of an open file.
pub(crate) fn file_type(fd: impl AsFd) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode))
}

impl Init<'_> {
    /// The root file system.
    pub(super) fn root(&self) -> Result<BorrowedFd<'_>> {
        let root = self.root.as_ref().map(AsFd::as_fd);
        root.ok_or_else(|| Failure::because("use", "the root file system", "it is not open yet"))
    }

    /// The directory at `path`, made where it is missing together with all above it.
    pub(super) fn directory(&self, path: &Path) -> Result<OwnedFd> {
        let root = self.root()?;
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match open_in(root, path, flags) {
            Err(Errno::NOENT) => {
                make_directory(root, path).or_else(|_| make_directories(root, path)).or_fail_at("mkdir", path)
            }
            other => other.or_fail_at("open directory", path),
        }
    }

    /// The file at `path`, made empty where it is missing together with the directories above it; a link whose target
    /// is missing has that target made.
    pub(super) fn file(&mut self, path: &Path) -> Result<OwnedFd> {
        let mut place = path.to_owned();
        for _ in 0..LINKS {
            match open_in(self.root()?, &place, OFlags::PATH) {
                Err(Errno::NOENT) => {}
                other => return other.or_fail_at("open", path),
            }
            let (parent, name) = self.parent_of(&place)?;
            match new_file(&parent, &name) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                other => return other.or_fail_at("create", path),
            }
            match rustix::fs::readlinkat(&parent, &*name, Vec::new()) {
                Ok(target) => place = self.place_of(&parent)?.join(OsStr::from_bytes(target.as_bytes())),
                // No link: someone was faster, and there is a file now.
                Err(Errno::INVAL | Errno::NOENT) => {}
                Err(errno) => return Err(errno).or_fail_at("read link", &place),
            }
        }
        Err(Failure::new("open", path.display(), Errno::LOOP))
    }

    /// The same, where it may not be a link.
    pub(super) fn plain_file(&self, path: &Path) -> Result<OwnedFd> {
        let (parent, name) = self.parent_of(path)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = match rustix::fs::openat(&parent, &*name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return new_file(&parent, &name).or_fail_at("create", path),
            other => other.or_fail_at("open", path)?,
        };
        if file_type(&found).or_fail_at("stat", path)? == FileType::Symlink {
            return Err(Failure::new("open", path.display(), Errno::LOOP).hint("it must not be a link"));
        }
        Ok(found)
    }

    /// The directory that holds `path`'s last component, made where missing, and that component.
    pub(super) fn parent_of(&self, path: &Path) -> Result<(OwnedFd, OsString)> {
        let name =
            path.file_name().ok_or_else(|| Failure::because("make", path.display(), "it has no name"))?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        Ok((self.directory(parent)?, name.to_owned()))
    }

    /// Where an open file is in the container, as an absolute path.
    pub(super) fn place_of(&mut self, fd: &OwnedFd) -> Result<PathBuf> {
        if self.root_place.is_none() {
            self.root_place = Some(place_on_host(self.proc()?, self.root()?)?);
        }
        let path = place_on_host(self.proc()?, fd.as_fd())?;
        match self.root_place.as_ref().and_then(|root| path.strip_prefix(root).ok()) {
            Some(below) => Ok(Path::new("/").join(below)),
            None => Err(Failure::because("use", path.display(), "it is not in the container's root")),
        }
    }
}

fn place_on_host(proc: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> Result<PathBuf> {
    let link = format!("self/fd/{}", fd.as_raw_fd());
    rustix::fs::readlinkat(proc, &*link, Vec::new())
        .map(|path| PathBuf::from(OsString::from_vec(path.into_bytes())))
        .or_fail("read link /proc/", link)
}

/// The usual case of [`make_directories`]: only the last component is missing, and it is nobody's link.
fn make_directory(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let name = path.file_name().ok_or(Errno::INVAL)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let parent = open_in(root, path.parent().unwrap_or(Path::new("/")), flags)?;
    rustix::fs::mkdirat(&parent, name, DIRECTORY)?;
    open_plain(parent.as_fd(), Path::new(name), flags)
}

fn new_file(parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, std::io::Error> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    let made = rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644))?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    same_file(&made, rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

fn same_file(made: &OwnedFd, found: OwnedFd) -> Result<OwnedFd, std::io::Error> {
    let (a, b) = (rustix::fs::fstat(made)?, rustix::fs::fstat(&found)?);
    if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino) {
        Ok(found)
    } else {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

/// Makes the missing directories of `path` below `root`, in which links lead as they would inside the container;
/// a link whose target is missing has that target made.
pub(crate) fn make_directories(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let mut todo: VecDeque<OsString> = components(path.as_os_str());
    // Free of links, relative to the root.
    let mut done = PathBuf::from(".");
    let mut links = 0;
    while let Some(name) = todo.pop_front() {
        if name == ".." {
            done.pop();
            // The root's parent is the root, and the empty path is none.
            if done.as_os_str().is_empty() {
                done.push(".");
            }
            continue;
        }
        let next = done.join(&name);
        match open_plain(root, &next, OFlags::PATH | OFlags::NOFOLLOW) {
            Err(Errno::NOENT) => {
                let parent = open_plain(root, &done, OFlags::PATH | OFlags::DIRECTORY)?;
                match rustix::fs::mkdirat(&parent, &*name, DIRECTORY) {
                    Ok(()) | Err(Errno::EXIST) => todo.push_front(name),
                    Err(errno) => return Err(errno),
                }
                // Looked at again in the next round: someone may have been faster with something else.
                links += 1;
                if links > LINKS + path.as_os_str().len() {
                    return Err(Errno::LOOP);
                }
            }
            Err(errno) => return Err(errno),
            Ok(found) => match file_type(&found)? {
                FileType::Directory => done = next,
                FileType::Symlink => {
                    links += 1;
                    if links > LINKS + path.as_os_str().len() {
                        return Err(Errno::LOOP);
                    }
                    let target = rustix::fs::readlinkat(&found, "", Vec::new())?;
                    let target = OsStr::from_bytes(target.as_bytes());
                    if target.as_bytes().starts_with(b"/") {
                        done = PathBuf::from(".");
                    }
                    for part in components(target).into_iter().rev() {
                        todo.push_front(part);
                    }
                }
                _ => return Err(Errno::NOTDIR),
            },
        }
    }
    open_plain(root, &done, OFlags::PATH | OFlags::DIRECTORY)
}

fn components(path: &OsStr) -> VecDeque<OsString> {
    let parts = path.as_bytes().split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.map(|part| OsStr::from_bytes(part).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Tree(PathBuf, OwnedFd);

    impl Tree {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("berth-tree-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            let root = rustix::fs::open(&path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
            Self(path, root)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn missing_directories_are_made_where_the_links_lead_inside() {
        let tree = Tree::new("inside");
        symlink("/run", tree.0.join("var")).unwrap();
        symlink("../../../../../../etc", tree.0.join("up")).unwrap();
        make_directories(tree.1.as_fd(), Path::new("/var/lock/x")).unwrap();
        make_directories(tree.1.as_fd(), Path::new("up/y")).unwrap();
        assert!(tree.0.join("run/lock/x").is_dir());
        assert!(tree.0.join("etc/y").is_dir());
    }

    #[test]
    fn a_loop_of_links_ends() {
        let tree = Tree::new("loop");
        symlink("b", tree.0.join("a")).unwrap();
        symlink("a", tree.0.join("b")).unwrap();
        assert_eq!(make_directories(tree.1.as_fd(), Path::new("/a/c")).unwrap_err(), Errno::LOOP);
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let tree = Tree::new("file");
        std::fs::write(tree.0.join("f"), "").unwrap();
        assert_eq!(make_directories(tree.1.as_fd(), Path::new("/f/x")).unwrap_err(), Errno::NOTDIR);
    }

    #[test]
    fn no_link_leads_outside() {
        let tree = Tree::new("outside");
        std::fs::create_dir(tree.0.join("etc")).unwrap();
        std::fs::write(tree.0.join("etc/hostname"), "inside").unwrap();
        symlink("/etc", tree.0.join("link")).unwrap();
        let file = open_in(tree.1.as_fd(), "link/hostname", OFlags::RDONLY).unwrap();
        let mut text = [0; 16];
        let n = rustix::io::read(&file, &mut text).unwrap();
        assert_eq!(&text[..n], b"inside");
        assert!(open_plain(tree.1.as_fd(), Path::new("link/hostname"), OFlags::RDONLY).is_err());
    }
}
