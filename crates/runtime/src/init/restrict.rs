//! What of /proc and /sys the container can't read or write, and kernel parameters that are set for it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, ResolveFlags, makedev};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use sys::mount::MountAttr;

use super::mount::{attach, empty_directory};
use super::tree::{file_type, open_in};
use super::{Init, root};
use crate::failure::{Failure, OrFail, Result};

const CLONE: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE
    .union(OpenTreeFlags::OPEN_TREE_CLOEXEC)
    .union(OpenTreeFlags::AT_EMPTY_PATH);

impl Init<'_> {
    /// Through the runtime's own /proc: there is no path of the container's in it (CVE-2025-52881).
    pub(super) fn sysctl(&self, path: &str, value: &str) -> Result<()> {
        let object = || format!("/proc/sys/{path}");
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let below = format!("sys/{path}");
        let file = rustix::fs::openat2(self.proc()?, &*below, flags, rustix::fs::Mode::empty(), resolve)
            .or_fail("open sysctl", object())?;
        rustix::io::write(&file, value.as_bytes()).map(drop).or_fail("write sysctl", object())
    }

    pub(super) fn readonly_path(&self, path: &str) -> Result<()> {
        let Some(target) = self.existing(path)? else { return Ok(()) };
        let tree = rustix::mount::open_tree(&target, "", CLONE | OpenTreeFlags::AT_RECURSIVE)
            .or_fail("clone", path)?;
        root::set(&tree, MountAttr::RDONLY).or_fail("make read-only", path)?;
        attach(&tree, &target).or_fail("mount read-only", path)
    }

    /// A file is hidden by /dev/null, which must be that device and nothing else (CVE-2025-31133); all directories by
    /// one empty tmpfs.
    pub(super) fn mask(&self, paths: &[String]) -> Result<()> {
        let mut null = None;
        let mut empty: Option<OwnedFd> = None;
        for path in paths {
            let Some(target) = self.existing(path)? else { continue };
            let cover = if file_type(&target).or_fail("stat", path)? == FileType::Directory {
                match &empty {
                    None => empty_directory()?,
                    Some(first) => {
                        rustix::mount::open_tree(first, "", CLONE).or_fail("clone", "an empty tmpfs")?
                    }
                }
            } else {
                if null.is_none() {
                    null = Some(self.null_device()?);
                }
                let null = null.as_ref().ok_or_else(|| Failure::because("mask", path, "no /dev/null"))?;
                rustix::mount::open_tree(null, "", CLONE).or_fail("clone", "/dev/null")?
            };
            attach(&cover, &target).or_fail("mask", path)?;
            // Only what is attached can be cloned; so the first one serves the others.
            if empty.is_none() && file_type(&cover).or_fail("stat", path)? == FileType::Directory {
                empty = Some(cover);
            }
        }
        Ok(())
    }

    fn null_device(&self) -> Result<OwnedFd> {
        let null = open_in(self.root()?, "/dev/null", OFlags::PATH | OFlags::NOFOLLOW)
            .or_fail("open", "/dev/null")?;
        let stat = rustix::fs::fstat(&null).or_fail("stat", "/dev/null")?;
        if stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == makedev(1, 3) {
            return Ok(null);
        }
        Err(Failure::because("mask with", "/dev/null", "it is not the null device"))
    }

    /// Paths that the kernel or the image lacks need no restriction.
    fn existing(&self, path: &str) -> Result<Option<OwnedFd>> {
        let path: PathBuf = Path::new(path).components().collect();
        let in_kernel_mount = self.kernel_mounts.iter().rev().find_map(|(place, mount)| {
            Some((mount.as_fd(), Path::new(".").join(path.strip_prefix(place).ok()?)))
        });
        let (root, below) = match in_kernel_mount {
            Some(found) => found,
            None => (self.root()?, path.clone()),
        };
        match open_in(root, below, OFlags::PATH) {
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            other => other.map(Some).or_fail_at("open", path),
        }
    }
}
