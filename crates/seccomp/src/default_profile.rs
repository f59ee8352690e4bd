//! The profile that Docker gives a container when it is told nothing else.

use oci::spec::seccomp::{Seccomp, SeccompAction, SeccompArg, SeccompOp, SeccompRule};

use crate::architecture::Architecture;

/// Calls that every container may make.
const ALWAYS: &str = "
    _llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod
    chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
    eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate
    fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr
    flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate
    ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat get_robust_list
    get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32
    getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom
    getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid
    gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
    inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit
    ioctl ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self
    lchown lchown32 lgetxattr link linkat listen listmount listxattr listxattrat llistxattr lremovexattr
    lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir
    mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open
    mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl
    msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat open openat
    openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll
    ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev
    pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv
    recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat
    renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
    sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
    sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop
    semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area
    set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer
    setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32
    setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown
    sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs
    statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time
    timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
    timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate
    truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork
    vmsplice wait4 waitid waitpid write writev";

/// Calls that a capability unlocks.
const BY_CAPABILITY: [(&str, &str); 14] = [
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        SYS_ADMIN,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module finit_module init_module"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    ("CAP_SYS_RAWIO", "ioperm iopl"),
    ("CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
];

const SYS_ADMIN: &str = "CAP_SYS_ADMIN";

/// The personalities that a program may take on: Linux, BSD, the same with UNAME26, and the question which it
/// is.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Every `CLONE_NEW…` that clone(2) takes, but for time namespaces.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;

/// Address families that a container may use, as masks and values: all (0 to 45) but `AF_ALG` (38), which
/// reaches much of the kernel's crypto code, and `AF_VSOCK` (40), which leads out of the network namespace.
///
/// The kernel only looks at the low half of the number. Docker compares the whole with "greater than 40",
/// which lets `1 << 32 | AF_VSOCK` through; masks of the low half do not.
const FAMILIES: [(u64, u64); 7] = [(!31, 0), (!3, 32), (!1, 36), (!0, 39), (!0, 41), (!1, 42), (!3, 44)];

/// The profile for a container with the capabilities that `has_capability` knows (`CAP_SYS_ADMIN`).
pub fn default_profile(host: Architecture, has_capability: impl Fn(&str) -> bool) -> Seccomp {
    let mut syscalls = vec![allow(ALWAYS), allow(by_architecture(host))];
    syscalls.extend(FAMILIES.map(|(mask, family)| {
        let mask = mask & u64::from(u32::MAX);
        allow_where(
            "socket",
            SeccompArg { index: 0, value: mask, value_two: family, op: SeccompOp::MaskedEq },
        )
    }));
    syscalls.extend(PERSONALITIES.map(|personality| {
        allow_where(
            "personality",
            SeccompArg { index: 0, value: personality, value_two: 0, op: SeccompOp::Eq },
        )
    }));
    for (_, names) in BY_CAPABILITY.iter().filter(|(capability, _)| has_capability(capability)) {
        syscalls.push(allow(names));
    }
    if !has_capability(SYS_ADMIN) {
        syscalls.extend(without_namespaces(host));
    }
    Seccomp {
        default_action: SeccompAction::Errno,
        default_errno_ret: Some(libc::EPERM as u32),
        architectures: covered(host).iter().map(|architecture| architecture.name().to_owned()).collect(),
        flags: None,
        listener_path: None,
        listener_metadata: None,
        syscalls,
    }
}

/// The same for a container in which an engine makes containers of its own. It makes mounts by CAP_SYS_ADMIN's rule; what
/// that one lacks is entering a root. keyctl(2) and the like stay refused: keyrings are no namespace's.
pub fn nested_profile(host: Architecture, has_capability: impl Fn(&str) -> bool) -> Seccomp {
    let mut profile = default_profile(host, has_capability);
    profile.syscalls.push(allow("pivot_root"));
    profile
}

/// The host's ABI and those that its kernel runs beside it.
const fn covered(host: Architecture) -> &'static [Architecture] {
    use Architecture::{
        Aarch64, Arm, Loongarch64, Mips, Mips64, Mips64N32, MipsEl, MipsEl64, MipsEl64N32, Riscv64, S390,
        S390X, X32, X86, X86_64,
    };
    match host {
        X86_64 => &[X86_64, X86, X32],
        Aarch64 => &[Aarch64, Arm],
        Mips64 => &[Mips64, Mips, Mips64N32],
        Mips64N32 => &[Mips64N32, Mips, Mips64],
        MipsEl64 => &[MipsEl64, MipsEl, MipsEl64N32],
        MipsEl64N32 => &[MipsEl64N32, MipsEl, MipsEl64],
        S390X => &[S390X, S390],
        Riscv64 => &[Riscv64],
        Loongarch64 => &[Loongarch64],
        _ => &[],
    }
}

/// Calls of one architecture.
const fn by_architecture(host: Architecture) -> &'static str {
    match host {
        Architecture::X86_64 | Architecture::X32 => "arch_prctl modify_ldt",
        Architecture::X86 => "modify_ldt",
        Architecture::Arm | Architecture::Aarch64 => {
            "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2"
        }
        Architecture::Ppc64Le => "swapcontext sync_file_range2",
        Architecture::S390 | Architecture::S390X => {
            "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr"
        }
        Architecture::Riscv64 => "riscv_flush_icache",
        _ => "",
    }
}

/// Processes but no namespaces. The flags of clone3(2) lie in memory, out of a filter's sight: it does as if it
/// did not exist, so that programs fall back to clone(2).
fn without_namespaces(host: Architecture) -> [SeccompRule; 2] {
    let index = if matches!(host, Architecture::S390 | Architecture::S390X) { 1 } else { 0 };
    let flags = SeccompArg { index, value: NAMESPACE_FLAGS, value_two: 0, op: SeccompOp::MaskedEq };
    let clone3 = SeccompRule {
        names: vec!["clone3".into()],
        action: SeccompAction::Errno,
        errno_ret: Some(libc::ENOSYS as u32),
        args: Vec::new(),
    };
    [allow_where("clone", flags), clone3]
}

fn allow(names: &str) -> SeccompRule {
    SeccompRule {
        names: names.split_ascii_whitespace().map(str::to_owned).collect(),
        action: SeccompAction::Allow,
        errno_ret: None,
        args: Vec::new(),
    }
}

fn allow_where(name: &str, arg: SeccompArg) -> SeccompRule {
    SeccompRule { args: vec![arg], ..allow(name) }
}
