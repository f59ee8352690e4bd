//! What a test left behind: found by the test's name, wherever the kernel or a file system shows it.
//!
//! The name is random, so nothing that carries it can be older than the test or belong to another.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Directories whose entries may carry a test's name when an engine or runtime forgot them.
const STATE_DIRS: &[&str] = &[
    "/dev/shm",
    "/run",
    "/run/berth",
    "/run/crun",
    "/run/netns",
    "/run/runc",
    "/tmp",
    "/var/lib/berth",
    "/var/tmp",
];

/// Something that outlived the test that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leak {
    /// A mount point in this mount namespace.
    Mount(PathBuf),
    /// A cgroup in any hierarchy.
    Cgroup(PathBuf),
    /// A network interface in this network namespace.
    Link(String),
    /// A process: started by the test, in a cgroup of the test, or with its root or directory in the bed.
    Process {
        /// Its process id.
        pid: i32,
        /// Its command line.
        command: String,
    },
    /// A file or directory outside of the bed, or a container's entry in the state directory.
    Entry(PathBuf),
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mount(path) => write!(f, "mount on {}", path.display()),
            Self::Cgroup(path) => write!(f, "cgroup {}", path.display()),
            Self::Link(name) => write!(f, "network interface {name}"),
            Self::Process { pid, command } => write!(f, "process {pid}: {command}"),
            Self::Entry(path) => write!(f, "file {}", path.display()),
        }
    }
}

/// Everything on this machine that carries `name`, but for `bed` itself and what lies in it; entries of
/// `state` count.
pub(crate) fn find(name: &str, bed: &Path, state: &Path) -> Vec<Leak> {
    let mut leaks = processes(name);
    leaks.extend(mounts(name).into_iter().map(Leak::Mount));
    leaks.extend(cgroups(name, &containers(bed)).into_iter().map(Leak::Cgroup));
    leaks.extend(
        entries(Path::new("/sys/class/net"))
            .filter(|path| carries(path, name))
            .map(|path| Leak::Link(path.file_name().unwrap_or_default().to_string_lossy().into_owned())),
    );
    let named = STATE_DIRS.iter().flat_map(|dir| entries(Path::new(dir)));
    leaks.extend(named.filter(|path| carries(path, name) && path != bed).map(Leak::Entry));
    leaks.extend(entries(state).map(Leak::Entry));
    leaks
}

/// Mount points of this mount namespace whose place or source carries `name`, in the order of mounting.
pub(crate) fn mounts(name: &str) -> Vec<PathBuf> {
    mount_points(|line| line.contains(name))
}

/// Mount points of the lines of the mount table that are `wanted`.
fn mount_points(wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("read the mount table");
    let lines = table.lines().filter(|line| wanted(line));
    lines.filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

/// Takes back what was found, as far as it goes: processes first, for they hold the rest; then mounts,
/// so that removing a directory can't reach through one to somebody else's files.
///
/// An error leaves the leak in place, and it has been reported already.
pub(crate) fn remove(leaks: &[Leak]) {
    for leak in leaks {
        if let Leak::Process { pid, .. } = leak {
            kill(*pid);
        }
    }
    for leak in leaks.iter().rev() {
        match leak {
            Leak::Mount(path) => _ = unmount(path, UnmountFlags::DETACH),
            Leak::Cgroup(path) => remove_cgroup(path),
            Leak::Process { .. } | Leak::Link(_) | Leak::Entry(_) => {}
        }
    }
    for leak in leaks {
        if let Leak::Entry(path) = leak
            && !mounted_below(path)
        {
            let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            drop(removed);
        }
    }
}

fn mounted_below(path: &Path) -> bool {
    mount_points(|_| true).iter().any(|mount| mount.starts_with(path))
}

fn carries(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|file| file.to_string_lossy().contains(name))
}

/// The entries of a directory; none when it is absent or closed to us, as another user's may be.
fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// The ids of all containers that engines with a root in the bed ever made: their logs of events tell.
fn containers(bed: &Path) -> HashSet<String> {
    let files = entries(bed).flat_map(|root| entries(&root.join("events")));
    let texts = files.filter_map(|file| fs::read_to_string(file).ok());
    texts.flat_map(|text| text.lines().filter_map(container_of).collect::<Vec<_>>()).collect()
}

/// Whose event it is; none for those of images, networks and volumes.
fn container_of(line: &str) -> Option<String> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    let id = event["Actor"]["ID"].as_str().filter(|_| event["Type"] == "container")?;
    Some(id.to_owned())
}

/// Cgroups with the name anywhere in their path, and those of the containers, parents before children.
fn cgroups(name: &str, containers: &HashSet<String>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut ahead = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = ahead.pop() {
        for path in entries(&dir).filter(|path| path.is_dir() && !path.is_symlink()) {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            if path.to_string_lossy().contains(name) || containers.contains(&*file) {
                found.push(path.clone());
            }
            ahead.push(path);
        }
    }
    found
}

fn remove_cgroup(path: &Path) {
    // A frozen v1 cgroup keeps even killed processes.
    drop(fs::write(path.join("freezer.state"), "THAWED"));
    let deadline = Instant::now() + Duration::from_secs(2);
    while fs::remove_dir(path).is_err() && path.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn processes(name: &str) -> Vec<Leak> {
    let me = rustix::process::getpid().as_raw_nonzero().get();
    let pids = entries(Path::new("/proc")).filter_map(|path| path.file_name()?.to_str()?.parse().ok());
    pids.filter(|pid: &i32| *pid != me && belongs(*pid, name))
        .map(|pid| Leak::Process { pid, command: command_line(pid) })
        .collect()
}

/// Whether a process is this test's. One that ends while we look is nobody's.
fn belongs(pid: i32, name: &str) -> bool {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let says = |file: &str| fs::read(proc.join(file)).is_ok_and(|text| contains(&text, name));
    let leads = |link: &str| {
        fs::read_link(proc.join(link)).is_ok_and(|target| target.to_string_lossy().contains(name))
    };
    says("cmdline")
        || says("cgroup")
        || says("environ")
        || leads("cwd")
        || leads("exe")
        || rooted_in(&proc, name)
}

/// Whether a process has a root file system of this test: /proc/PID/root says just "/" for a pivoted root,
/// but the mount table has the directory that was bound there.
fn rooted_in(proc: &Path, name: &str) -> bool {
    let namespace = |proc: &Path| fs::read_link(proc.join("ns/mnt")).ok();
    if namespace(proc) == namespace(Path::new("/proc/self")) {
        return false;
    }
    let table = fs::read_to_string(proc.join("mountinfo")).unwrap_or_default();
    table.lines().any(|line| line.split(' ').nth(4) == Some("/") && line.contains(name))
}

fn contains(text: &[u8], name: &str) -> bool {
    text.windows(name.len()).any(|window| window == name.as_bytes())
}

fn command_line(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ").trim_end().to_owned()
}

/// Kills a process and waits until it is gone; an unreaped child of ours counts as gone.
fn kill(pid: i32) {
    let Some(pidfd) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return;
    };
    let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    crate::invocation::wait_for_exit(&pidfd, Duration::from_secs(2));
}
