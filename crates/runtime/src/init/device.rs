//! Device nodes and the links of /dev.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, makedev};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;

use super::Init;
use super::mount::attach;
use crate::failure::{Failure, OrFail, Result};
use crate::plan::DevicePlan;

const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

impl Init<'_> {
    pub(super) fn device(&mut self, plan: &DevicePlan) -> Result<()> {
        if plan.bind {
            return self.bind_device(plan);
        }
        let path = Path::new(&plan.path);
        let (parent, name) = match self.device_directory.take() {
            Some((known, parent)) if path.parent() == Some(&known) => {
                (parent, path.file_name().unwrap_or_default().to_owned())
            }
            _ => self.parent_of(path)?,
        };
        let kind = FileType::from_raw_mode(plan.kind);
        let mode = Mode::from_raw_mode(plan.mode);
        // The runtime's umask must not take from what was asked for.
        let umask = rustix::process::umask(Mode::empty());
        let made = rustix::fs::mknodat(&parent, &*name, kind, mode, makedev(plan.major, plan.minor));
        rustix::process::umask(umask);
        match made {
            Ok(()) => own(&parent, &name, plan)?,
            Err(Errno::EXIST) => is_this(&parent, &name, plan)?,
            // Where nodes may not be made, as in a container whose devices cgroup forbids it, the host's serves.
            Err(Errno::PERM) => self.bind_device(plan)?,
            Err(errno) => return Err(errno).or_fail("mknod", &plan.path),
        }
        self.device_directory = path.parent().map(|directory| (directory.to_owned(), parent));
        Ok(())
    }

    fn bind_device(&mut self, plan: &DevicePlan) -> Result<()> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree =
            rustix::mount::open_tree(CWD, &*plan.path, flags).or_fail("open host device", &plan.path)?;
        let target = self.file(Path::new(&plan.path))?;
        attach(&tree, &target).or_fail("bind device", &plan.path)
    }

    pub(super) fn device_links(&self) -> Result<()> {
        let dev = self.directory(Path::new("/dev"))?;
        let kcore = rustix::fs::statat(self.proc()?, "kcore", AtFlags::SYMLINK_NOFOLLOW).is_ok();
        let kcore = kcore.then_some(("core", "/proc/kcore"));
        for (name, target) in LINKS.into_iter().chain(kcore) {
            match rustix::fs::symlinkat(target, &dev, name) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno).or_fail("symlink /dev/", name),
            }
        }
        // Of the container's own devpts, whatever the image has there.
        match rustix::fs::unlinkat(&dev, "ptmx", AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno).or_fail("remove", "/dev/ptmx"),
        }
        rustix::fs::symlinkat("pts/ptmx", &dev, "ptmx").or_fail("symlink", "/dev/ptmx")
    }
}

fn own(parent: &OwnedFd, name: &OsStr, plan: &DevicePlan) -> Result<()> {
    if (plan.uid, plan.gid) == (0, 0) {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(plan.uid), Gid::from_raw(plan.gid));
    rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .or_fail("chown", &plan.path)
}

/// An image may bring the node; but something else by that name would be taken for it.
fn is_this(parent: &OwnedFd, name: &OsStr, plan: &DevicePlan) -> Result<()> {
    let there =
        rustix::fs::openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            .or_fail("open", &plan.path)?;
    let stat = rustix::fs::fstat(&there).or_fail("stat", &plan.path)?;
    let same_kind = stat.st_mode & libc::S_IFMT == plan.kind;
    if same_kind && (plan.kind == libc::S_IFIFO || stat.st_rdev == makedev(plan.major, plan.minor)) {
        return Ok(());
    }
    Err(Failure::because("mknod", &plan.path, "file exists, and is not this device"))
}
