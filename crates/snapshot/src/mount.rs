//! From a snapshot to a mount, by the mount API of fsopen(2) and its kin.
//!
//! Lowers are handed over one by one (`lowerdir+`, Linux 6.8; by fd, 6.13), so neither their number nor the
//! length of their paths meets the page that mount(2) allows. What older kernels need is tried where one says EINVAL.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
    open_tree,
};
use sys::fsid::with_fs_ids;
use sys::mount::{MountAttr, MountChange, mount_setattr};

use crate::layer::XattrNamespace;
use crate::snapshots::{Kind, Snapshot};
use crate::{Driver, Result, SnapshotError, Snapshots, host};

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
        Driver::Overlay => overlay(snapshot.snapshots, &snapshot.layout()?, user_namespace, for_once),
    }
}

/// Mounts an overlay, in the way that this kernel understands.
pub fn overlay(
    snapshots: &Snapshots,
    layout: &Layout,
    user_namespace: Option<BorrowedFd<'_>>,
    for_once: bool,
) -> Result<OwnedFd> {
    let overlay = Overlay { snapshots, layout, user_namespace, for_once };
    if for_once {
        again(layout)?;
    }
    match overlay.mount(overlay.base()?.as_ref(), Lowers::OneByOne) {
        Err(SnapshotError::Io { source, .. })
            if source.raw_os_error() == Some(Errno::INVAL.raw_os_error()) =>
        {
            overlay.mount_before_linux_6_15()
        }
        mounted => mounted,
    }
}

/// The kernel mounts no `volatile` overlay twice, lest a crash came between; here that is known not to be so.
fn again(layout: &Layout) -> Result<()> {
    let Some(work) = &layout.work else { return Ok(()) };
    let mark = work.join("work/incompat/volatile");
    for (path, flags) in [(mark.join("dirty"), AtFlags::empty()), (mark, AtFlags::REMOVEDIR)] {
        match unlinkat(CWD, &path, flags) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(SnapshotError::io("remove", path, errno)),
        }
    }
    Ok(())
}

/// The directories alone, topmost first, read-only and detached.
pub fn peek(snapshots: &Snapshots, lowers: &[PathBuf]) -> Result<OwnedFd> {
    let place = Path::new("nowhere");
    match lowers {
        [] => {
            let fail = |error| SnapshotError::io("mount tmpfs at", place, error);
            let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(fail)?;
            fsconfig_create(&context).map_err(fail)?;
            fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY).map_err(fail)
        }
        // A single read-only directory needs no overlay, nor gets one.
        [only] => clone(only, None, true),
        _ => {
            let layout = Layout { lower: lowers.to_vec(), upper: None, work: None, merged: place.into() };
            overlay(snapshots, &layout, None, false)
        }
    }
}

/// How overlay hears of its lower directories.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lowers {
    /// An option for each (Linux 6.8).
    OneByOne,
    /// One option for all, as numbers of open files: the working directory is /proc/self/fd.
    Joined,
}

/// An overlay that is to be mounted.
struct Overlay<'a> {
    snapshots: &'a Snapshots,
    layout: &'a Layout,
    user_namespace: Option<BorrowedFd<'a>>,
    for_once: bool,
}

impl Overlay<'_> {
    /// The one id-mapped mount that holds all parts, where there are id maps: upper and work must be on the same one.
    fn base(&self) -> Result<Option<OwnedFd>> {
        let root = self.snapshots.root();
        self.user_namespace.map(|namespace| clone(root, Some(namespace), false)).transpose()
    }

    /// Before Linux 6.15 layers can't be on detached mounts, and before 6.8 there is no option for each of them: then
    /// the id-mapped mount is attached where nobody sees it, and layers are named by the numbers of their files.
    fn mount_before_linux_6_15(&self) -> Result<OwnedFd> {
        let root = self.snapshots.root();
        let fail = |error| SnapshotError::io("make a mount namespace for", root, error);
        sys::mount::apart(|| {
            let base = self.base()?;
            if let Some(base) = &base {
                let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
                move_mount(base, "", CWD, root, flags)
                    .map_err(|error| SnapshotError::io("attach the id-mapped", root, error))?;
            }
            match self.mount(base.as_ref(), Lowers::OneByOne) {
                Err(SnapshotError::Io { .. }) => {
                    rustix::process::chdir("/proc/self/fd")
                        .map_err(|error| SnapshotError::io("enter", "/proc/self/fd", error))?;
                    self.mount(base.as_ref(), Lowers::Joined)
                }
                mounted => mounted,
            }
        })
        .map_err(fail)?
    }

    fn mount(&self, base: Option<&OwnedFd>, lowers: Lowers) -> Result<OwnedFd> {
        let layout = self.layout;
        let fail = |error| SnapshotError::io("mount overlay at", &layout.merged, error);
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(fail)?;
        let context = context.as_fd();
        fsconfig_set_string(context, "source", "overlay").map_err(fail)?;
        let lower: Vec<OwnedFd> =
            layout.lower.iter().map(|path| self.part(base, path)).collect::<Result<_>>()?;
        match lowers {
            Lowers::OneByOne => lower
                .iter()
                .try_for_each(|lower| set_directory(context, "lowerdir+", lower.as_fd()))
                .map_err(fail)?,
            Lowers::Joined => {
                let numbers: Vec<String> = lower.iter().map(|lower| lower.as_raw_fd().to_string()).collect();
                let joined = numbers.join(":");
                if joined.len() > LONGEST_VALUE {
                    return Err(SnapshotError::TooManyLayers(lower.len()));
                }
                fsconfig_set_string(context, "lowerdir", joined).map_err(fail)?;
            }
        }
        let own: Vec<_> = [("upperdir", &layout.upper), ("workdir", &layout.work)]
            .into_iter()
            .filter_map(|(key, path)| Some(self.part(base, path.as_ref()?).map(|part| (key, part))))
            .collect::<Result<_>>()?;
        for (key, part) in &own {
            set_directory(context, key, part.as_fd()).map_err(fail)?;
        }
        // Whatever the distribution's defaults are, the upper directory must make sense to the differ.
        for (key, value) in [("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off")] {
            fsconfig_set_string(context, key, value).map_err(fail)?;
        }
        if self.snapshots.xattrs() == XattrNamespace::User {
            fsconfig_set_flag(context, "userxattr").map_err(fail)?;
        }
        if self.for_once && layout.upper.is_some() {
            // Else the whole file system below is synced when the mount goes, and whoever ends the container waits for it.
            fsconfig_set_flag(context, "volatile").map_err(fail)?;
        }
        match base {
            None => fsconfig_create(context).map_err(fail)?,
            // Overlay works on its layers as who mounts it, who must have an id there: that of the namespace's root.
            Some(base) => {
                let owner = fstat(base).map_err(fail)?;
                with_fs_ids(owner.st_uid, owner.st_gid, || fsconfig_create(context))
                    .map_err(|error| {
                        SnapshotError::io("act as the user namespace's root on", &layout.merged, error)
                    })?
                    .map_err(fail)?;
            }
        }
        let attributes = match layout.upper {
            None => MountAttrFlags::MOUNT_ATTR_RDONLY,
            Some(_) => MountAttrFlags::empty(),
        };
        fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(fail)
    }

    /// Opens one of the directories, on the id-mapped mount if there is one.
    fn part(&self, base: Option<&OwnedFd>, path: &Path) -> Result<OwnedFd> {
        let opened = match (base, path.strip_prefix(self.snapshots.root())) {
            (Some(base), Ok(below)) => openat(base, below, PATH, Mode::empty()),
            (Some(_), Err(_)) => return clone(path, self.user_namespace, true),
            (None, _) => openat(CWD, path, PATH, Mode::empty()),
        };
        opened.map_err(|error| SnapshotError::io("open", path, error))
    }
}

const PATH: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The longest value that fsconfig(2) takes.
const LONGEST_VALUE: usize = 255;

/// Sets a directory option by fd, or before Linux 6.13 (which say EINVAL, and EOPNOTSUPP before 6.5) by the name that
/// /proc has for the fd.
fn set_directory(context: BorrowedFd<'_>, key: &str, directory: BorrowedFd<'_>) -> rustix::io::Result<()> {
    match fsconfig_set_fd(context, key, directory) {
        Err(Errno::INVAL | Errno::OPNOTSUPP) => {
            fsconfig_set_string(context, key, format!("/proc/self/fd/{}", directory.as_raw_fd()))
        }
        other => other,
    }
}

/// A detached bind mount of `path`, id-mapped if a user namespace is given. What is mounted on it stays there: it shares
/// nothing with the mount that it is a copy of.
fn clone(path: &Path, user_namespace: Option<BorrowedFd<'_>>, read_only: bool) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree =
        open_tree(CWD, path, flags).map_err(|error| SnapshotError::io("clone the mount of", path, error))?;
    let mut set = MountAttr::empty();
    set.set(MountAttr::IDMAP, user_namespace.is_some());
    set.set(MountAttr::RDONLY, read_only);
    let propagation = MountPropagationFlags::PRIVATE.bits().into();
    let change = MountChange { set, propagation, user_namespace, ..MountChange::default() };
    mount_setattr(tree.as_fd(), c"", &change).map_err(|error| match error.raw_os_error() {
        Some(code) if code == Errno::INVAL.raw_os_error() && user_namespace.is_some() => {
            SnapshotError::NoIdMap(path.into())
        }
        _ => SnapshotError::io("change the mount of", path, error),
    })?;
    Ok(tree)
}
