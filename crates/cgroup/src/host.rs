//! What the host offers: which hierarchies there are, and where the calling process is in them.

use std::path::{Path, PathBuf};

use rustix::fs::FsWord;

use crate::dir::{Dir, read_file};
use crate::path::GroupPath;
use crate::{Controller, Error};

/// Where every distribution mounts control groups.
pub(crate) const MOUNT_POINT: &str = "/sys/fs/cgroup";
/// Where systemd mounts v2 on a hybrid host.
const HYBRID_MOUNT_POINT: &str = "/sys/fs/cgroup/unified";

const CGROUP_SUPER_MAGIC: FsWord = 0x0027_e0eb;
const CGROUP2_SUPER_MAGIC: FsWord = 0x6367_7270;

/// How the host arranges its control groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// v2 alone.
    Unified,
    /// v1 alone, or v1 with an empty v2 hierarchy beside it (*hybrid*).
    Legacy {
        /// Whether there is a v2 hierarchy too.
        hybrid: bool,
    },
    /// None are mounted.
    Absent,
}

/// The control groups of this host, as the calling process sees them.
#[derive(Clone, Debug)]
pub struct Host {
    layout: Layout,
    /// v1's hierarchies; empty on a unified host.
    legacy: Vec<Hierarchy>,
}

/// One mounted hierarchy of v1.
#[derive(Clone, Debug)]
pub(crate) struct Hierarchy {
    pub controllers: Vec<Controller>,
    pub mount_point: PathBuf,
    /// The caller's own group as `/proc/self/cgroup` has it.
    own: GroupPath,
}

impl Host {
    /// Looks at the host. On a pure v2 host this is one system call; on others `/proc/self/cgroup` is read,
    /// and `/proc/self/mountinfo` only if a hierarchy is not at its usual place.
    pub fn detect() -> Result<Self, Error> {
        match file_system(Path::new(MOUNT_POINT)) {
            Some(CGROUP2_SUPER_MAGIC) => Ok(Self { layout: Layout::Unified, legacy: Vec::new() }),
            _ => Self::detect_legacy(),
        }
    }

    fn detect_legacy() -> Result<Self, Error> {
        let mut legacy = Vec::new();
        let mut mounts = None;
        for (list, own) in own_groups("/proc/self/cgroup")? {
            let controllers: Vec<_> = list.split(',').filter_map(Controller::from_name).collect();
            if controllers.is_empty() {
                continue;
            }
            let usual = Path::new(MOUNT_POINT).join(list.trim_start_matches("name="));
            let mount_point = if file_system(&usual) == Some(CGROUP_SUPER_MAGIC) {
                Some(usual)
            } else {
                if mounts.is_none() {
                    mounts = Some(Mounts::read()?);
                }
                mounts.as_ref().and_then(|mounts| mounts.of_controller(list.split(',').next()?))
            };
            legacy.extend(mount_point.map(|mount_point| Hierarchy { controllers, mount_point, own }));
        }
        let hybrid = file_system(Path::new(HYBRID_MOUNT_POINT)) == Some(CGROUP2_SUPER_MAGIC);
        let layout = if legacy.is_empty() && !hybrid { Layout::Absent } else { Layout::Legacy { hybrid } };
        Ok(Self { layout, legacy })
    }

    /// The arrangement.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn legacy(&self) -> &[Hierarchy] {
        &self.legacy
    }

    /// The mount point of v2, if there is one.
    pub(crate) fn unified(&self) -> Option<&'static Path> {
        match self.layout {
            Layout::Unified => Some(Path::new(MOUNT_POINT)),
            Layout::Legacy { hybrid: true } => Some(Path::new(HYBRID_MOUNT_POINT)),
            _ => None,
        }
    }
}

impl Hierarchy {
    /// The caller's own group below this mount point. In a container without a cgroup namespace
    /// `/proc/self/cgroup` has the host's path while the mount shows a part of the tree.
    pub fn own(&self) -> Result<GroupPath, Error> {
        if self.own.is_root() || Dir::group(&self.mount_point, &self.own).is_ok() {
            return Ok(self.own.clone());
        }
        let root = Mounts::read()?.root_of(&self.mount_point);
        Ok(root.and_then(|root| root.strip_from(&self.own)).unwrap_or_default())
    }
}

/// The path of the calling process in v2.
pub(crate) fn own_unified() -> Result<GroupPath, Error> {
    unified_path_of("self")
}

/// The path in v2 of process `pid` (`/proc/PID`), as the caller's cgroup namespace shows it.
pub(crate) fn unified_path_of(pid: &str) -> Result<GroupPath, Error> {
    let groups = own_groups(&format!("/proc/{pid}/cgroup"))?;
    Ok(groups.into_iter().find(|(list, _)| list.is_empty()).map(|(_, path)| path).unwrap_or_default())
}

/// `/proc/PID/cgroup`: controllers (empty for v2) and path of every hierarchy (cgroups(7)).
fn own_groups(file: &str) -> Result<Vec<(String, GroupPath)>, Error> {
    let content = read_file(file)?;
    let fields = content.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        rest.split_once(':')
    });
    fields.map(|(list, path)| Ok((list.to_owned(), GroupPath::clean(path)?))).collect()
}

fn file_system(path: &Path) -> Option<FsWord> {
    rustix::fs::statfs(path).ok().map(|fs| fs.f_type)
}

/// The v1 mounts in `/proc/self/mountinfo`.
struct Mounts(Vec<Mount>);

struct Mount {
    root: String,
    mount_point: PathBuf,
    options: String,
}

impl Mounts {
    fn read() -> Result<Self, Error> {
        Ok(Self(read_file("/proc/self/mountinfo")?.lines().filter_map(Mount::parse).collect()))
    }

    fn of_controller(&self, name: &str) -> Option<PathBuf> {
        let mount = self.0.iter().find(|mount| mount.options.split(',').any(|option| option == name))?;
        Some(mount.mount_point.clone())
    }

    fn root_of(&self, mount_point: &Path) -> Option<GroupPath> {
        let mount = self.0.iter().find(|mount| mount.mount_point == mount_point)?;
        GroupPath::clean(&mount.root).ok()
    }
}

impl Mount {
    /// proc_pid_mountinfo(5): `ID PARENT MAJ:MIN ROOT POINT OPTIONS [TAG…] - TYPE SOURCE SUPER-OPTIONS`.
    fn parse(line: &str) -> Option<Self> {
        let (front, back) = line.split_once(" - ")?;
        let mut back = back.split(' ');
        if back.next()? != "cgroup" {
            return None;
        }
        let mut front = front.split(' ').skip(3);
        Some(Self {
            root: unescape(front.next()?),
            mount_point: PathBuf::from(unescape(front.next()?)),
            options: back.nth(1)?.to_owned(),
        })
    }
}

/// Undoes mountinfo's octal escapes of space, tab, line feed and backslash.
fn unescape(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_mounts_of_v1_only() {
        let lines = [
            "33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct",
            "37 31 0:34 /docker/x /mnt/my\\040freezer rw - cgroup cgroup rw,freezer",
            "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw",
            "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755",
        ];
        let mounts = Mounts(lines.into_iter().filter_map(Mount::parse).collect());
        assert_eq!(mounts.0.len(), 2);
        assert_eq!(mounts.of_controller("cpu"), Some(PathBuf::from("/sys/fs/cgroup/cpuacct")));
        assert_eq!(mounts.of_controller("memory"), None);
        let root = mounts.root_of(Path::new("/mnt/my freezer")).unwrap();
        assert_eq!(root.as_str(), "docker/x");
    }
}
