//! Where a fault is injected and which: `oci/0.1#57=kill` is the 57th system call of the second process that the first
//! command of sequence `oci` made.

use std::fmt;
use std::str::FromStr;

use rustix::process::Pid;
use seccomp::{Architecture, syscalls};

/// A process or thread of a sequence: the number of the command, then which child of its parent it is, and so on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(pub Vec<u32>);

impl Path {
    /// The command whose process this is, or from whose process it stems.
    pub fn command(&self) -> u32 {
        self.0[0]
    }

    /// Its child number `ordinal`.
    pub fn child(&self, ordinal: u32) -> Self {
        Self(self.0.iter().copied().chain([ordinal]).collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&words.join("."))
    }
}

/// What happens at a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed before the call is made.
    Kill,
    /// The call is not made, and fails with this errno.
    Fail(i32),
}

impl Fault {
    /// Whether it can happen to this call: another run may make another one at the same place.
    pub fn can_hit(self, pid: Pid, number: u64, descriptor: u64) -> bool {
        let Self::Fail(errno) = self else { return true };
        let call = call_name(number);
        if !errors_of(call).contains(&errno) {
            return false;
        }
        // A counter in the kernel has no disk, and never waits.
        let file = std::fs::read_link(format!("/proc/{}/fd/{descriptor}", pid.as_raw_pid()));
        let is_counter = || file.is_ok_and(|file| file.as_os_str() == "anon_inode:[eventfd]");
        !(matches!(call, "read" | "write") && is_counter())
    }
}

/// A fault and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Whose call.
    pub path: Path,
    /// Which, from 1.
    pub call: usize,
    /// What happens.
    pub fault: Fault,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}=", self.path, self.call)?;
        match self.fault {
            Fault::Kill => f.write_str("kill"),
            Fault::Fail(errno) => f.write_str(errno_name(errno)),
        }
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('#').and_then(|(path, rest)| Some((path, rest.split_once('=')?)));
        let malformed = || format!("{text:?} is no place of a fault, such as 0.1#57=kill");
        let (path, (call, fault)) = parts.ok_or_else(malformed)?;
        let path: Result<Vec<u32>, _> = path.split('.').map(str::parse).collect();
        let fault = match fault {
            "kill" => Fault::Kill,
            name => Fault::Fail(ERRNOS.iter().find(|(_, known)| *known == name).ok_or_else(malformed)?.0),
        };
        Ok(Self {
            path: Path(path.map_err(|_| malformed())?),
            call: call.parse().map_err(|_| malformed())?,
            fault,
        })
    }
}

const ERRNOS: &[(i32, &str)] = &[
    (libc::EPERM, "EPERM"),
    (libc::EINTR, "EINTR"),
    (libc::EIO, "EIO"),
    (libc::ENOMEM, "ENOMEM"),
    (libc::ENOSPC, "ENOSPC"),
    (libc::EMFILE, "EMFILE"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::EDQUOT, "EDQUOT"),
];

fn errno_name(errno: i32) -> &'static str {
    ERRNOS.iter().find(|(number, _)| *number == errno).map_or("?", |(_, name)| name)
}

/// The name of a system call of this machine.
pub fn call_name(number: u64) -> &'static str {
    let name = u32::try_from(number).ok().and_then(|number| syscalls::name(Architecture::native()?, number));
    name.unwrap_or("unknown")
}

/// The errors that a call can meet on a bad day. None for calls that fail only when the program is wrong, or never.
pub fn errors_of(call: &str) -> &'static [i32] {
    use libc::{EAGAIN, EDQUOT, EINTR, EIO, EMFILE, ENOMEM, ENOSPC, EPERM};
    match call {
        "exit" | "exit_group" | "rt_sigreturn" | "arch_prctl" | "set_tid_address" | "set_robust_list"
        | "rseq" | "getpid" | "gettid" | "getuid" | "geteuid" | "getgid" | "getegid" | "getppid"
        | "munmap" | "umask" | "sched_yield" | "rt_sigprocmask" | "rt_sigaction" | "sigaltstack"
        | "clock_gettime" | "madvise" | "restart_syscall" | "getrandom" | "futex" | "close" | "lseek"
        | "getcwd" | "uname" | "getpgrp" | "getsid" | "alarm" => &[],
        "openat" | "openat2" | "open" => &[EMFILE, ENOMEM, EIO, EPERM],
        "open_tree" | "fsopen" | "fspick" | "fsmount" | "memfd_create" | "pidfd_open" => {
            &[EMFILE, ENOMEM, EPERM]
        }
        "socket" | "socketpair" | "pipe2" | "dup" | "dup2" | "dup3" | "epoll_create1" | "eventfd2"
        | "signalfd4" | "accept4" | "timerfd_create" | "inotify_init1" => &[EMFILE, ENOMEM],
        "write" | "pwrite64" | "writev" => &[ENOSPC, EIO, EINTR],
        "copy_file_range" | "sendfile" | "fallocate" | "ftruncate" | "splice" => &[ENOSPC, EIO],
        "read" | "pread64" | "readv" => &[EIO, EINTR],
        "fsync" | "fdatasync" | "syncfs" => &[EIO, ENOSPC],
        "mkdirat" | "mkdir" | "linkat" | "symlinkat" | "mknodat" | "renameat2" | "renameat" | "rename" => {
            &[ENOSPC, EIO, EPERM]
        }
        "unlinkat" | "unlink" | "rmdir" | "fchmod" | "fchmodat" | "fchownat" | "fchown" | "utimensat" => {
            &[EIO, EPERM]
        }
        "fsetxattr" | "setxattr" | "lsetxattr" | "setxattrat" => &[ENOSPC, EIO, EPERM],
        "mount" | "umount2" | "move_mount" | "fsconfig" | "mount_setattr" | "pivot_root" | "chroot"
        | "setns" | "unshare" | "seccomp" | "bpf" => &[EPERM, ENOMEM],
        "clone" | "clone3" | "fork" | "vfork" => &[ENOMEM, EAGAIN],
        "execve" | "execveat" => &[ENOMEM, EIO],
        "mmap" | "mremap" | "brk" | "mprotect" => &[ENOMEM],
        "wait4" | "waitid" | "poll" | "ppoll" | "epoll_wait" | "epoll_pwait" | "nanosleep"
        | "clock_nanosleep" | "flock" => &[EINTR],
        "keyctl" | "add_key" => &[EDQUOT, EPERM],
        "getdents64" | "readlinkat" | "readlink" => &[EIO],
        "sendmsg" | "recvmsg" | "sendto" | "recvfrom" | "connect" | "bind" => &[ENOMEM, EPERM],
        "statx" | "newfstatat" | "fstat" | "statfs" | "fstatfs" => &[ENOMEM, EIO],
        _ => &[ENOMEM, EPERM],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_written_as_it_is_read() {
        for text in ["0#1=kill", "3.0.12#57=ENOSPC"] {
            assert_eq!(text.parse::<Point>().unwrap().to_string(), text);
        }
        for text in ["", "0", "0#1", "0#x=kill", "0#1=EWHAT", "a#1=kill"] {
            text.parse::<Point>().unwrap_err();
        }
    }

    #[test]
    fn every_error_that_is_injected_has_a_name() {
        for (call, _) in syscalls::all(Architecture::X86_64) {
            assert!(errors_of(call).iter().all(|errno| errno_name(*errno) != "?"), "{call}");
        }
    }
}
