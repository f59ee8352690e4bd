//! A mount of type `cgroup`: the container's own cgroups, in the shape that the host has them.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sys::mount::MountAttr;

use super::mount::{new_file_system, open_bind, place};
use super::{Init, root};
use crate::failure::{Failure, OrFail, Result};
use crate::plan::{Link, MountPlan};

/// The container's cgroups as a mount shows them.
#[derive(Clone, Debug)]
pub(crate) struct CgroupView {
    /// Directories by controller; v2's is the empty string.
    pub paths: BTreeMap<String, PathBuf>,
    /// Whether the container has a cgroup namespace of its own, in which they are the roots.
    pub own_namespace: bool,
}

/// What v1 calls a controller; every other name is that of a hierarchy without one.
const CONTROLLERS: [&str; 14] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "debug",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
];

impl Init<'_> {
    pub(super) fn mount_cgroups(&mut self, plan: &MountPlan) -> Result<()> {
        let target = self.directory(Path::new(&plan.destination))?;
        self.check_place(&target, false)?;
        let view = self.cgroup_view.as_ref();
        let view = view.ok_or_else(|| Failure::because("mount", "cgroup", "the container has no cgroup"))?;
        let legacy = hierarchies(view);
        if legacy.is_empty() {
            let own = view.paths.get("").map_or(Path::new("/sys/fs/cgroup"), PathBuf::as_path);
            let tree = unified(own)?;
            return place(plan, &tree, &target);
        }
        self.mount_legacy(plan, view, &legacy, &target)
    }

    /// v1: a tmpfs with one mount a hierarchy.
    fn mount_legacy(
        &self,
        plan: &MountPlan,
        view: &CgroupView,
        legacy: &[(String, Vec<&str>, &Path)],
        target: &OwnedFd,
    ) -> Result<()> {
        let mut whole = plan.clone();
        whole.own.set -= MountAttr::RDONLY;
        let tmpfs = new_file_system("tmpfs", "tmpfs", &[("mode".into(), Some("755".into()))])?;
        place(&whole, &tmpfs, target)?;
        for (name, controllers, path) in legacy {
            let tree = if view.own_namespace {
                hierarchy(controllers)?
            } else {
                open_bind(path, false, Link::Follow)?
            };
            make_directory(&tmpfs, name)?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = rustix::fs::openat(&tmpfs, name.as_str(), flags, Mode::empty())
                .or_fail("open cgroup", name)?;
            place(plan, &tree, &directory)?;
            if controllers.len() > 1 {
                for controller in controllers {
                    rustix::fs::symlinkat(name.as_str(), &tmpfs, *controller)
                        .or_fail("symlink cgroup", controller)?;
                }
            }
        }
        if plan.own.set.contains(MountAttr::RDONLY) {
            root::set(&tmpfs, MountAttr::RDONLY).or_fail("make read-only", &plan.destination)?;
        }
        Ok(())
    }
}

/// v1's hierarchies: name, controllers, and the container's directory in it.
fn hierarchies(view: &CgroupView) -> Vec<(String, Vec<&str>, &Path)> {
    let mut by_path: BTreeMap<&Path, Vec<&str>> = BTreeMap::new();
    for (controller, path) in &view.paths {
        if !controller.is_empty() {
            by_path.entry(path).or_default().push(controller);
        }
    }
    by_path.into_iter().map(|(path, controllers)| (controllers.join(","), controllers, path)).collect()
}

fn hierarchy(controllers: &[&str]) -> Result<OwnedFd> {
    let option = |name: &&str| {
        if CONTROLLERS.contains(name) {
            ((*name).to_owned(), None)
        } else {
            ("name".to_owned(), Some((*name).to_owned()))
        }
    };
    let options: Vec<_> = controllers.iter().map(option).collect();
    new_file_system("cgroup", "cgroup", &options)
}

/// A user namespace without a cgroup namespace may not mount cgroup2; then the container's directory is bound.
fn unified(own: &Path) -> Result<OwnedFd> {
    match new_file_system("cgroup2", "cgroup", &[]) {
        Err(failure) if failure.is(Errno::PERM) || failure.is(Errno::BUSY) => {
            open_bind(own, true, Link::Follow)
        }
        other => other,
    }
}

fn make_directory(tmpfs: &OwnedFd, name: &str) -> Result<()> {
    rustix::fs::mkdirat(tmpfs.as_fd(), name, Mode::from_raw_mode(0o755)).or_fail("mkdir cgroup", name)
}
