//! What each capability is for; capabilities(7) in short.

use capability::Capability;
use serde::Serialize;

/// A capability explained.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Explanation {
    pub name: &'static str,
    pub number: u8,
    /// What it allows.
    pub allows: &'static str,
    /// The system calls, requests and files that ask for it.
    pub needed_by: &'static [&'static str],
    /// What whoever has it can do to the host, if that is a lot.
    pub danger: Option<&'static str>,
    /// Whether containers have it unless it is dropped.
    pub default_in_containers: bool,
}

/// The capabilities of a container that nobody asked to change: Docker's default.
const DEFAULT: &[Capability] = &[
    Capability::CHOWN,
    Capability::DAC_OVERRIDE,
    Capability::FOWNER,
    Capability::FSETID,
    Capability::KILL,
    Capability::SETGID,
    Capability::SETUID,
    Capability::SETPCAP,
    Capability::NET_BIND_SERVICE,
    Capability::NET_RAW,
    Capability::SYS_CHROOT,
    Capability::MKNOD,
    Capability::AUDIT_WRITE,
    Capability::SETFCAP,
];

impl Explanation {
    /// The explanation of a capability; none for one without a name.
    pub fn of(capability: Capability) -> Option<Self> {
        let (allows, needed_by, danger) = *ENTRIES.get(usize::from(capability.number()))?;
        Some(Self {
            name: capability.name()?,
            number: capability.number(),
            allows,
            needed_by,
            danger: (!danger.is_empty()).then_some(danger),
            default_in_containers: DEFAULT.contains(&capability),
        })
    }

    /// As text.
    pub fn text(&self) -> String {
        let bare = self.name.trim_start_matches("CAP_");
        let flag = if self.default_in_containers {
            format!("containers have it; --cap-drop={bare} takes it away")
        } else {
            format!("--cap-add={bare} gives it to a container")
        };
        let danger = self.danger.map_or_else(String::new, |danger| format!("danger     {danger}\n"));
        format!(
            "{} ({})\nallows     {}\nneeded by  {}\n{danger}flag       {flag}\n",
            self.name,
            self.number,
            self.allows,
            self.needed_by.join(", "),
        )
    }
}

type Entry = (&'static str, &'static [&'static str], &'static str);

/// By number: what it allows, what needs it, the danger.
const ENTRIES: &[Entry] = &[
    (
        "change the owner and group of any file",
        &["chown", "fchown", "lchown", "fchownat"],
        "take over any file that it can see",
    ),
    (
        "read, write and execute files whatever their permissions",
        &["open", "openat", "mkdir", "unlink", "rename", "execve"],
        "read and write any file that it can see",
    ),
    (
        "read files and search directories whatever their permissions",
        &["open for reading", "readdir", "open_by_handle_at", "linkat with AT_EMPTY_PATH"],
        "open any file of a file system by its handle, also outside of a container (the Shocker exploit)",
    ),
    (
        "do what only a file's owner may",
        &["chmod", "utimensat", "fcntl O_NOATIME", "setxattr", "unlink in sticky directories"],
        "",
    ),
    ("keep the set-user-id and set-group-id bits when a file is changed", &["chmod", "write"], ""),
    ("send signals to processes of other users", &["kill", "tgkill", "pidfd_send_signal"], ""),
    (
        "change groups, and map groups in a user namespace",
        &["setgid", "setgroups", "setresgid", "write to gid_map"],
        "become any group",
    ),
    (
        "change users, and map users in a user namespace",
        &["setuid", "setresuid", "write to uid_map"],
        "become any user",
    ),
    (
        "drop from the bounding set, add to the inheritable set, change securebits",
        &["prctl PR_CAPBSET_DROP", "prctl PR_SET_SECUREBITS", "capset"],
        "",
    ),
    ("change the immutable and append-only flags of files", &["ioctl FS_IOC_SETFLAGS"], ""),
    ("bind to ports below net.ipv4.ip_unprivileged_port_start (1024)", &["bind"], ""),
    ("send broadcasts and listen to multicasts; unused by Linux", &["none"], ""),
    (
        "configure the network: links, addresses, routes, firewall, traffic control",
        &[
            "netlink NETLINK_ROUTE and NETLINK_NETFILTER",
            "ioctl SIOCSIF…",
            "setsockopt SO_MARK",
            "write to /proc/sys/net",
        ],
        "redirect the traffic of its network namespace; with --network host, of the host",
    ),
    (
        "use raw and packet sockets",
        &["socket SOCK_RAW", "socket AF_PACKET", "bind to any address"],
        "forge packets on its network",
    ),
    (
        "lock memory beyond RLIMIT_MEMLOCK",
        &["mlock", "mlockall", "mmap MAP_LOCKED", "shmctl SHM_LOCK", "memfd_secret"],
        "",
    ),
    ("use System V IPC objects of others", &["msgget", "semop", "shmat"], ""),
    (
        "load and unload kernel modules",
        &["init_module", "finit_module", "delete_module"],
        "run any code in the kernel",
    ),
    (
        "access hardware directly",
        &["iopl", "ioperm", "open /dev/mem and /dev/port", "ioctl SG_IO on some devices"],
        "read and write all memory",
    ),
    ("change the root directory and the mount namespace", &["chroot", "setns to a mount namespace"], ""),
    (
        "trace and inspect any process",
        &["ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "read /proc/PID/mem"],
        "with --pid host, take over any process of the host",
    ),
    ("switch process accounting", &["acct"], ""),
    (
        "administer the system: mounts, namespaces, quotas, swap, host name, many devices",
        &[
            "mount",
            "umount",
            "pivot_root",
            "setns",
            "unshare",
            "sethostname",
            "swapon",
            "quotactl",
            "bpf",
            "fsopen",
            "keyctl",
            "many ioctls",
        ],
        "practically root: mounting the host's disks is one call away",
    ),
    (
        "restart the machine and load another kernel",
        &["reboot", "kexec_load", "kexec_file_load"],
        "run another kernel",
    ),
    (
        "raise priorities and choose processors for others",
        &[
            "nice",
            "setpriority",
            "sched_setscheduler",
            "sched_setaffinity",
            "ioprio_set",
            "migrate_pages",
            "set_mempolicy",
        ],
        "",
    ),
    (
        "go beyond limits of resources",
        &[
            "setrlimit",
            "prlimit",
            "ioctl on reserved blocks",
            "write to oom_score_adj below its start",
            "fcntl F_SETPIPE_SZ",
        ],
        "use up the host's disks, memory and processes",
    ),
    (
        "set the clock",
        &["settimeofday", "clock_settime", "adjtimex", "write to timens_offsets"],
        "time is not isolated: the host's clock changes",
    ),
    (
        "configure terminals",
        &["vhangup", "ioctl TIOCSTI on others' terminals", "virtual terminal ioctls"],
        "",
    ),
    ("make device files", &["mknod", "mknodat"], ""),
    ("take leases on files of others", &["fcntl F_SETLEASE"], ""),
    ("write to the audit log", &["netlink AUDIT_USER"], ""),
    ("configure auditing", &["netlink AUDIT_SET", "netlink AUDIT_ADD_RULE"], "switch off the host's audit"),
    (
        "give files capabilities, and map root in user namespaces",
        &["setxattr security.capability", "write to uid_map that maps id 0 of the parent"],
        "",
    ),
    ("override mandatory access control (Smack)", &["Smack only"], "switch off the security module"),
    ("configure mandatory access control", &["Smack, AppArmor"], "switch off the security module"),
    ("read and clear the kernel's log, see kernel addresses", &["syslog", "read /proc/kallsyms"], ""),
    (
        "set timers that wake the system",
        &["timer_create CLOCK_BOOTTIME_ALARM", "timerfd_create CLOCK_REALTIME_ALARM"],
        "",
    ),
    ("keep the system from suspending", &["epoll_ctl EPOLLWAKEUP", "write to /proc/sys/wake_lock"], ""),
    ("read the audit log", &["netlink NETLINK_AUDIT multicast"], ""),
    (
        "watch performance of all processes",
        &["perf_event_open", "bpf for tracing"],
        "read secrets of other processes by side effects",
    ),
    ("load BPF programs", &["bpf"], "with CAP_PERFMON, read kernel memory"),
    (
        "checkpoint and restore processes",
        &[
            "clone3 with set_tid",
            "write to ns_last_pid",
            "prctl PR_SET_MM_EXE_FILE",
            "read /proc/PID/map_files",
        ],
        "",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capability_is_explained() {
        assert_eq!(ENTRIES.len(), Capability::ALL.len());
        for &capability in Capability::ALL {
            let text = Explanation::of(capability).unwrap().text();
            assert!(text.contains(capability.name().unwrap()), "{text}");
        }
        assert!(Explanation::of(Capability::from_number(41).unwrap()).is_none());
    }

    #[test]
    fn the_entry_is_the_capabilitys_own() {
        let entry = |capability| Explanation::of(capability).unwrap();
        assert!(entry(Capability::SYS_ADMIN).needed_by.contains(&"mount"));
        assert!(entry(Capability::SYS_CHROOT).needed_by.contains(&"chroot"));
        assert!(entry(Capability::BPF).needed_by.contains(&"bpf"));
        assert!(entry(Capability::MKNOD).default_in_containers);
        assert!(!entry(Capability::NET_ADMIN).default_in_containers);
    }
}
