//! A part of a volume or image: what is mounted must lie within it, whatever links it holds.
//!
//! The path is walked by the kernel from a descriptor of the volume (openat2(2), `RESOLVE_IN_ROOT`) and the descriptor that
//! comes out of it is what is mounted: between check and use there is nothing that a container which shares the volume
//! could exchange (CVE-2017-1002101, CVE-2021-25741).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::mount::{OpenTreeFlags, open_tree};

/// A subpath is relative and stays below.
///
/// # Errors
/// What is wrong with it.
pub fn check(subpath: &str) -> Result<(), String> {
    let leaves = Path::new(subpath).components().any(|part| part == Component::ParentDir);
    match subpath {
        _ if subpath.starts_with('/') => {
            Err(format!("subpath must be a relative path within the volume: {subpath}"))
        }
        _ if leaves => Err(format!("subpath must not leave the volume: {subpath}")),
        _ if subpath.contains('\0') => Err("a NUL can't be part of a subpath".into()),
        _ => Ok(()),
    }
}

/// A detached mount of what is at `subpath` below `root`, with what is mounted there.
///
/// # Errors
/// There is nothing, or a link leads round.
pub fn open(root: BorrowedFd<'_>, subpath: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let part =
        openat2(root, subpath, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)?;
    clone(part.as_fd())
}

/// A detached copy of the mount at a descriptor.
pub(super) fn clone(tree: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(tree, "", flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subpaths_stay_below() {
        for good in ["", "a", "a/b", "./a", "..a"] {
            check(good).unwrap();
        }
        for bad in ["/a", "..", "a/../b", "a\0"] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
