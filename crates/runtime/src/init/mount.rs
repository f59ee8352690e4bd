//! One mount: made detached, given its attributes, then attached to a directory or file that is held open.
//!
//! Nothing is ever visible half-made, and no path is walked twice.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};
use sys::mount::{MountAttr, MountChange, mount_setattr};

use super::tree::{file_type, open_in, open_plain};
use super::{Init, copy_up, root};
use crate::failure::{Failure, OrFail, Result};
use crate::plan::{Change, Link, MountPlan, Source, option_names};
use crate::sources::Opened;

/// Attaches a detached mount.
pub(super) fn attach(tree: impl AsFd, target: impl AsFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, "", target, "", flags)
}

/// A detached copy of the host's tree at a bind's source. In a container with a user namespace the parent calls it,
/// which may walk to the source while root of the namespace may not.
pub(crate) fn open_bind(path: &Path, recursive: bool, link: Link) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    flags.set(OpenTreeFlags::AT_SYMLINK_NOFOLLOW, link != Link::Follow);
    rustix::mount::open_tree(CWD, path, flags).or_fail_at("open bind source", path)
}

/// Files of /proc that may be replaced by a mount: what lxcfs and the like show (runc's list).
const PROC_FILES: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
];

impl Init<'_> {
    pub(super) fn mount(&mut self, plan: &MountPlan) -> Result<()> {
        let kernel_mount = self.make_mount(plan).map_err(|failure| Failure {
            operation: format!(
                "error mounting mounts[{}] at {:?}: {}",
                plan.index, plan.destination, failure.operation
            ),
            ..failure
        })?;
        if plan.source != Source::Remount {
            let place: PathBuf = Path::new(&plan.destination).components().collect();
            self.kernel_mounts.retain(|(covered, _)| !covered.starts_with(&place));
            self.kernel_mounts.extend(kernel_mount.map(|mount| (place, mount)));
        }
        // What was mounted over the root is the root from now on.
        if Path::new(&plan.destination).components().count() <= 1 {
            let path = self.root_path.clone();
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = rustix::fs::open(&path, flags, Mode::empty()).or_fail_at("open", path)?;
            self.root = Some(root);
            self.root_place = None;
        }
        Ok(())
    }

    /// Gives the mount where it is of proc or sysfs.
    fn make_mount(&mut self, plan: &MountPlan) -> Result<Option<OwnedFd>> {
        match &plan.source {
            Source::Bind { path, recursive, link } => self.bind(plan, path, *recursive, *link),
            Source::FileSystem { kind, source, options, copy_up } => {
                let mode = self.inherited_mode(kind, &plan.destination, options);
                let target = self.file_system_target(kind, &plan.destination)?;
                self.check_place(&target, kind == "proc")?;
                let options: Vec<_> = options.iter().cloned().chain(mode).collect();
                let tree = new_file_system(kind, source, &options)?;
                if *copy_up {
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    let below = rustix::fs::openat(&target, ".", flags, Mode::empty());
                    let below = below.or_fail("open", &plan.destination)?;
                    copy_up::copy(&below, &tree)?;
                }
                place(plan, &tree, &target)?;
                Ok((kind == "proc" || kind == "sysfs").then_some(tree))
            }
            Source::Cgroup => self.mount_cgroups(plan).map(|()| None),
            Source::Remount => {
                let mount = open_in(self.root()?, &plan.destination, OFlags::PATH)
                    .or_fail("open", &plan.destination)?;
                change(plan, &mount)?;
                propagate(plan, &mount).map(|()| None)
            }
        }
    }

    fn bind(
        &mut self,
        plan: &MountPlan,
        path: &Path,
        recursive: bool,
        link: Link,
    ) -> Result<Option<OwnedFd>> {
        let tree = match self.sources.remove(&plan.index) {
            Some(Opened::Tree(tree)) => tree,
            Some(Opened::Later) => {
                self.parent()?.ask_tree(plan.index).or_fail_at("ask the runtime for", path)?
            }
            None => open_bind(path, recursive, link)?,
        };
        let kind = file_type(&tree).or_fail_at("stat", path)?;
        if link == Link::Copy && kind == FileType::Symlink {
            return self.copy_link(&tree, &plan.destination).map(|()| None);
        }
        let destination = Path::new(&plan.destination);
        let target = if plan.nofollow {
            open_plain(self.root()?, destination, OFlags::PATH | OFlags::NOFOLLOW)
                .or_fail_at("open", destination)?
        } else if kind == FileType::Directory {
            self.directory(destination)?
        } else {
            self.file(destination)?
        };
        let about = rustix::fs::fstatfs(&tree).or_fail_at("statfs", path)?;
        let magic = about.f_type;
        let is_proc = magic == rustix::fs::PROC_SUPER_MAGIC;
        self.check_place(&target, is_proc)?;
        let own = plan.bind_change(attributes(about.f_flags as u64)).map_err(|locked| {
            Failure::new("set attributes of", &plan.destination, Errno::PERM).hint(format!(
                "within a user namespace the source's {} can't be changed",
                option_names(locked)
            ))
        })?;
        place(&MountPlan { own, ..plan.clone() }, &tree, &target)?;
        Ok((is_proc || magic == libc::SYSFS_MAGIC).then_some(tree))
    }

    /// A tmpfs over a directory of the image keeps its mode, unless the configuration says another.
    fn inherited_mode(
        &self,
        kind: &str,
        destination: &str,
        options: &[(String, Option<String>)],
    ) -> Option<(String, Option<String>)> {
        if kind != "tmpfs" || options.iter().any(|(key, _)| key == "mode") {
            return None;
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let directory = open_in(self.root().ok()?, destination, flags).ok()?;
        let mode = rustix::fs::fstat(&directory).ok()?.st_mode & 0o7777;
        Some(("mode".to_owned(), Some(format!("{mode:o}"))))
    }

    /// For proc and sysfs the destination must be a directory with no link on the way, or what is written to them
    /// later would reach other files (CVE-2019-19921, CVE-2023-27561).
    fn file_system_target(&self, kind: &str, destination: &str) -> Result<OwnedFd> {
        let path = Path::new(destination);
        if kind != "proc" && kind != "sysfs" {
            return self.directory(path);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let open = || open_plain(self.root()?, path, flags).or_fail("mount", kind);
        let found = match open() {
            Err(failure) if failure.is(Errno::NOENT) => self.directory(path).and_then(|_| open()),
            found => found,
        };
        found.map_err(|failure| {
            failure.hint(format!(
                "filesystem {kind:?} must be mounted on ordinary directory, not on a link: {destination}"
            ))
        })
    }

    /// Over /proc goes only a proc file system, and inside it nothing but a few files.
    pub(super) fn check_place(&mut self, target: &OwnedFd, is_proc: bool) -> Result<()> {
        let place = self.place_of(target)?;
        let Ok(below) = place.strip_prefix("/proc") else { return Ok(()) };
        if below.as_os_str().is_empty() {
            return if is_proc {
                Ok(())
            } else {
                Err(Failure::because(
                    "mount",
                    place.display(),
                    "cannot be mounted because it is not of type proc",
                ))
            };
        }
        if PROC_FILES.iter().any(|allowed| place == Path::new(allowed)) {
            return Ok(());
        }
        Err(Failure::because("mount", place.display(), "cannot be mounted because it is inside /proc"))
    }

    fn copy_link(&self, link: &OwnedFd, destination: &str) -> Result<()> {
        let target = rustix::fs::readlinkat(link, "", Vec::new()).or_fail("read link for", destination)?;
        let (parent, name) = self.parent_of(Path::new(destination))?;
        match rustix::fs::symlinkat(&*target, &parent, &*name) {
            Err(Errno::EXIST) => {
                let there = rustix::fs::readlinkat(&parent, &*name, Vec::new());
                if there.as_deref() == Ok(&target) {
                    return Ok(());
                }
                Err(Failure::because("copy symlink to", destination, "something else is there"))
            }
            other => other.or_fail("copy symlink to", destination),
        }
    }
}

/// What statfs(2) says of a mount, as attributes.
fn attributes(flags: u64) -> MountAttr {
    let table = [
        (libc::ST_RDONLY, MountAttr::RDONLY),
        (libc::ST_NOSUID, MountAttr::NOSUID),
        (libc::ST_NODEV, MountAttr::NODEV),
        (libc::ST_NOEXEC, MountAttr::NOEXEC),
        (libc::ST_NODIRATIME, MountAttr::NODIRATIME),
        (libc::ST_NOATIME, MountAttr::NOATIME),
        (ST_NOSYMFOLLOW, MountAttr::NOSYMFOLLOW),
    ];
    let has = |flag: u64| flags & flag != 0;
    let named = table.into_iter().filter(|(flag, _)| has(*flag)).map(|(_, attribute)| attribute);
    // statfs(2) has no flag for strict access times: they are what is neither of the others.
    let strict = !has(libc::ST_NOATIME) && !has(libc::ST_RELATIME);
    named.chain(strict.then_some(MountAttr::STRICTATIME)).collect()
}

/// From linux/statfs.h.
const ST_NOSYMFOLLOW: u64 = 0x2000;

/// Gives a mount its attributes.
fn change(plan: &MountPlan, mount: &OwnedFd) -> Result<()> {
    let set = |change: Change, recursive| {
        if change.is_empty() {
            return Ok(());
        }
        let change =
            MountChange { set: change.set, clear: change.clear, recursive, ..MountChange::default() };
        mount_setattr(mount.as_fd(), c"", &change).or_fail("set attributes of", &plan.destination)
    };
    set(plan.own, false)?;
    set(plan.tree, true)
}

/// Gives a mount its attributes, then its place. Propagation comes last: attached in another user namespace than it was
/// opened in, a mount is private again.
pub(super) fn place(plan: &MountPlan, tree: &OwnedFd, target: &OwnedFd) -> Result<()> {
    change(plan, tree)?;
    attach(tree, target).or_fail("attach to", &plan.destination)?;
    propagate(plan, tree)
}

fn propagate(plan: &MountPlan, mount: &OwnedFd) -> Result<()> {
    for step in &plan.propagation {
        let change =
            MountChange { propagation: step.kind, recursive: step.recursive, ..MountChange::default() };
        mount_setattr(mount.as_fd(), c"", &change).or_fail("change propagation of", &plan.destination)?;
    }
    Ok(())
}

/// A new, detached instance of a file system.
pub(super) fn new_file_system(
    kind: &str,
    source: &str,
    options: &[(String, Option<String>)],
) -> Result<OwnedFd> {
    let context =
        rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).or_fail("open file system", kind)?;
    if !source.is_empty() {
        rustix::mount::fsconfig_set_string(&context, "source", source).or_fail("set source of", kind)?;
    }
    for (key, value) in options {
        match value {
            Some(value) => rustix::mount::fsconfig_set_string(&context, key.as_str(), value.as_str()),
            None => rustix::mount::fsconfig_set_flag(&context, key.as_str()),
        }
        .map_err(|errno| explained(&context, Failure::new(format!("set option {key} of"), kind, errno)))?;
    }
    rustix::mount::fsconfig_create(&context)
        .map_err(|errno| explained(&context, Failure::new("create file system", kind, errno)))?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
        .or_fail("mount", kind)
}

/// The kernel's own words on what it refused, which it leaves in the context (fsopen(2)).
fn explained(context: &OwnedFd, failure: Failure) -> Failure {
    let mut message = [0; 1024];
    match rustix::io::read(context, &mut message) {
        Ok(n) if n > 2 => failure.hint(String::from_utf8_lossy(&message[2..n]).trim_end()),
        _ => failure,
    }
}

/// A directory that nobody can read or fill: to hide others.
pub(super) fn empty_directory() -> Result<OwnedFd> {
    let options = [("size", "0"), ("nr_inodes", "1"), ("mode", "555")];
    let options = options.map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
    let tree = new_file_system("tmpfs", "tmpfs", &options)?;
    root::set(&tree, MountAttr::RDONLY).or_fail("make read-only", "an empty tmpfs")?;
    Ok(tree)
}
