//! Control groups: which ones a process is in, where they are found in the file system, and what they say;
//! cgroups(7), /proc/PID/cgroup.

pub mod show;
pub mod tree;

use std::io;
use std::path::{Path, PathBuf};

use crate::mountinfo::{self, Mount};

/// A cgroup that a process is in, in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The controllers of the hierarchy; none for version 2, `name=…` for one without controllers.
    pub controllers: Vec<String>,
    /// The path below the root of the caller's cgroup namespace.
    pub path: String,
    /// The directory.
    pub directory: PathBuf,
}

impl Membership {
    /// Whether it is of the unified hierarchy, version 2.
    pub fn is_unified(&self) -> bool {
        self.controllers.is_empty()
    }
}

/// The cgroups in the text of a /proc/PID/cgroup whose hierarchy is mounted for the caller.
pub fn directories(memberships: &str) -> io::Result<Vec<Membership>> {
    let mounts = mountinfo::read(Path::new("/proc/self/mountinfo"))?;
    Ok(memberships.lines().filter_map(|line| membership(line, &mounts)).collect())
}

fn membership(line: &str, mounts: &[Mount]) -> Option<Membership> {
    // hierarchy:controllers:path, where a path may contain colons.
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let controllers: Vec<String> =
        controllers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let is_hierarchy = |mount: &&Mount| {
        if controllers.is_empty() {
            mount.file_system == "cgroup2"
        } else {
            mount.file_system == "cgroup" && controllers.iter().all(|name| mount.super_options.contains(name))
        }
    };
    let directory = mounts.iter().filter(is_hierarchy).find_map(|mount| directory(mount, path))?;
    Some(Membership { path: path.to_owned(), directory, controllers })
}

/// Where `path` is below a mount that may show only a part of the hierarchy.
fn directory(mount: &Mount, path: &str) -> Option<PathBuf> {
    let below = Path::new(path).strip_prefix(&mount.root).ok()?;
    // `..`: outside of the caller's cgroup namespace.
    let outside = below.components().any(|component| component == std::path::Component::ParentDir);
    (!outside).then(|| Path::new(&mount.mount_point).join(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "1 0 0:1 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
        2 0 0:2 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
        3 0 0:3 /box /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
        4 0 0:4 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";

    fn find(line: &str) -> Option<String> {
        let membership = membership(line, &mountinfo::parse(MOUNTS.as_bytes()))?;
        Some(membership.directory.to_str()?.to_owned())
    }

    #[test]
    fn every_kind_of_hierarchy_is_found() {
        assert_eq!(find("0::/a/b:c").as_deref(), Some("/sys/fs/cgroup/unified/a/b:c"));
        assert_eq!(find("5:cpu,cpuacct:/").as_deref(), Some("/sys/fs/cgroup/cpu/"));
        assert_eq!(find("1:name=systemd:/x").as_deref(), Some("/sys/fs/cgroup/systemd/x"));
        assert_eq!(find("7:pids:/box/in").as_deref(), Some("/sys/fs/cgroup/pids/in"));
    }

    #[test]
    fn what_is_not_mounted_or_out_of_sight_is_left_out() {
        for line in ["8:freezer:/", "7:pids:/elsewhere", "0::/../..", "", "0:", "::"] {
            assert_eq!(find(line), None, "{line}");
        }
    }

    #[test]
    fn this_process_is_in_a_cgroup_that_lists_it() {
        let text = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = std::process::id().to_string();
        for membership in directories(&text).unwrap() {
            let members = std::fs::read_to_string(membership.directory.join("cgroup.procs")).unwrap();
            assert!(members.lines().any(|pid| pid == own), "{membership:?}");
        }
    }
}
