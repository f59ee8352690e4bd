//! `tmpcopyup`: a tmpfs starts with what the image has in its place.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use crate::failure::{Failure, OrFail, Result};

/// As deep as a path can be (PATH_MAX of one-letter names); a directory bound into itself is deeper.
const DEPTH: usize = 2048;

/// Copies the tree below `from` into the directory `to`: types, owners, modes, times, extended attributes and links.
pub(super) fn copy(from: &OwnedFd, to: &OwnedFd) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let to = rustix::fs::openat(to, ".", flags, Mode::empty()).or_fail("open", "new tmpfs")?;
    copy_directory(from, &to, DEPTH)
}

fn copy_directory(from: &OwnedFd, to: &OwnedFd, depth: usize) -> Result<()> {
    if depth == 0 {
        return Err(Failure::new("copy", "directory to tmpfs", Errno::NAMETOOLONG));
    }
    for entry in Dir::read_from(from).or_fail("read", "directory")? {
        let entry = entry.or_fail("read", "directory")?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(from, to, name, depth).map_err(|failure| Failure {
                operation: "copy to tmpfs".into(),
                object: format!("{}: {} {}", name.to_string_lossy(), failure.operation, failure.object),
                ..failure
            })?;
        }
    }
    let stat = rustix::fs::fstat(from).or_fail("stat", "directory")?;
    rustix::fs::fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
        .or_fail("chown", "directory")?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode)).or_fail("chmod", "directory")?;
    copy_attributes(from, to)?;
    rustix::fs::futimens(to, &times(&stat)).or_fail("set times of", "directory")
}

fn copy_entry(from: &OwnedFd, to: &OwnedFd, name: &CStr, depth: usize) -> Result<()> {
    let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW).or_fail("stat", "")?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            let open = |dir: &OwnedFd| rustix::fs::openat(dir, name, read | OFlags::DIRECTORY, Mode::empty());
            rustix::fs::mkdirat(to, name, Mode::RWXU).or_fail("mkdir", "")?;
            return copy_directory(
                &open(from).or_fail("open", "")?,
                &open(to).or_fail("open", "")?,
                depth - 1,
            );
        }
        FileType::RegularFile => {
            let source = rustix::fs::openat(from, name, read, Mode::empty()).or_fail("open", "")?;
            let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let target = rustix::fs::openat(to, name, create, Mode::RWXU).or_fail("create", "")?;
            while rustix::fs::sendfile(&target, &source, None, 1 << 30).or_fail("copy", "")? > 0 {}
            copy_attributes(&source, &target)?;
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, name, Vec::new()).or_fail("read link", "")?;
            rustix::fs::symlinkat(&*target, to, name).or_fail("symlink", "")?;
        }
        kind => rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev).or_fail("mknod", "")?,
    }
    let owner = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
    rustix::fs::chownat(to, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW).or_fail("chown", "")?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        rustix::fs::chmodat(to, name, mode, AtFlags::empty()).or_fail("chmod", "")?;
    }
    rustix::fs::utimensat(to, name, &times(&stat), AtFlags::SYMLINK_NOFOLLOW).or_fail("set times", "")
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds as i64 };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

/// What tmpfs can't hold (user attributes before Linux 6.6) is left out, as cp(1) does.
fn copy_attributes(from: impl AsFd, to: impl AsFd) -> Result<()> {
    let mut names = vec![0; 64 << 10];
    let n = match rustix::fs::flistxattr(&from, &mut names) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        other => other.or_fail("list attributes", "")?,
    };
    for name in names[..n].split(|&b| b == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 << 10];
        let n = rustix::fs::fgetxattr(&from, name, &mut value).or_fail("read attribute", "")?;
        match rustix::fs::fsetxattr(&to, name, &value[..n], rustix::fs::XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(errno) => return Err(errno).or_fail("write attribute", ""),
        }
    }
    Ok(())
}
