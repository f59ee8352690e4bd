//! Trees on disk that may hold anything: walked by fd, never through a symbolic link.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, SeekFrom, chmodat, fchmod, openat,
    openat2, renameat_with, seek, unlinkat,
};
use rustix::io::Errno;

use crate::tar::Segment;

/// Opens the directory `name` in `parent`, neither through a link nor where a file system is mounted: what is
/// removed or copied must never be a volume.
pub fn open_directory(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    open_directory_in(parent, name, false)
}

/// The same, with `mounts` also where a file system is mounted.
pub fn open_directory_in(parent: BorrowedFd<'_>, name: &[u8], mounts: bool) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    resolve.set(ResolveFlags::NO_XDEV, !mounts);
    openat2(parent, name, flags, Mode::empty(), resolve)
}

/// Opens the regular file `name` in `parent` for reading, not through a link.
pub fn open_file(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    // A pipe put in its place meanwhile must not make us wait.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// The same where a container may exchange files at any time: nothing but a regular file is ever opened, for opening a
/// device alone may do something.
pub fn open_regular(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let handle = openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    match FileType::from_raw_mode(rustix::fs::fstat(&handle)?.st_mode) {
        FileType::RegularFile => {}
        FileType::Symlink => return Err(Errno::LOOP),
        _ => return Err(Errno::INVAL),
    }
    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// The names in a directory and what they are, in no order.
pub fn list(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<(Vec<u8>, FileType)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push((name.to_vec(), entry.file_type()));
        }
    }
    Ok(names)
}

/// Removes `name` in `parent` with all below it. What is gone already is fine, as others may remove the same; a mount
/// point is not.
pub fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    let Some(directory) = open_to_empty(parent, name)? else { return Ok(()) };
    loop {
        empty(directory.as_fd())?;
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            // Another process that removes the same tree has moved something up meanwhile.
            Err(Errno::NOTEMPTY) => {}
            other => return Ok(other.or_else(gone)?),
        }
    }
}

/// Opens a directory that may forbid it to its owner, which matters to who is not root; none if it is gone.
fn open_to_empty(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<OwnedFd>> {
    let open = || match open_directory(parent, name) {
        Err(Errno::ACCESS) => {
            chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open_directory(parent, name)
        }
        Ok(directory) if rustix::process::geteuid().is_root() => Ok(directory),
        Ok(directory) => fchmod(&directory, Mode::RWXU).map(|()| directory),
        Err(error) => Err(error),
    };
    match open() {
        Ok(directory) => Ok(Some(directory)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes all in `root`. Directories two levels down are moved up into `root` before they are emptied, so
/// that no chain of open directories grows with the depth of a hostile tree.
fn empty(root: BorrowedFd<'_>) -> io::Result<()> {
    let mut lifted = 0;
    loop {
        let names = list(root)?;
        if names.is_empty() {
            return Ok(());
        }
        for (name, kind) in names {
            if kind != FileType::Directory {
                unlink(root, &name)?;
                continue;
            }
            let Some(directory) = open_to_empty(root, &name)? else { continue };
            for (below, kind) in list(directory.as_fd())? {
                match kind {
                    FileType::Directory => lift(directory.as_fd(), &below, root, &mut lifted)?,
                    _ => unlink(directory.as_fd(), &below)?,
                }
            }
            match unlinkat(root, &name[..], AtFlags::REMOVEDIR) {
                // Another process that removes the same tree has moved something into it meanwhile: looked at again.
                Err(Errno::NOTEMPTY) => {}
                other => other.or_else(gone)?,
            }
        }
    }
}

/// Moves the directory `name` into `root` under a new name, or removes it if it is empty.
fn lift(directory: BorrowedFd<'_>, name: &[u8], root: BorrowedFd<'_>, number: &mut u64) -> io::Result<()> {
    if unlinkat(directory, name, AtFlags::REMOVEDIR).is_ok() {
        return Ok(());
    }
    loop {
        *number += 1;
        let lifted = format!(".berth-removed-{number}");
        match renameat_with(directory, name, root, &lifted, RenameFlags::NOREPLACE) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn unlink(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    Ok(unlinkat(directory, name, AtFlags::empty()).or_else(gone)?)
}

fn gone(error: Errno) -> rustix::io::Result<()> {
    if error == Errno::NOENT { Ok(()) } else { Err(error) }
}

/// Opens the directory at one of our own paths.
pub fn open_root(path: &std::path::Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The parts of a file of `size` bytes that are no holes, as the file system tells.
pub fn segments(file: BorrowedFd<'_>, size: u64) -> rustix::io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error),
        };
        let end = seek(file, SeekFrom::Hole(start))?.min(size);
        segments.push(Segment { offset: start, length: end.saturating_sub(start) });
        at = end;
    }
    Ok(segments)
}
