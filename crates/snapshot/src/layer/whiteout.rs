//! Whiteouts: `.wh.NAME` and `.wh..wh..opq` in archives, devices 0:0 and `overlay.opaque` on disk.

use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, Mode, Stat, XattrFlags, fgetxattr, fsetxattr, makedev, mknodat};
use rustix::io::Errno;

/// Where overlay keeps its own attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrNamespace {
    /// `trusted.overlay.`: needs `CAP_SYS_ADMIN` in the initial user namespace.
    Trusted,
    /// `user.overlay.`: for mounts with `userxattr`, in a user namespace.
    User,
}

impl XattrNamespace {
    /// The attribute of a directory that hides what is below it.
    pub const fn opaque(self) -> &'static str {
        match self {
            XattrNamespace::Trusted => "trusted.overlay.opaque",
            XattrNamespace::User => "user.overlay.opaque",
        }
    }
}

/// Whether an attribute means something to overlay. A layer that could set one could redirect a directory to
/// any other or take a file's content from elsewhere.
pub fn is_overlays(xattr: &[u8]) -> bool {
    xattr.starts_with(b"trusted.overlay.") || xattr.starts_with(b"user.overlay.")
}

/// What a name in an archive means.
#[derive(Debug, PartialEq, Eq)]
pub enum Mark<'a> {
    /// An ordinary name.
    None,
    /// This name in the layers below is gone.
    Removed(&'a [u8]),
    /// Everything in this directory in the layers below is gone.
    Opaque,
    /// Bookkeeping of aufs, which means nothing here.
    Aufs,
    /// A whiteout of `.` or `..` or of nothing.
    Malformed,
}

/// Reads a name. The type of its entry does not matter.
pub fn mark(name: &[u8]) -> Mark<'_> {
    match name.strip_prefix(b".wh.") {
        None => Mark::None,
        Some(b".wh..opq") => Mark::Opaque,
        Some(rest) if rest.starts_with(b".wh.") => Mark::Aufs,
        Some(b"" | b"." | b"..") => Mark::Malformed,
        Some(removed) => Mark::Removed(removed),
    }
}

/// Whether `stat` is of a whiteout.
pub fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Whether `directory` hides what is below it.
pub fn is_opaque(directory: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    let mut value = [0u8; 1];
    for namespace in [XattrNamespace::Trusted, XattrNamespace::User] {
        match fgetxattr(directory, namespace.opaque(), &mut value) {
            Ok(1) if value == *b"y" => return Ok(true),
            Ok(_) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Makes the whiteout of `name` in `parent`. Needs no privilege since Linux 5.8.
pub fn make(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<()> {
    mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), makedev(0, 0))
}

/// Makes `directory` hide what is below it.
pub fn make_opaque(directory: BorrowedFd<'_>, namespace: XattrNamespace) -> rustix::io::Result<()> {
    fsetxattr(directory, namespace.opaque(), b"y", XattrFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(mark(b"file"), Mark::None);
        assert_eq!(mark(b".wh.file"), Mark::Removed(b"file"));
        assert_eq!(mark(b".wh..wh..opq"), Mark::Opaque);
        assert_eq!(mark(b".wh..wh.plnk"), Mark::Aufs);
        for bad in [&b".wh."[..], b".wh..", b".wh..."] {
            assert_eq!(mark(bad), Mark::Malformed);
        }
    }
}
