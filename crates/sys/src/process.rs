//! Making processes, and what a process may set on itself that rustix has no call for.

use std::ffi::{CStr, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use bitflags::bitflags;
use rustix::process::Pid;

use crate::check;

bitflags! {
    /// Flags of clone3(2) that this crate can honour: none that shares memory or descriptors, so that the
    /// child is a process of its own.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct CloneFlags: u64 {
        /// The child's parent is the caller's parent.
        const PARENT = libc::CLONE_PARENT as u64;
        /// A new mount namespace.
        const NEWNS = libc::CLONE_NEWNS as u64;
        /// A new cgroup namespace.
        const NEWCGROUP = libc::CLONE_NEWCGROUP as u64;
        /// A new UTS namespace.
        const NEWUTS = libc::CLONE_NEWUTS as u64;
        /// A new IPC namespace.
        const NEWIPC = libc::CLONE_NEWIPC as u64;
        /// A new user namespace.
        const NEWUSER = libc::CLONE_NEWUSER as u64;
        /// A new pid namespace.
        const NEWPID = libc::CLONE_NEWPID as u64;
        /// A new network namespace.
        const NEWNET = libc::CLONE_NEWNET as u64;
    }
}

/// What clone3(2) returned.
#[derive(Debug)]
pub enum Cloned {
    /// In the new process.
    Child,
    /// In the caller.
    Parent {
        /// The child in the caller's pid namespace.
        pid: Pid,
        /// A descriptor for it that no reuse of its number can fool.
        pidfd: OwnedFd,
    },
}

/// clone3(2) with `CLONE_PIDFD`, and `CLONE_INTO_CGROUP` where `cgroup` is given.
///
/// The child has a copy of the whole address space, as after fork(2): the caller must have one thread, or the
/// child can meet a lock that nobody will ever release.
///
/// # Errors
/// Those of clone3(2), and `EDEADLK` where the process has more than one thread.
pub fn clone(flags: CloneFlags, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    const INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: RawFd = -1;
    let mut args: libc::clone_args = libc::clone_args {
        flags: flags.bits() | libc::CLONE_PIDFD as u64,
        pidfd: &raw mut pidfd as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: if flags.contains(CloneFlags::PARENT) { 0 } else { libc::SIGCHLD as u64 },
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    if let Some(cgroup) = cgroup {
        args.flags |= INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM and with no stack given the child goes on in its own copy of this stack; `args` and
    // `pidfd` outlive the call.
    let ret = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    if ret == 0 {
        return Ok(Cloned::Child);
    }
    let pid = check(ret)?;
    let pid = Pid::from_raw(pid as i32).ok_or(io::ErrorKind::Other)?;
    // SAFETY: the kernel put a new descriptor here, which nobody else owns.
    Ok(Cloned::Parent { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
}

bitflags! {
    /// Namespaces to unshare from, or to join through a pidfd.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct NamespaceFlags: i32 {
        /// Mount.
        const MOUNT = libc::CLONE_NEWNS;
        /// Cgroup.
        const CGROUP = libc::CLONE_NEWCGROUP;
        /// UTS.
        const UTS = libc::CLONE_NEWUTS;
        /// IPC.
        const IPC = libc::CLONE_NEWIPC;
        /// User.
        const USER = libc::CLONE_NEWUSER;
        /// Pid, for children.
        const PID = libc::CLONE_NEWPID;
        /// Network.
        const NET = libc::CLONE_NEWNET;
        /// Time, for children.
        const TIME = 0x80;
    }
}

/// unshare(2). None of these flags separates threads' file tables.
///
/// # Errors
/// Those of unshare(2).
pub fn unshare(flags: NamespaceFlags) -> io::Result<()> {
    // SAFETY: takes no pointer; no flag here touches memory or descriptors.
    check(unsafe { libc::unshare(flags.bits()) }.into()).map(drop)
}

/// setns(2): joins the namespace that `fd` is (checked against `flags` unless they are empty), or those of the process
/// that the pidfd `fd` is.
///
/// # Errors
/// Those of setns(2).
pub fn setns(fd: BorrowedFd<'_>, flags: NamespaceFlags) -> io::Result<()> {
    // SAFETY: takes no pointer.
    check(unsafe { libc::setns(fd.as_raw_fd(), flags.bits()) }.into()).map(drop)
}

/// execve(2), relative to no directory. Returns only if it failed.
pub fn exec(path: &CStr, argv: &[impl AsRef<CStr>], env: &[impl AsRef<CStr>]) -> io::Error {
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end with null and point to C strings that the borrows keep alive.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// execveat(2) of the file that `file` is. Returns only if it failed.
pub fn exec_fd(file: BorrowedFd<'_>, argv: &[impl AsRef<CStr>], env: &[impl AsRef<CStr>]) -> io::Error {
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: as in `exec`; the path is a constant C string.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    io::Error::last_os_error()
}

fn pointers(strings: &[impl AsRef<CStr>]) -> Vec<*const c_char> {
    strings.iter().map(|s| s.as_ref().as_ptr()).chain([std::ptr::null()]).collect()
}

/// Closes all descriptors from number `first` on but those in `keep`. What else a Rust value owns must not be used any
/// more: this is for a process that goes on with `keep` alone, up to its exec or exit.
///
/// # Errors
/// Those of close_range(2).
pub fn close_from_but(first: u32, keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut keep: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd().unsigned_abs()).collect();
    keep.sort_unstable();
    let mut from = first;
    for kept in keep.into_iter().filter(|kept| *kept >= first) {
        if from < kept {
            close_range(from, kept - 1)?;
        }
        from = kept + 1;
    }
    close_range(from, u32::MAX)
}

fn close_range(from: u32, to: u32) -> io::Result<()> {
    // SAFETY: touches no memory; that no owner goes on to use what is closed is the promise of the only caller's caller.
    check(unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) }).map(drop)
}

/// Takes ownership of descriptor `fd`, which the process inherited and which this program opened nowhere.
///
/// # Errors
/// `EBADF` where there is no such descriptor.
pub fn adopt_inherited(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD touches no memory.
    check(unsafe { libc::fcntl(fd, libc::F_GETFD) }.into())?;
    // SAFETY: it is open, and by the caller's promise nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether descriptor `fd` is open.
pub fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD touches no memory.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

/// Joins a new session keyring of that name (keyctl(2), `KEYCTL_JOIN_SESSION_KEYRING`) and gives its serial number.
///
/// # Errors
/// Those of keyctl(2); `ENOSYS` where the kernel has no keys.
pub fn join_session_keyring(name: &CStr) -> io::Result<i32> {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: `name` is a C string that outlives the call.
    check(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) }).map(|id| id as i32)
}

/// Adds rights for the *user* of a key to those that it has (runc does so, so that the container's root can search it).
///
/// # Errors
/// Those of keyctl(2).
pub fn allow_user_on_key(key: i32) -> io::Result<()> {
    const SETPERM: libc::c_long = 5;
    const POSSESSOR_ALL_USER_VIEW_READ_SEARCH: libc::c_long = 0x3f0b_0000;
    // SAFETY: takes no pointer.
    check(unsafe { libc::syscall(libc::SYS_keyctl, SETPERM, key, POSSESSOR_ALL_USER_VIEW_READ_SEARCH) })
        .map(drop)
}

/// personality(2): gives the previous one.
///
/// # Errors
/// Those of personality(2).
pub fn personality(persona: u32) -> io::Result<u32> {
    // SAFETY: takes no pointer.
    check(unsafe { libc::personality(persona.into()) }.into()).map(|old| old as u32)
}

/// A limit's soft and hard value, for the caller or another process (`u64::MAX` is unlimited).
///
/// # Errors
/// Those of prlimit(2).
pub fn rlimit(pid: Option<Pid>, resource: u32) -> io::Result<(u64, u64)> {
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let (pid, none) = (Pid::as_raw(pid), std::ptr::null::<libc::rlimit64>());
    // SAFETY: `old` outlives the call, no new value is given.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, none, &raw mut old) })?;
    Ok((old.rlim_cur, old.rlim_max))
}

/// Sets a limit, for the caller or another process.
///
/// # Errors
/// Those of prlimit(2).
pub fn set_rlimit(pid: Option<Pid>, resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let new = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let (pid, none) = (Pid::as_raw(pid), std::ptr::null_mut::<libc::rlimit64>());
    // SAFETY: `new` outlives the call, no old value is asked for.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, &raw const new, none) }).map(drop)
}

/// The signals that a process blocks, all cleared: what a container's program expects, whatever our caller blocked.
///
/// # Errors
/// Those of sigprocmask(2).
pub fn reset_signals() -> io::Result<()> {
    // SAFETY: an all-zero sigset_t is the empty set; sigaction with SIG_DFL installs no handler. SIGKILL, SIGSTOP and
    // the two that glibc keeps for itself refuse, which changes nothing.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        for signal in [libc::SIGPIPE, libc::SIGCHLD, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM]
        {
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()).into()).map(drop)
    }
}

/// Lets SIGTERM, SIGINT and SIGHUP end the caller until it executes a program. The first process of a pid namespace
/// gets a signal only where it has a handler for it (pid_namespaces(7)); the default action alone is none for it.
pub fn end_on_termination() {
    extern "C" fn end(signal: libc::c_int) {
        // SAFETY: _exit is async-signal-safe.
        unsafe { libc::_exit(128 + signal) }
    }
    // SAFETY: the handler calls nothing that is not async-signal-safe; all-zero is a valid sigaction.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = end as *const () as usize;
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}

/// Blocks every signal in the caller and gives a signalfd(2) that reads them.
///
/// # Errors
/// Those of sigprocmask(2) and signalfd(2).
pub fn all_signals_as_fd() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigfillset before use; the descriptor is new.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT, libc::SIGTRAP] {
            libc::sigdelset(&raw mut all, fault);
        }
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut()).into())?;
        let fd = check(libc::signalfd(-1, &raw const all, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK).into())?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// The next signal that waits in a descriptor of [`all_signals_as_fd`].
///
/// # Errors
/// `EAGAIN` where none waits.
pub fn next_signal(fd: BorrowedFd<'_>) -> io::Result<i32> {
    let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
    let n = rustix::io::read(fd, &mut info)?;
    if n < info.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(i32::from_ne_bytes([info[0], info[1], info[2], info[3]]))
}

/// Sends any signal number, real-time ones included, to the process of a pidfd.
///
/// # Errors
/// Those of pidfd_send_signal(2).
pub fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: a null siginfo makes the kernel fill it in as kill(2) does.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
    .map(drop)
}

/// _exit(2): ends the process without running anything that was registered for its end, which belongs to the process
/// that this one was cloned from.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: never returns and touches no memory.
    unsafe { libc::_exit(code) }
}

/// What a child took until its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Its wait status, as in wait(2).
    pub status: i32,
    /// CPU time in user space and in the kernel, of it and of those children that it waited for.
    pub cpu: std::time::Duration,
    /// The most memory that it, or one of those children, ever had resident, in bytes.
    pub peak_memory: u64,
}

/// Waits for a child and gives what it took (wait4(2)).
///
/// # Errors
/// Those of wait4(2).
pub fn wait_for_spent(pid: Pid) -> io::Result<Spent> {
    let mut status = 0;
    // SAFETY: all-zero is a valid rusage, which the call fills in.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        check(libc::wait4(pid.as_raw_nonzero().get(), &raw mut status, 0, &raw mut usage).into())?;
        usage
    };
    let time = |time: libc::timeval| {
        std::time::Duration::from_secs(time.tv_sec as u64)
            + std::time::Duration::from_micros(time.tv_usec as u64)
    };
    let cpu = time(usage.ru_utime) + time(usage.ru_stime);
    Ok(Spent { status, cpu, peak_memory: usage.ru_maxrss as u64 * 1024 })
}

/// Waits for a child and gives the most memory that it ever had resident, in bytes.
///
/// # Errors
/// Those of wait4(2).
pub fn wait_for_peak_memory(pid: Pid) -> io::Result<u64> {
    Ok(wait_for_spent(pid)?.peak_memory)
}

/// The user and system time of all children that were waited for, with that of theirs (getrusage(2)).
///
/// # Errors
/// Those of getrusage(2).
pub fn cpu_time_of_children() -> io::Result<std::time::Duration> {
    let of = |time: libc::timeval| std::time::Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    // SAFETY: all-zero is a valid rusage, which the call fills in.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        check(libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage).into())?;
        Ok(of(usage.ru_utime) + of(usage.ru_stime))
    }
}

/// Whether this process' user namespace is not the host's, whose map takes every id for itself (user_namespaces(7)). Who can't
/// read its map is treated as in one: it is given less.
pub fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

/// The start time of a process in clock ticks since boot; none where it is gone or a zombie (proc_pid_stat(5), fields 3
/// and 22). A number together with it is trusted to mean the same process.
///
/// # Errors
/// Where it can't be read for another reason: nobody may be taken for dead because descriptors ran out.
pub fn start_time(pid: i32) -> io::Result<Option<u64>> {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => Ok(start_time_in(&stat)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn start_time_in(stat: &str) -> Option<u64> {
    // The name in parentheses may hold anything, also a parenthesis.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    match fields.next()? {
        "Z" | "X" | "x" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::{start_time, start_time_in};

    #[test]
    fn ones_own_start_time_is_known_and_nobodys_is_not() {
        let own = std::process::id() as i32;
        let time = start_time(own).unwrap();
        assert!(time.is_some_and(|time| time > 0));
        assert_eq!(start_time(own).unwrap(), time);
        assert_eq!(start_time(0).unwrap(), None);
    }

    #[test]
    fn a_name_in_parentheses_hides_nothing_and_a_zombie_is_gone() {
        let fields = (4..22).map(|field| field.to_string()).collect::<Vec<_>>().join(" ");
        let stat = |state: &str| format!("7 (a) b) {state} {fields} 4711 0");
        assert_eq!(start_time_in(&stat("S")), Some(4711));
        assert_eq!(start_time_in(&stat("Z")), None);
        assert_eq!(start_time_in(""), None);
    }
}
