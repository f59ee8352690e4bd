//! Writing down what a run needs.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use capability::{CapSet, Capability};
use rustix::process::Pid;

use crate::access;
use crate::call::Call;
use crate::container::Container;
use crate::explain::bare;
use crate::learned::{Learned, Written, profile};
use crate::need::Caller;
use crate::netlink;
use crate::status::Status;
use crate::view::{File, View, mount_id};

/// What only the owner of the machine's programs changes: to have it in memory makes no sense.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/boot"];

/// What a call would need, known at its entry, and needed where it succeeds.
#[derive(Debug, Default)]
pub struct Wants {
    capabilities: CapSet,
    written: Vec<PathBuf>,
}

/// Collects needs.
#[derive(Debug, Default)]
pub struct Learner {
    calls: u64,
    processes: usize,
    made: BTreeSet<&'static str>,
    refused: BTreeMap<&'static str, i32>,
    capabilities: CapSet,
    written: BTreeSet<PathBuf>,
    executed: BTreeSet<PathBuf>,
    gained_privileges: bool,
}

impl Learner {
    /// A process or thread was born.
    pub fn born(&mut self) {
        self.processes += 1;
    }

    /// A call is about to be made.
    pub fn entered(&mut self, call: &Call, tid: Pid, container: &Container) -> Option<Wants> {
        self.calls += 1;
        if let Some(errno) = container.filtered(call) {
            if !call.name.is_empty() {
                self.refused.insert(call.name, errno);
            }
            return None;
        }
        if !call.name.is_empty() {
            self.made.insert(call.name);
        }
        is_of_interest(call).then(|| wants(call, tid, container)).flatten()
    }

    /// It succeeded.
    pub fn succeeded(&mut self, wants: Wants) {
        self.capabilities = self.capabilities | wants.capabilities;
        self.written.extend(wants.written);
    }

    /// A program was executed.
    pub fn executed(&mut self, tid: Pid) {
        let view = View::of(tid);
        let Some(program) = view.program() else { return };
        if let (Some(status), Ok(file)) = (Status::read(tid), view.open(&program, true)) {
            let mode = file.stat.st_mode;
            let set_id = (mode & libc::S_ISUID != 0 && file.stat.st_uid != status.uids[0])
                || (mode & libc::S_ISGID != 0 && file.stat.st_gid != status.gids[0]);
            self.gained_privileges |= set_id || has_file_capabilities(&file);
        }
        self.executed.insert(program);
    }

    /// The result.
    pub fn learned(self, container: &Container) -> Learned {
        let base = container.spec().linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
        let made: Vec<&str> = self.made.iter().copied().collect();
        let refused: Vec<(&str, i32)> = self.refused.iter().map(|(name, errno)| (*name, *errno)).collect();
        let roots = topmost(&self.written);
        let system =
            |path: &&PathBuf| **path == Path::new("/") || SYSTEM.iter().any(|one| path.starts_with(one));
        let executed = |path: &Path| self.executed.iter().any(|program| program.starts_with(path));
        Learned {
            processes: self.processes,
            calls: self.calls,
            capabilities: self.capabilities.iter().map(bare).collect(),
            writes_to_system: roots.iter().find(system).map(|path| path.display().to_string()),
            written: roots
                .iter()
                .map(|path| Written { path: path.display().to_string(), executed: executed(path) })
                .collect(),
            gained_privileges: self.gained_privileges,
            profile: Some(profile(base, &made, &refused)),
        }
    }
}

/// Without those that lie in another.
fn topmost(paths: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let lies_in_another = |path: &Path| path.ancestors().skip(1).any(|above| paths.contains(above));
    paths.iter().filter(|path| !lies_in_another(path)).cloned().collect()
}

fn has_file_capabilities(file: &File) -> bool {
    let path = format!("/proc/self/fd/{}", file.fd.as_raw_fd());
    rustix::fs::getxattr(path, "security.capability", &mut [0; 64]).is_ok()
}

/// Calls that can need a capability or write to a file system: the others are only counted, for speed.
fn is_of_interest(call: &Call) -> bool {
    !matches!(
        call.name,
        "" | "read"
            | "write"
            | "readv"
            | "writev"
            | "pread64"
            | "pwrite64"
            | "futex"
            | "close"
            | "fstat"
            | "lseek"
            | "munmap"
            | "mprotect"
            | "brk"
            | "epoll_wait"
            | "epoll_pwait"
            | "epoll_ctl"
            | "poll"
            | "ppoll"
            | "select"
            | "pselect6"
            | "clock_gettime"
            | "clock_nanosleep"
            | "nanosleep"
            | "gettimeofday"
            | "getpid"
            | "getuid"
            | "geteuid"
            | "getgid"
            | "getegid"
            | "rt_sigaction"
            | "rt_sigprocmask"
            | "rt_sigreturn"
            | "accept"
            | "accept4"
            | "recvfrom"
            | "recvmsg"
            | "wait4"
            | "sched_yield"
            | "madvise"
            | "getdents64"
            | "dup"
            | "dup2"
            | "pipe2"
            | "fcntl"
            | "exit"
            | "exit_group"
            | "getrandom"
            | "set_robust_list"
            | "rseq"
    )
}

fn wants(call: &Call, tid: Pid, container: &Container) -> Option<Wants> {
    let status = Status::read(tid)?;
    let view = View::of(tid);
    let first_free_port = container.first_free_port();
    let caller = Caller { tid, view, status: &status, first_free_port };
    let mut needs = caller.needs(call);
    if matches!(call.name, "sendto" | "sendmsg") {
        let needed = netlink::sent(view, call).and_then(netlink::needs);
        needs = needs | needed.into_iter().collect();
    }
    let capabilities = needs.iter().filter_map(|one| had(one, status.effective)).collect();
    let wants = Wants { capabilities, written: written(call, view) };
    (!wants.capabilities.is_empty() || !wants.written.is_empty()).then_some(wants)
}

/// The capability that answers a need: itself, or CAP_SYS_ADMIN, of which some were once a part.
fn had(needed: Capability, effective: CapSet) -> Option<Capability> {
    let parts = [Capability::BPF, Capability::PERFMON, Capability::SYSLOG, Capability::CHECKPOINT_RESTORE];
    let whole = Capability::SYS_ADMIN;
    let by_whole = parts.contains(&needed) && effective.contains(whole);
    if effective.contains(needed) { Some(needed) } else { by_whole.then_some(whole) }
}

/// The directories of the root file system that a call changes something in.
fn written(call: &Call, view: View) -> Vec<PathBuf> {
    let places = call.places();
    let entries = match call.name {
        "open" | "openat" | "openat2" | "creat" => {
            let flags = access::open_flags(view, call).unwrap_or(0);
            let writes =
                flags & libc::O_ACCMODE != libc::O_RDONLY || flags & (libc::O_CREAT | libc::O_TRUNC) != 0;
            let found = places.first().filter(|_| writes && flags & libc::O_PATH == 0);
            return found
                .and_then(|place| file_or_parent(view, &view.path(call, *place)?))
                .into_iter()
                .collect();
        }
        "truncate" | "truncate64" | "chmod" | "fchmodat" | "fchmodat2" | "chown" | "lchown" | "fchownat"
        | "utime" | "utimes" | "futimesat" | "utimensat" | "setxattr" | "lsetxattr" | "removexattr"
        | "lremovexattr" | "fchown" | "fchmod" | "ftruncate" | "fsetxattr" | "fremovexattr" => {
            let paths = places.iter().filter_map(|place| view.path(call, *place));
            return paths.filter_map(|path| file_or_parent(view, &path)).collect();
        }
        "link" | "linkat" => &places[1..],
        "mkdir" | "mkdirat" | "rmdir" | "unlink" | "unlinkat" | "rename" | "renameat" | "renameat2"
        | "symlink" | "symlinkat" | "mknod" | "mknodat" => places,
        "bind" => return socket(call, view).and_then(|path| parent(view, &path)).into_iter().collect(),
        _ => &[],
    };
    let paths = entries.iter().filter_map(|place| view.path(call, *place));
    paths.filter_map(|path| parent(view, &path)).collect()
}

/// The directory of a file that is there, or of one that will be. A directory is meant itself.
fn file_or_parent(view: View, path: &Path) -> Option<PathBuf> {
    match view.open(path, true) {
        Ok(file) if file.kind() == libc::S_IFDIR => on_root(view, &file),
        Ok(file) if file.kind() == libc::S_IFREG => {
            let directory = on_root(view, &file)?;
            directory.parent().map(Path::to_owned)
        }
        // Devices, pipes and sockets can be written to on any file system.
        Ok(_) => None,
        Err(_) => parent(view, path),
    }
}

fn parent(view: View, path: &Path) -> Option<PathBuf> {
    on_root(view, &view.open(path.parent()?, true).ok()?)
}

/// Where a file really is, if it lies on the root file system and not on what is mounted on it.
fn on_root(view: View, file: &File) -> Option<PathBuf> {
    let root = view.open(Path::new("/"), true).ok()?;
    if mount_id(&root.fd)? != mount_id(&file.fd)? {
        return None;
    }
    let real = std::fs::read_link(format!("/proc/self/fd/{}", file.fd.as_raw_fd())).ok()?;
    real.is_absolute().then_some(real)
}

/// The path that a socket is bound to.
fn socket(call: &Call, view: View) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = view.memory(call.arguments[1], (call.arguments[2] as usize).min(110));
    let name = bytes.strip_prefix(&(libc::AF_UNIX as u16).to_ne_bytes())?.split(|&byte| byte == 0).next()?;
    let path = Path::new(std::ffi::OsStr::from_bytes(name));
    path.is_absolute().then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_another_is_left_out() {
        let paths = ["/run", "/run/nginx", "/var/log", "/var/logs"].map(PathBuf::from).into();
        assert_eq!(topmost(&paths), ["/run", "/var/log", "/var/logs"].map(PathBuf::from));
    }

    #[test]
    fn a_part_of_an_old_capability_is_answered_by_it() {
        let admin = CapSet::from(Capability::SYS_ADMIN);
        assert_eq!(had(Capability::BPF, admin), Some(Capability::SYS_ADMIN));
        assert_eq!(had(Capability::CHOWN, admin), None);
    }
}
