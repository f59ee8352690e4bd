//! Which container a process belongs to, and the first process of a container by its name.
//!
//! OCI runtimes keep a directory a container, named by its id, with a JSON file that has the process id. Engines
//! put the id into the name of the container's cgroup. Neither needs the engine itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use crate::process;

/// Where runtimes that are run by root keep their state.
const STATE_ROOTS: &[&str] = &[
    "/run/berth-oci",
    "/run/runc",
    "/run/crun",
    "/run/youki",
    "/run/docker/runtime-runc/moby",
    "/run/containerd/runc/default",
    "/run/containerd/runc/k8s.io",
    "/run/containerd/runc/moby",
];

/// The same below $XDG_RUNTIME_DIR for ordinary users.
const USER_STATE_ROOTS: &[&str] = &["berth-oci", "runc", "crun", "youki"];

/// Where berth's engine has its containers' names, and their state: root's; an ordinary user's are elsewhere.
const ENGINE: (&str, &str) = ("/var/lib/berth", "/run/berth");

/// The state file of runc, youki and berth; that of crun.
const STATE_FILES: &[&str] = &["state.json", "status"];

/// The containers of this host as far as the caller may see them.
#[derive(Debug, Clone, Default)]
pub struct Containers {
    by_name: BTreeMap<String, Pid>,
    /// What an engine calls them, by their ids.
    called: BTreeMap<String, String>,
}

/// Why a text means no process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum TargetError {
    #[error("\"{}\" is neither a process id nor a container", .0.escape_debug())]
    Unknown(String),
    #[error("\"{}\" could be any of the containers {}", prefix.escape_debug(), names.join(", "))]
    Ambiguous { prefix: String, names: Vec<String> },
}

impl Containers {
    /// Reads the state directories of the known runtimes.
    pub fn read() -> Self {
        let of_user = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let user_roots = of_user.iter().flat_map(|base| USER_STATE_ROOTS.iter().map(|root| base.join(root)));
        let roots = STATE_ROOTS.iter().map(PathBuf::from).chain(user_roots);
        let mut containers =
            Self { by_name: roots.flat_map(|root| containers_in(&root)).collect(), ..Self::default() };
        containers.add_engine(Path::new(ENGINE.0), Path::new(ENGINE.1));
        containers
    }

    /// Adds the containers of an engine: `names/NAME` leads to an id.
    fn add_engine(&mut self, root: &Path, run: &Path) {
        self.by_name.extend(containers_in(&run.join("oci")));
        for entry in std::fs::read_dir(root.join("names")).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().ok();
            let id =
                std::fs::read_link(entry.path()).ok().and_then(|id| id.into_os_string().into_string().ok());
            let (Some(name), Some(id)) = (name, id) else { continue };
            if let Some(&pid) = self.by_name.get(&id) {
                self.by_name.insert(name.clone(), pid);
                self.called.insert(id, name);
            }
        }
    }

    /// What a container is called whose name, or id, this is.
    fn call(&self, name: &str) -> String {
        self.called.get(name).map_or_else(|| name.to_owned(), Clone::clone)
    }

    /// The process that `target` means: an id, `pidfd:N` for an inherited descriptor, a container's name, or the
    /// beginning of just one name.
    pub fn resolve(&self, target: &str) -> Result<Pid, TargetError> {
        if let Some(pid) = process_id(target) {
            return Ok(pid);
        }
        if let Some(&pid) = self.by_name.get(target) {
            return Ok(pid);
        }
        let starts = |(name, _): &(&String, &Pid)| !target.is_empty() && name.starts_with(target);
        // Of one that has a name and an id, the beginning of either will do.
        let mut matches: Vec<_> = self.by_name.iter().filter(starts).collect();
        matches.dedup_by_key(|(_, pid)| **pid);
        match matches[..] {
            [(_, &pid)] => Ok(pid),
            [] => Err(TargetError::Unknown(target.to_owned())),
            _ => Err(TargetError::Ambiguous {
                prefix: target.to_owned(),
                names: matches.into_iter().map(|(name, _)| name.clone()).collect(),
            }),
        }
    }

    /// The container that a process belongs to: the one it is the first process of, or the one that its cgroup
    /// is named after.
    pub fn of_process(&self, pid: Pid) -> Option<String> {
        let first = self.by_name.iter().find(|&(_, &first)| first == pid).map(|(name, _)| self.call(name));
        first.or_else(|| {
            let text = process::read_file(pid, "cgroup").ok()?;
            String::from_utf8_lossy(&text).lines().find_map(|line| self.of_cgroup(line))
        })
    }

    /// Finds the container in a line of /proc/PID/cgroup.
    fn of_cgroup(&self, line: &str) -> Option<String> {
        line.rsplit('/').find_map(|component| {
            let unit = component.strip_suffix(".scope").unwrap_or(component);
            let id = unit.rsplit(['-', ':']).next()?;
            let is_digest = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            if let Some((name, _)) = self.by_name.get_key_value(id) {
                return Some(self.call(name));
            }
            is_digest.then(|| id[..12].to_owned())
        })
    }
}

/// As [`Containers::resolve`], but looks for containers only if `target` is no process id.
pub fn resolve(target: &str) -> Result<Pid, TargetError> {
    process_id(target).map_or_else(|| Containers::read().resolve(target), Ok)
}

fn process_id(target: &str) -> Option<Pid> {
    target.strip_prefix("pidfd:").map_or_else(|| positive(target), of_pidfd)
}

fn positive(text: &str) -> Option<Pid> {
    text.parse().ok().filter(|&pid| pid > 0).and_then(Pid::from_raw)
}

/// The process of a pidfd; pidfd_open(2), the field `Pid` of /proc/self/fdinfo.
fn of_pidfd(number: &str) -> Option<Pid> {
    let descriptor: u32 = number.parse().ok()?;
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).ok()?;
    positive(text.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim())
}

fn containers_in(root: &Path) -> Vec<(String, Pid)> {
    let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
    let container = |directory: PathBuf| {
        let name = directory.file_name()?.to_str()?.to_owned();
        let text = STATE_FILES.iter().find_map(|file| std::fs::read(directory.join(file)).ok())?;
        let state: serde_json::Value = serde_json::from_slice(&text).ok()?;
        let pid = ["init_process_pid", "pid"].iter().find_map(|key| state.get(key)?.as_i64())?;
        Some((name, i32::try_from(pid).ok().filter(|&pid| pid > 0).and_then(Pid::from_raw)?))
    };
    entries.flatten().filter_map(|entry| container(entry.path())).collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use rustix::process::PidfdFlags;

    use super::*;

    fn containers() -> Containers {
        let pid = |number| Pid::from_raw(number).unwrap();
        let names = [("web-1", 11), ("web-2", 12), ("db", 13)];
        Containers {
            by_name: names.into_iter().map(|(name, number)| (name.to_owned(), pid(number))).collect(),
            ..Containers::default()
        }
    }

    #[test]
    fn an_engines_containers_have_names_and_ids() {
        let directory = std::env::temp_dir().join(format!("toolbox-engine-{}", std::process::id()));
        let id = "ab".repeat(32);
        std::fs::create_dir_all(directory.join("run/oci").join(&id)).unwrap();
        std::fs::create_dir_all(directory.join("names")).unwrap();
        std::fs::write(directory.join("run/oci").join(&id).join("state.json"), "{\"pid\":77}").unwrap();
        for (name, of) in [("web", &id), ("stopped", &"cd".repeat(32))] {
            std::os::unix::fs::symlink(of, directory.join("names").join(name)).unwrap();
        }
        let mut containers = Containers::default();
        containers.add_engine(&directory, &directory.join("run"));
        std::fs::remove_dir_all(&directory).unwrap();
        for text in ["web", id.as_str(), "abab", "we"] {
            assert_eq!(containers.resolve(text), Ok(Pid::from_raw(77).unwrap()), "{text}");
        }
        assert!(containers.resolve("stopped").is_err());
        assert_eq!(containers.of_process(Pid::from_raw(77).unwrap()).as_deref(), Some("web"));
        assert_eq!(containers.of_cgroup(&format!("0::/berth/{id}")).as_deref(), Some("web"));
    }

    #[test]
    fn targets_are_ids_names_and_beginnings() {
        assert_eq!(containers().resolve("42"), Ok(Pid::from_raw(42).unwrap()));
        assert_eq!(containers().resolve("db").unwrap().as_raw_pid(), 13);
        assert_eq!(containers().resolve("d").unwrap().as_raw_pid(), 13);
        let pidfd = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).unwrap();
        let target = format!("pidfd:{}", pidfd.as_raw_fd());
        assert_eq!(containers().resolve(&target), Ok(rustix::process::getpid()));
        let ambiguous = containers().resolve("web").unwrap_err().to_string();
        assert_eq!(ambiguous, "\"web\" could be any of the containers web-1, web-2");
        for unknown in ["", "0", "-1", "cache", "pidfd:x", "pidfd:0"] {
            assert_eq!(containers().resolve(unknown), Err(TargetError::Unknown(unknown.to_owned())));
        }
    }

    #[test]
    fn cgroups_name_the_containers_of_every_engine() {
        let id = "0123456789abcdef".repeat(4);
        let lines = [
            format!("0::/system.slice/docker-{id}.scope"),
            format!("12:pids:/docker/{id}"),
            format!("0::/machine.slice/libpod-{id}.scope/container"),
            format!("0::/kubepods.slice/kubepods-besteffort.slice/cri-containerd-{id}.scope"),
        ];
        for line in lines {
            assert_eq!(containers().of_cgroup(&line).as_deref(), Some("0123456789ab"), "{line}");
        }
        assert_eq!(containers().of_cgroup("0::/system.slice/runc-db.scope").as_deref(), Some("db"));
        assert_eq!(containers().of_cgroup("0::/user.slice/user-0.slice"), None);
    }

    #[test]
    fn state_files_of_all_runtimes_are_read_and_broken_ones_skipped() {
        let root = std::env::temp_dir().join(format!("toolbox-containers-{}", std::process::id()));
        let files = [
            ("runc/state.json", r#"{"init_process_pid": 7}"#),
            ("crun/status", r#"{"pid": 8}"#),
            ("stopped/state.json", r#"{"pid": 0}"#),
            ("broken/state.json", "{"),
        ];
        for (file, text) in files {
            std::fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            std::fs::write(root.join(file), text).unwrap();
        }
        let mut found = containers_in(&root);
        found.sort_by_key(|(_, pid)| pid.as_raw_pid());
        std::fs::remove_dir_all(&root).unwrap();
        let names: Vec<_> = found.iter().map(|(name, pid)| (name.as_str(), pid.as_raw_pid())).collect();
        assert_eq!(names, [("runc", 7), ("crun", 8)]);
    }
}
