//! The root file system: made a mount, then made `/`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags};
use sys::mount::{MountAttr, MountChange, mount_setattr};

use super::Init;
use super::mount::attach;
use super::tree::open_in;
use crate::failure::{Failure, OrFail, Result};
use crate::plan::{Propagation, RootSwitch};

/// Changes the propagation of `/`.
pub(super) fn propagate(change: Propagation) -> Result<()> {
    let change =
        MountChange { propagation: change.kind, recursive: change.recursive, ..MountChange::default() };
    mount_setattr(CWD, c"/", &change).or_fail("change propagation of", "/")
}

impl Init<'_> {
    /// pivot_root(2) wants a mount, and one that no longer propagates to the host.
    pub(super) fn open_root(&mut self, path: &Path, bind: bool, shared: bool) -> Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut root =
            rustix::fs::open(path, flags, Mode::empty()).or_fail_at("open root file system", path)?;
        if bind {
            if shared {
                make_mount_private(path)?;
            }
            let flags = OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::AT_RECURSIVE
                | OpenTreeFlags::AT_EMPTY_PATH
                | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            let tree = rustix::mount::open_tree(&root, "", flags).or_fail_at("clone mount of", path)?;
            attach(&tree, &root).or_fail_at("mount root file system at", path)?;
            root = tree;
        }
        self.root = Some(root);
        path.clone_into(&mut self.root_path);
        Ok(())
    }

    /// The bundle's path is where hooks look for it. From within a user namespace it need not be reachable; over `/` is
    /// as good then, for no bind's source is opened from here any more. `/..` is what lies over `/`.
    pub(super) fn attach_root(&mut self, path: &Path, shared: bool) -> Result<()> {
        let gone = || Failure::because("attach", "the root file system", "its mount is not open");
        let root = self.rootfs.take().ok_or_else(gone)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let (place, target) = match rustix::fs::open(path, flags, Mode::empty()) {
            Err(Errno::ACCESS) => (Path::new("/.."), rustix::fs::open("/", flags, Mode::empty())),
            other => (path, other),
        };
        if shared {
            make_mount_private(place)?;
        }
        let target = target.or_fail_at("open root file system", path)?;
        attach(&root, &target).or_fail_at("mount root file system at", path)?;
        self.root = Some(root);
        place.clone_into(&mut self.root_path);
        Ok(())
    }

    pub(super) fn make_working_directory(&self, path: &str) -> Result<()> {
        self.directory(Path::new(path)).map(drop)
    }

    pub(super) fn enter_root(&mut self, switch: RootSwitch) -> Result<()> {
        let root = self.root()?;
        rustix::process::fchdir(root).or_fail("enter", "the root file system")?;
        match switch {
            RootSwitch::Pivot => pivot()?,
            RootSwitch::Move => move_over_root(root.as_fd())?,
            RootSwitch::Chroot => {
                rustix::process::chroot(".").or_fail("chroot to", self.root_path.display())?;
            }
        }
        rustix::process::chdir("/").or_fail("chdir", "/")?;
        let root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        self.root = Some(root.or_fail("open", "/")?);
        self.root_place = None;
        Ok(())
    }

    pub(super) fn make_readonly(&self, path: &str) -> Result<()> {
        let mount = open_in(self.root()?, path, OFlags::PATH).or_fail("open", path)?;
        set(&mount, MountAttr::RDONLY).or_fail("make read-only", path)
    }

    pub(super) fn readonly_root(&self) -> Result<()> {
        mount_setattr(self.root()?, c"", &MountChange { set: MountAttr::RDONLY, ..MountChange::default() })
            .or_fail("make read-only", "/")
    }
}

/// Sets attributes of an open mount.
pub(crate) fn set(mount: &OwnedFd, attributes: MountAttr) -> std::io::Result<()> {
    mount_setattr(mount.as_fd(), c"", &MountChange { set: attributes, ..MountChange::default() })
}

/// The new root is put over the old one in the same place, so no directory for the old one is needed; what is below
/// it then is let go of (pivot_root(2), *pivot_root(".", ".")*).
fn pivot() -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open("/", flags, Mode::empty()).or_fail("open", "/")?;
    rustix::process::pivot_root(".", ".").or_fail("pivot_root", ".")?;
    // Nothing that is unmounted may propagate to the host. "." is the new root still, but for umount2(2), which goes up
    // to what is mounted over it.
    let slave = MountChange { propagation: libc::MS_SLAVE, recursive: true, ..MountChange::default() };
    mount_setattr(old.as_fd(), c"", &slave).or_fail("make slave", "the old root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).or_fail("unmount", "the old root")
}

/// For roots that can't be pivoted (the initial ramdisk). What else is mounted is unmounted first, or a chroot(2) out
/// of the moved root would lead to it.
fn move_over_root(root: std::os::fd::BorrowedFd<'_>) -> Result<()> {
    for path in ["/proc", "/sys"] {
        // As often as there are mounts one over the other: the last would show the container a /proc without masks.
        loop {
            match rustix::mount::unmount(path, UnmountFlags::DETACH) {
                Ok(()) => {}
                Err(Errno::INVAL | Errno::NOENT | Errno::PERM) => break,
                Err(errno) => return Err(errno).or_fail("unmount", path),
            }
        }
    }
    rustix::mount::move_mount(root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .or_fail("move", "the root file system to /")?;
    rustix::process::chroot(".").or_fail("chroot to", ".")
}

/// The mount that holds `path` must not be shared (pivot_root(2)), as it still can be with a `rootfsPropagation`.
fn make_mount_private(path: &Path) -> Result<()> {
    let private = MountChange { propagation: libc::MS_PRIVATE, ..MountChange::default() };
    for ancestor in path.ancestors() {
        let Ok(dir) = rustix::fs::open(ancestor, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else {
            continue;
        };
        match mount_setattr(dir.as_fd(), c"", &private) {
            // No mount's root: look further up.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            other => return other.or_fail_at("make private", ancestor),
        }
    }
    Ok(())
}
