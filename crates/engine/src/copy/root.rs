//! The root of a container, as a descriptor: with all its mounts for `cp`, without them for `export`.
//!
//! Nothing of the container is ever executed or loaded, and no process changes its root: the classic mistake was a helper
//! that did chroot(2) and then loaded the container's libraries (CVE-2019-14271). Paths are walked from the descriptor by
//! openat2(2) with `RESOLVE_IN_ROOT`, so that links which are exchanged meanwhile lead nowhere else (CVE-2018-15664).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use sys::mount::{MountAttr, MountChange, mount_setattr};
use sys::process::NamespaceFlags;

use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::mounts::{Ids, Planned};
use crate::volumes::Content;

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Engine {
    /// Does `work` with the root of a container, mounts and all; and its id maps, where files have owners by them.
    /// Of one that does not run, they are made in a mount namespace that only this thread has; it can't be started
    /// meanwhile.
    pub(super) fn with_root<T: Send>(
        &self,
        container: &Container,
        work: impl FnOnce(BorrowedFd<'_>, Option<&Ids>) -> Result<T> + Send,
    ) -> Result<T> {
        let (lock, state) = self.lock(container)?;
        if state.pid > 0 {
            drop(lock);
            let root = root_of_process(state.pid, &container.name)?;
            return work(root.as_fd(), container.id_maps.as_ref());
        }
        let done = apart(|| {
            let root = self.assemble(container)?;
            work(root.as_fd(), None)
        });
        drop(lock);
        done
    }

    /// A detached mount of a container's own file system, without what is mounted in it; and its id maps, where files
    /// have owners by them.
    pub(super) fn bare_root<'a>(&self, container: &'a Container) -> Result<(OwnedFd, Option<&'a Ids>)> {
        let (_lock, state) = self.lock(container)?;
        if state.pid > 0 {
            return Ok((tree_of_process(state.pid, c"/", false)?, container.id_maps.as_ref()));
        }
        let images = self.images()?;
        Ok((images.snapshots().snapshot(&container.id)?.mount(None)?, None))
    }

    /// Mounts the root of a container that does not run, and its volumes and binds in it.
    fn assemble(&self, container: &Container) -> Result<OwnedFd> {
        let snapshot = self.images()?.snapshots().snapshot(&container.id)?;
        let place = snapshot.path().join("merged");
        let tree = snapshot.mount(None)?;
        if container.asked.host_config.readonly_rootfs {
            read_only(&tree, false).map_err(|errno| Error::io("make read-only", &place, errno))?;
        }
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&tree, "", CWD, &place, flags).map_err(|errno| Error::io("mount at", &place, errno))?;
        let root = rustix::fs::open(&place, DIRECTORY, Mode::empty());
        let root = root.map_err(|errno| Error::io("open", &place, errno))?;
        let mut planned: Vec<&Planned> = container.planned.iter().collect();
        planned.sort_by_key(|one| Path::new(one.destination()).components().count());
        for one in planned {
            self.mount_within(&root, one)?;
        }
        Ok(root)
    }

    /// What a volume is. It is filled from the image now, for what is copied there would keep it from that later.
    fn filled_volume(&self, root: &OwnedFd, one: &Planned) -> Result<Content> {
        let volumes = self.volumes();
        let volume = volumes.get(&one.mount.source)?;
        let options = one.mount.volume_options.clone().unwrap_or_default();
        let content = volume.content();
        if matches!(content, Content::Directory(_)) && !options.no_copy && options.subpath.is_empty() {
            crate::volumes::populate(&volumes, &volume, root.as_fd(), one.destination(), None)?;
        }
        Ok(content)
    }

    fn mount_within(&self, root: &OwnedFd, one: &Planned) -> Result<()> {
        let source = match one.mount.r#type.as_str() {
            "bind" => PathBuf::from(&one.mount.source),
            "volume" => match self.filled_volume(root, one)? {
                Content::Directory(path) => path,
                // File systems of their own are there while the container runs.
                Content::FileSystem { .. } => return Ok(()),
            },
            _ => return Ok(()),
        };
        let fail = |errno: Errno| Error::io("mount", &source, errno);
        let part = one.mount.volume_options.as_ref().map_or("", |options| options.subpath.as_str());
        let base = rustix::fs::open(&source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(fail)?;
        let tree = match part {
            "" => clone(base.as_fd(), true).map_err(fail)?,
            part => crate::mounts::open_subpath(base.as_fd(), part).map_err(fail)?,
        };
        if one.mount.read_only {
            read_only(&tree, true).map_err(|error| Error::io("make read-only", &source, error))?;
        }
        let stat = rustix::fs::fstat(&tree).map_err(fail)?;
        let is_directory =
            rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory;
        let target = make_target(root.as_fd(), one.destination(), is_directory)
            .map_err(|errno| Error::io("make the mount point", one.destination(), errno))?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&tree, "", &target, "", flags).map_err(fail)
    }
}

/// Runs `work` where its mounts are seen by nobody else.
fn apart<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    sys::mount::apart(work).map_err(|error| Error::io("make", "a mount namespace", error))?
}

/// A detached copy of the mount at `path` in the mount namespace of a process, with those below it if `recursive`.
pub(crate) fn tree_of_process(pid: i32, path: &std::ffi::CStr, recursive: bool) -> Result<OwnedFd> {
    let namespace = format!("/proc/{pid}/ns/mnt");
    let fail = |operation: &'static str| {
        let namespace = namespace.clone();
        move |error: std::io::Error| Error::io(operation, &namespace, error)
    };
    let file = rustix::fs::open(&namespace, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let file = file.map_err(|errno| Error::io("open", &namespace, errno))?;
    apart(|| {
        sys::process::setns(file.as_fd(), NamespaceFlags::MOUNT).map_err(fail("join"))?;
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
        open_tree(CWD, path, flags).map_err(|errno| fail("copy a mount of")(errno.into()))
    })
}

/// The root of a running container. Its process is known by its number alone: what was opened is that of the container as
/// long as the same process has the number.
fn root_of_process(pid: i32, name: &str) -> Result<OwnedFd> {
    let path = format!("/proc/{pid}/root");
    rustix::fs::open(&path, DIRECTORY, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT | Errno::SRCH => Error::NotRunning(name.to_owned()),
        errno => Error::io("open", path, errno),
    })
}

fn clone(tree: BorrowedFd<'_>, recursive: bool) -> rustix::io::Result<OwnedFd> {
    let mut flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    open_tree(tree, "", flags)
}

fn read_only(tree: &OwnedFd, recursive: bool) -> std::io::Result<()> {
    let change = MountChange { set: MountAttr::RDONLY, recursive, ..MountChange::default() };
    mount_setattr(tree.as_fd(), c"", &change)
}

/// Opens what is at `path` below `root`, its links followed within.
pub(super) fn in_root(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // The kernel saw a rename on the way and asks to try again.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Opens a mount point, and makes it where it is missing.
fn make_target(root: BorrowedFd<'_>, path: &str, is_directory: bool) -> rustix::io::Result<OwnedFd> {
    match in_root(root, Path::new(path), OFlags::PATH) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    let mode = Mode::from_raw_mode(0o755);
    let mut parent = in_root(root, Path::new("/"), OFlags::PATH | OFlags::DIRECTORY)?;
    let mut walked = PathBuf::from("/");
    let mut names = Path::new(path).components().skip(1).peekable();
    while let Some(name) = names.next() {
        walked.push(name);
        if names.peek().is_none() && !is_directory {
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            drop(rustix::fs::openat(&parent, name.as_os_str(), flags, Mode::from_raw_mode(0o644))?);
            break;
        }
        match rustix::fs::mkdirat(&parent, name.as_os_str(), mode) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        parent = in_root(root, &walked, OFlags::PATH | OFlags::DIRECTORY)?;
    }
    in_root(root, Path::new(path), OFlags::PATH)
}
