//! From a snapshot to a mount, by the mount API of fsopen(2) and its kin.
//!
//! Lowers are handed over one by one (`lowerdir+`, Linux 6.8; by fd, 6.13), so neither their number nor the
//! length of their paths meets the page that mount(2) allows.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_fd,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, open_tree,
};
use sys::fsid::with_fs_ids;
use sys::mount::{MountAttr, MountChange, mount_setattr};

use crate::layer::XattrNamespace;
use crate::snapshots::{Kind, Snapshot};
use crate::{Driver, Result, SnapshotError, host};

/// Where the parts of a snapshot's file system are: Docker's `GraphDriver.Data`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The read-only directories, topmost first: the engine's own files (`init`), then the image's layers.
    pub lower: Vec<PathBuf>,
    /// The directory that changes go to; none in a view.
    pub upper: Option<PathBuf>,
    /// Overlay's scratch directory; none in a view.
    pub work: Option<PathBuf>,
    /// Where the whole is to be mounted.
    pub merged: PathBuf,
}

impl Layout {
    /// The same by Docker's names, as `inspect` shows it: absent parts are left out.
    pub fn graph_driver_data(&self) -> Vec<(&'static str, String)> {
        let lower: Vec<String> = self.lower.iter().map(|path| path.display().to_string()).collect();
        let own = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let parts = [
            ("LowerDir", Some(lower.join(":"))),
            ("MergedDir", Some(self.merged.display().to_string())),
            ("UpperDir", own(&self.upper)),
            ("WorkDir", own(&self.work)),
        ];
        parts.into_iter().filter_map(|(name, path)| Some((name, path?))).collect()
    }
}

/// Mounts a snapshot, detached; `for_once` if nothing of it is to outlive the mount.
pub fn mount(
    snapshot: &Snapshot<'_>,
    user_namespace: Option<BorrowedFd<'_>>,
    for_once: bool,
) -> Result<OwnedFd> {
    match snapshot.driver() {
        // A single read-only directory needs no overlay, nor gets one.
        _ if snapshot.is_over_host() && snapshot.kind() == Kind::View => {
            clone(Path::new(host::ROOT), user_namespace, true)
        }
        Driver::Copy => clone(&snapshot.path().join("fs"), user_namespace, snapshot.kind() == Kind::View),
        Driver::Overlay => overlay(snapshot, user_namespace, for_once),
    }
}

fn overlay(
    snapshot: &Snapshot<'_>,
    user_namespace: Option<BorrowedFd<'_>>,
    for_once: bool,
) -> Result<OwnedFd> {
    let layout = snapshot.layout()?;
    let root = snapshot.snapshots.root();
    // One id-mapped mount holds all parts: upper and work must be on the same one.
    let base = user_namespace.map(|namespace| clone(root, Some(namespace), false)).transpose()?;
    let part = |path: &Path| {
        let opened = match (&base, path.strip_prefix(root)) {
            (Some(base), Ok(below)) => openat(base, below, PATH, Mode::empty()),
            (Some(_), Err(_)) => return clone(path, user_namespace, true),
            (None, _) => openat(CWD, path, PATH, Mode::empty()),
        };
        opened.map_err(|error| SnapshotError::io("open", path, error))
    };
    let fail = |error| SnapshotError::io("mount overlay at", &layout.merged, error);
    let lowers = layout.lower.iter().map(|lower| part(lower));
    let context = context(lowers, snapshot.snapshots.xattrs(), &layout.merged)?;
    let context = context.as_fd();
    for (key, directory) in [("upperdir", &layout.upper), ("workdir", &layout.work)] {
        if let Some(directory) = directory {
            set_directory(context, key, part(directory)?.as_fd()).map_err(fail)?;
        }
    }
    if for_once && snapshot.kind() == Kind::Writable {
        // Else the whole file system below is synced when the mount goes, and whoever ends the container waits for it.
        fsconfig_set_flag(context, "volatile").map_err(fail)?;
    }
    match &base {
        None => fsconfig_create(context).map_err(fail)?,
        // Overlay works on its layers as who mounts it, who must have an id there: that of the namespace's root.
        Some(base) => {
            let owner = fstat(base).map_err(fail)?;
            with_fs_ids(owner.st_uid, owner.st_gid, || fsconfig_create(context))
                .map_err(|error| SnapshotError::io("act as the user namespace's root on", root, error))?
                .map_err(fail)?;
        }
    }
    let attributes = match snapshot.kind() {
        Kind::View => MountAttrFlags::MOUNT_ATTR_RDONLY,
        Kind::Writable => MountAttrFlags::empty(),
    };
    fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(fail)
}

/// An overlay of some directories, topmost first, that nothing is mounted of yet.
fn context(
    lowers: impl Iterator<Item = Result<OwnedFd>>,
    xattrs: XattrNamespace,
    place: &Path,
) -> Result<OwnedFd> {
    let fail = |error| SnapshotError::io("mount overlay at", place, error);
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(fail)?;
    fsconfig_set_string(&context, "source", "overlay").map_err(fail)?;
    for lower in lowers {
        set_directory(context.as_fd(), "lowerdir+", lower?.as_fd()).map_err(fail)?;
    }
    // Whatever the distribution's defaults are, the upper directory must make sense to the differ.
    for (key, value) in [("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off")] {
        fsconfig_set_string(&context, key, value).map_err(fail)?;
    }
    if xattrs == XattrNamespace::User {
        fsconfig_set_flag(&context, "userxattr").map_err(fail)?;
    }
    Ok(context)
}

/// The directories alone, topmost first, read-only and detached.
pub fn peek(lowers: &[PathBuf], xattrs: XattrNamespace) -> Result<OwnedFd> {
    // A single read-only directory needs no overlay, nor gets one.
    if let [only] = lowers {
        return clone(only, None, true);
    }
    let place = Path::new("nowhere");
    let fail = |error| SnapshotError::io("mount overlay at", place, error);
    let context = match lowers {
        [] => fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(fail)?,
        _ => {
            let open = |path: &PathBuf| {
                openat(CWD, path, PATH, Mode::empty()).map_err(|error| SnapshotError::io("open", path, error))
            };
            context(lowers.iter().map(open), xattrs, place)?
        }
    };
    fsconfig_create(&context).map_err(fail)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY).map_err(fail)
}

const PATH: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Sets a directory option by fd, or before Linux 6.13 by the name that /proc has for the fd.
fn set_directory(context: BorrowedFd<'_>, key: &str, directory: BorrowedFd<'_>) -> rustix::io::Result<()> {
    match fsconfig_set_fd(context, key, directory) {
        Err(Errno::INVAL) => {
            fsconfig_set_string(context, key, format!("/proc/self/fd/{}", directory.as_raw_fd()))
        }
        other => other,
    }
}

/// A detached bind mount of `path`, id-mapped if a user namespace is given.
fn clone(path: &Path, user_namespace: Option<BorrowedFd<'_>>, read_only: bool) -> Result<OwnedFd> {
    let fail = |error| SnapshotError::io("clone the mount of", path, error);
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, path, flags).map_err(|error| fail(error.into()))?;
    let mut set = MountAttr::empty();
    set.set(MountAttr::IDMAP, user_namespace.is_some());
    set.set(MountAttr::RDONLY, read_only);
    if !set.is_empty() {
        let change = MountChange { set, user_namespace, ..MountChange::default() };
        mount_setattr(tree.as_fd(), c"", &change).map_err(fail)?;
    }
    Ok(tree)
}
