//! A group's directory in one hierarchy.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::dir::Dir;
use crate::path::GroupPath;
use crate::{Controller, Error};

/// Where a group is in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    /// Empty for v2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controllers: Vec<Controller>,
    pub mount_point: PathBuf,
    pub path: GroupPath,
}

/// The directories made so far.
#[derive(Default)]
pub(crate) struct Made(Vec<(PathBuf, GroupPath)>);

impl Made {
    fn add(&mut self, mount_point: &Path, path: GroupPath) {
        self.0.push((mount_point.to_owned(), path));
    }

    pub fn contains(&self, node: &Node) -> bool {
        self.0.iter().any(|(mount_point, path)| *mount_point == node.mount_point && *path == node.path)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Removes again those that were made after the first `count`, the last one first. What cannot be removed has been
    /// taken over by somebody else.
    pub fn undo(&mut self, count: usize) {
        for (mount_point, path) in self.0.drain(count..).rev() {
            let parent = Dir::group(&mount_point, &path.parent());
            let _ = parent.and_then(|parent| parent.remove(path.name()));
        }
    }
}

impl Node {
    /// The directory's path on the host.
    pub fn dir(&self) -> PathBuf {
        self.mount_point.join(self.path.as_str())
    }

    pub fn has(&self, controller: Controller) -> bool {
        self.controllers.contains(&controller)
    }

    /// Whether `exec --cgroup` means this directory by `controller`; empty means all.
    pub fn is_called(&self, controller: &str) -> bool {
        let named = |c: &Controller| c.name().trim_start_matches("name=") == controller;
        controller.is_empty() || self.controllers.iter().any(named)
    }

    /// Whether a container can do without: these limit nothing.
    pub fn is_optional(&self) -> bool {
        self.controllers.iter().all(|c| matches!(c, Controller::Systemd | Controller::Misc))
            && !self.controllers.is_empty()
    }

    pub fn open(&self) -> Result<Dir, Error> {
        Dir::group(&self.mount_point, &self.path)
    }

    /// v1's file to which a thread writes `0` to move itself here.
    pub fn tasks(&self) -> Result<OwnedFd, Error> {
        Dir::group_file(&self.mount_point, &self.path, "tasks", OFlags::WRONLY)
    }

    /// The directory above this one.
    pub fn open_parent(&self) -> Result<Dir, Error> {
        Dir::group(&self.mount_point, &self.path.parent())
    }

    /// Makes the directory and those above it.
    pub fn make(&self, made: &mut Made) -> Result<Dir, Error> {
        self.make_at(&self.path, made)
    }

    fn make_at(&self, path: &GroupPath, made: &mut Made) -> Result<Dir, Error> {
        let above = path.parent();
        let parent = match Dir::group(&self.mount_point, &above) {
            Err(e) if e.errno() == Some(Errno::NOENT) && !above.is_root() => self.make_at(&above, made)?,
            parent => parent?,
        };
        let created = parent.make(path.name())?;
        if created {
            made.add(&self.mount_point, path.clone());
        }
        let dir = parent.open(path.name())?;
        if self.has(Controller::Cpuset) {
            inherit_cpuset(&dir, &parent, created, &self.mount_point)?;
        }
        Ok(dir)
    }

    /// Makes every controller of v2's root available here: a group has those that all groups above hand
    /// down. Refusals are left for the limit that needs the controller: it knows whether it matters.
    pub fn enable_controllers(&self, leaf: &Dir) -> Result<(), Error> {
        let root = Dir::mount_point(&self.mount_point)?;
        let all = root.read("cgroup.controllers")?;
        let missing = |dir: &Dir, file| -> Result<Vec<String>, Error> {
            let present = dir.read(file)?;
            let absent = |name: &&str| !present.split_whitespace().any(|other| other == *name);
            Ok(all.split_whitespace().filter(absent).map(|name| format!("+{name}")).collect())
        };
        if missing(leaf, "cgroup.controllers")?.is_empty() {
            return Ok(());
        }
        hand_down(&root, &missing(&root, "cgroup.subtree_control")?);
        let mut dir = root;
        for name in self.path.parent().as_str().split('/').filter(|name| !name.is_empty()) {
            dir = dir.open(name)?;
            hand_down(&dir, &missing(&dir, "cgroup.subtree_control")?);
        }
        join_threaded_tree(leaf)
    }
}

/// Below a group with threaded children a new group takes no process before it is threaded, too. It then has
/// no memory and no I/O controller; a limit that needs one says so.
fn join_threaded_tree(leaf: &Dir) -> Result<(), Error> {
    if leaf.read("cgroup.type").is_ok_and(|kind| kind.trim() == "domain invalid") {
        leaf.write("cgroup.type", "threaded")?;
    }
    Ok(())
}

/// Writes all names at once; if one of them is refused, each alone.
fn hand_down(dir: &Dir, names: &[String]) {
    const FILE: &str = "cgroup.subtree_control";
    if !names.is_empty() && dir.write(FILE, &names.join(" ")).is_err() {
        for name in names {
            let _ = dir.write(FILE, name);
        }
    }
}

/// v1's cpuset starts without CPUs and memory nodes, and takes no process before it has some.
fn inherit_cpuset(dir: &Dir, parent: &Dir, new: bool, mount_point: &Path) -> Result<(), Error> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if new || dir.read(file)?.trim().is_empty() {
            let mut value = parent.read(file)?;
            if value.trim().is_empty() && parent.path() != mount_point {
                inherit_cpuset(parent, &parent.parent()?, false, mount_point)?;
                value = parent.read(file)?;
            }
            dir.write(file, value.trim())?;
        }
    }
    Ok(())
}
