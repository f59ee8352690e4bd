//! Which capabilities the kernel asks for in a call, by the rules of capabilities(7) and of the kernel's sources.
//!
//! Asked at the call's entry, or after it failed: then what it would change is as it was.

use std::path::Path;

use capability::{CapSet, Capability};
use rustix::process::Pid;

use crate::access;
use crate::call::{Call, Place};
use crate::status::{Map, Status};
use crate::view::{File, View};

const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | 0x80) as u64;

/// The process, with what decides about it.
#[derive(Debug)]
pub struct Caller<'a> {
    /// Its thread.
    pub tid: Pid,
    /// Its files and memory.
    pub view: View,
    /// What it may do.
    pub status: &'a Status,
    /// The first port that needs no capability.
    pub first_free_port: u16,
}

impl Caller<'_> {
    /// The capabilities without which the call is refused; empty where it needs none.
    pub fn needs(&self, call: &Call) -> CapSet {
        let mut needs = self.by_call(call);
        if access::is_checked(call) {
            needs = needs | self.by_access(call);
        }
        needs
    }

    fn by_access(&self, call: &Call) -> CapSet {
        let refusals =
            call.places().iter().filter_map(|place| access::refusal(self.view, self.status, call, *place));
        refusals.map(|refusal| refusal.capability(self.status.effective)).collect()
    }

    fn by_call(&self, call: &Call) -> CapSet {
        let [first, second, third, ..] = call.arguments;
        let always = |capability: Capability| CapSet::from(capability);
        let when = |holds: bool, capability| if holds { always(capability) } else { CapSet::EMPTY };
        match call.name {
            "chown" | "lchown" => self.chown(call, call.arguments[1], call.arguments[2]),
            "fchown" => self.chown(call, second, third),
            "fchownat" => self.chown(call, third, call.arguments[3]),
            "chmod" | "fchmod" | "fchmodat" | "fchmodat2" => self.chmod(call),
            "utime" | "utimes" | "futimesat" | "utimensat" => self.set_times(call),
            "unlink" | "rmdir" | "unlinkat" | "rename" | "renameat" | "renameat2" => self.leave_sticky(call),
            "setxattr" | "lsetxattr" | "fsetxattr" | "removexattr" | "lremovexattr" | "fremovexattr" => {
                self.set_attribute(second)
            }
            "mknod" | "mknodat" => {
                let mode = if call.name == "mknod" { second } else { third } as u32 & libc::S_IFMT;
                when(mode == libc::S_IFCHR || mode == libc::S_IFBLK, Capability::MKNOD)
            }
            "open" | "openat" | "openat2" => self.open(call),
            "setuid" | "setreuid" | "setresuid" | "setfsuid" => {
                when(self.changes_ids(call, "uid_map", &self.status.uids), Capability::SETUID)
            }
            "setgid" | "setregid" | "setresgid" | "setfsgid" => {
                when(self.changes_ids(call, "gid_map", &self.status.gids), Capability::SETGID)
            }
            "setgroups" => always(Capability::SETGID),
            "prctl" => when(
                matches!(call.int(0), libc::PR_CAPBSET_DROP | libc::PR_SET_SECUREBITS),
                Capability::SETPCAP,
            ),
            "kill" | "tkill" | "rt_sigqueueinfo" | "pidfd_send_signal" => {
                when(self.other_user(first), Capability::KILL)
            }
            "tgkill" => when(self.other_user(second), Capability::KILL),
            "bind" => when(self.is_low_port(second, third), Capability::NET_BIND_SERVICE),
            "socket" => when(is_raw_socket(call), Capability::NET_RAW),
            "setsockopt" => socket_option(call).map_or(CapSet::EMPTY, always),
            "ioctl" => request(second).map_or(CapSet::EMPTY, always),
            "mount" | "umount" | "umount2" | "pivot_root" | "fsopen" | "fspick" | "move_mount"
            | "mount_setattr" | "swapon" | "swapoff" | "sethostname" | "setdomainname" | "quotactl"
            | "quotactl_fd" | "lookup_dcookie" | "fanotify_init" | "setns" => always(Capability::SYS_ADMIN),
            "open_tree" => when(third & 1 != 0, Capability::SYS_ADMIN),
            "unshare" => when(new_namespaces(first), Capability::SYS_ADMIN),
            "clone" => when(new_namespaces(first & !0xff), Capability::SYS_ADMIN),
            "clone3" => when(self.view.word(first).is_some_and(new_namespaces), Capability::SYS_ADMIN),
            "seccomp" => when(first != 2 && !self.status.no_new_privileges, Capability::SYS_ADMIN),
            "chroot" => always(Capability::SYS_CHROOT),
            "settimeofday" | "clock_settime" | "stime" => always(Capability::SYS_TIME),
            "adjtimex" => when(self.adjusts_clock(first), Capability::SYS_TIME),
            "clock_adjtime" => when(self.adjusts_clock(second), Capability::SYS_TIME),
            "timerfd_create" | "timer_create" => when(first == 8 || first == 9, Capability::WAKE_ALARM),
            "reboot" | "kexec_load" | "kexec_file_load" => always(Capability::SYS_BOOT),
            "init_module" | "finit_module" | "delete_module" => always(Capability::SYS_MODULE),
            "iopl" => when(first > 0, Capability::SYS_RAWIO),
            "ioperm" => when(third != 0, Capability::SYS_RAWIO),
            "acct" => always(Capability::SYS_PACCT),
            "vhangup" => always(Capability::SYS_TTY_CONFIG),
            "syslog" => when(!matches!(first, 3 | 10) || self.hides_kernel_log(), Capability::SYSLOG),
            "bpf" => always(Capability::BPF),
            "perf_event_open" => always(Capability::PERFMON),
            "open_by_handle_at" => always(Capability::DAC_READ_SEARCH),
            "ptrace" => when(matches!(first, 16 | 0x4206) && self.other_user(second), Capability::SYS_PTRACE),
            "process_vm_readv" | "process_vm_writev" | "kcmp" => {
                when(self.other_user(first), Capability::SYS_PTRACE)
            }
            "nice" => when(call.int(0) < 0, Capability::SYS_NICE),
            "setpriority" => when(self.raises_priority(call), Capability::SYS_NICE),
            "sched_setscheduler" => when(matches!(second & 0xff, 1 | 2), Capability::SYS_NICE),
            "ioprio_set" => when(third >> 13 == 1, Capability::SYS_NICE),
            "setrlimit" => when(self.raises_limit(first, second), Capability::SYS_RESOURCE),
            "prlimit64" => when(third != 0 && self.raises_limit(second, third), Capability::SYS_RESOURCE),
            "fcntl" => when(second == 1024 && third != 2 && self.is_others(call), Capability::LEASE),
            "execve" | "execveat" => self.file_capabilities(call),
            _ => CapSet::EMPTY,
        }
    }

    fn file(&self, call: &Call) -> Option<File> {
        let follow = match call.name {
            "lchown" | "lsetxattr" | "lremovexattr" => false,
            "fchownat" => call.arguments[4] & libc::AT_SYMLINK_NOFOLLOW as u64 == 0,
            "utimensat" => call.arguments[3] & libc::AT_SYMLINK_NOFOLLOW as u64 == 0,
            _ => true,
        };
        let place = *call.places().first()?;
        if call.name == "fchownat" && call.arguments[4] & libc::AT_EMPTY_PATH as u64 != 0 {
            return self.view.open_descriptor(call.int(0)).ok();
        }
        // A null path means the descriptor itself.
        let place = match place.path {
            Some(path) if call.arguments[path] == 0 => Place { path: None, ..place },
            _ => place,
        };
        self.view.file(call, place, follow)
    }

    fn is_others(&self, call: &Call) -> bool {
        self.file(call).is_some_and(|file| file.stat.st_uid != self.status.fs_uid())
    }

    /// The owner may give a file to a group of his, or leave it as it is.
    fn chown(&self, call: &Call, uid: u64, gid: u64) -> CapSet {
        let Some(file) = self.file(call) else { return CapSet::EMPTY };
        let outside = |map, id: u64| Map::read(self.tid, map).outside(id as u32);
        let owns = file.stat.st_uid == self.status.fs_uid();
        let user =
            outside("uid_map", uid).is_none_or(|uid| uid == u32::MAX || (owns && uid == file.stat.st_uid));
        let group = outside("gid_map", gid).is_none_or(|gid| {
            gid == u32::MAX || (owns && (gid == file.stat.st_gid || self.status.is_in(gid)))
        });
        if user && group { CapSet::EMPTY } else { Capability::CHOWN.into() }
    }

    fn chmod(&self, call: &Call) -> CapSet {
        let Some(file) = self.file(call) else { return CapSet::EMPTY };
        let mode =
            if matches!(call.name, "chmod" | "fchmod") { call.arguments[1] } else { call.arguments[2] };
        let mut needs = CapSet::EMPTY;
        if file.stat.st_uid != self.status.fs_uid() {
            needs.insert(Capability::FOWNER);
        }
        if mode as u32 & libc::S_ISGID != 0 && !self.status.is_in(file.stat.st_gid) {
            needs.insert(Capability::FSETID);
        }
        needs
    }

    /// Whoever may write a file may say that it was written now.
    fn set_times(&self, call: &Call) -> CapSet {
        let times = if call.name == "utimensat" || call.name == "futimesat" { 2 } else { 1 };
        let given = call.arguments[times] != 0;
        if given && self.is_others(call) { Capability::FOWNER.into() } else { CapSet::EMPTY }
    }

    /// From a sticky directory only the owner of the file or of the directory may take it.
    fn leave_sticky(&self, call: &Call) -> CapSet {
        let Some(path) = call.places().first().and_then(|place| self.view.path(call, *place)) else {
            return CapSet::EMPTY;
        };
        let own = self.status.fs_uid();
        let above = path.parent().and_then(|parent| self.view.open(parent, true).ok());
        let sticky =
            above.is_some_and(|above| above.stat.st_mode & libc::S_ISVTX != 0 && above.stat.st_uid != own);
        let others = sticky && self.view.open(&path, false).is_ok_and(|file| file.stat.st_uid != own);
        if others { Capability::FOWNER.into() } else { CapSet::EMPTY }
    }

    fn set_attribute(&self, name: u64) -> CapSet {
        match self.view.string(name).unwrap_or_default().as_slice() {
            b"security.capability" => Capability::SETFCAP.into(),
            name if name.starts_with(b"trusted.") || name.starts_with(b"security.") => {
                Capability::SYS_ADMIN.into()
            }
            _ => CapSet::EMPTY,
        }
    }

    fn open(&self, call: &Call) -> CapSet {
        let Some(flags) = access::open_flags(self.view, call) else { return CapSet::EMPTY };
        let Some(path) = call.places().first().and_then(|place| self.view.path(call, *place)) else {
            return CapSet::EMPTY;
        };
        let mut needs = CapSet::EMPTY;
        if flags & libc::O_NOATIME != 0 && self.is_others(call) {
            needs.insert(Capability::FOWNER);
        }
        if let Some(other) = memory_of(&path).filter(|pid| self.other_user(u64::from(*pid))) {
            debug_assert!(other > 0);
            needs.insert(Capability::SYS_PTRACE);
        }
        needs
    }

    fn changes_ids(&self, call: &Call, map: &str, own: &[u32; 4]) -> bool {
        let map = Map::read(self.tid, map);
        let count = match call.name {
            "setresuid" | "setresgid" => 3,
            "setreuid" | "setregid" => 2,
            _ => 1,
        };
        let new = call.arguments[..count].iter().filter_map(|id| map.outside(*id as u32));
        let mut new = new.filter(|id| *id != u32::MAX);
        new.any(|id| !own[..3].contains(&id))
    }

    /// Whether a process (by its number in the caller's pid namespace) is another user's.
    fn other_user(&self, pid: u64) -> bool {
        let pid = pid as i32;
        if pid <= 0 {
            return false;
        }
        let namespace = std::fs::read_link(format!("/proc/{}/ns/pid", self.tid.as_raw_pid())).ok();
        let own = &self.status.uids;
        let is_it = |status: &Status, tid: Pid| {
            status.pid == pid
                && std::fs::read_link(format!("/proc/{}/ns/pid", tid.as_raw_pid())).ok() == namespace
        };
        processes()
            .filter_map(|tid| Some((tid, Status::read(tid)?)))
            .find(|(tid, status)| is_it(status, *tid))
            .is_some_and(|(_, other)| {
                ![own[0], own[1]].iter().any(|uid| *uid == other.uids[0] || *uid == other.uids[2])
            })
    }

    fn is_low_port(&self, address: u64, length: u64) -> bool {
        let bytes = self.view.memory(address, (length as usize).min(28));
        let [a, b, high, low, ..] = bytes[..] else { return false };
        let family = i32::from(u16::from_ne_bytes([a, b]));
        let port = u16::from_be_bytes([high, low]);
        matches!(family, libc::AF_INET | libc::AF_INET6) && port != 0 && port < self.first_free_port
    }

    fn adjusts_clock(&self, timex: u64) -> bool {
        self.view.memory(timex, 4).iter().any(|byte| *byte != 0)
    }

    fn hides_kernel_log(&self) -> bool {
        std::fs::read("/proc/sys/kernel/dmesg_restrict").is_ok_and(|text| text.starts_with(b"1"))
    }

    fn raises_priority(&self, call: &Call) -> bool {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.tid.as_raw_pid())).unwrap_or_default();
        let after = stat.rsplit(") ").next().unwrap_or_default();
        let now: i32 = after.split(' ').nth(16).and_then(|nice| nice.parse().ok()).unwrap_or(0);
        call.int(0) == 0 && call.int(2) < now
    }

    /// Whether the new hard limit is above the old one.
    fn raises_limit(&self, resource: u64, new: u64) -> bool {
        let Ok((_, hard)) = sys::process::rlimit(Some(self.tid), resource as u32) else { return false };
        self.view.word(new + 8).is_some_and(|new| new > hard)
    }

    /// A program with file capabilities that are effective at once is refused where the bounding set lacks one.
    fn file_capabilities(&self, call: &Call) -> CapSet {
        let Some(file) = self.file(call) else { return CapSet::EMPTY };
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file.fd));
        let mut bytes = [0; 24];
        let Ok(length) = rustix::fs::getxattr(path, "security.capability", &mut bytes) else {
            return CapSet::EMPTY;
        };
        let known = capability::FileCapabilities::decode(&bytes[..length]);
        known.map_or(CapSet::EMPTY, |known| if known.effective { known.permitted } else { CapSet::EMPTY })
    }
}

/// All processes that /proc shows.
fn processes() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

fn new_namespaces(flags: u64) -> bool {
    // With a user namespace of its own it has all capabilities over the others.
    flags & NAMESPACES != 0 && flags & libc::CLONE_NEWUSER as u64 == 0
}

fn is_raw_socket(call: &Call) -> bool {
    let raw = call.int(1) & 0xf == libc::SOCK_RAW;
    match call.int(0) {
        libc::AF_PACKET => true,
        libc::AF_INET | libc::AF_INET6 => raw,
        _ => false,
    }
}

fn socket_option(call: &Call) -> Option<Capability> {
    match (call.int(1), call.int(2)) {
        // SO_DEBUG, SO_SNDBUFFORCE, SO_RCVBUFFORCE, SO_MARK
        (libc::SOL_SOCKET, 1 | 32 | 33 | 36) => Some(Capability::NET_ADMIN),
        // IP_IPSEC_POLICY, IP_XFRM_POLICY, IP_TRANSPARENT; the requests of iptables
        (libc::SOL_IP, 16 | 17 | 19 | 64 | 65) => Some(Capability::NET_ADMIN),
        (libc::SOL_IPV6, 34 | 35 | 64 | 65 | 75) => Some(Capability::NET_ADMIN),
        _ => None,
    }
}

fn request(request: u64) -> Option<Capability> {
    match request as u32 {
        // SIOCADDRT, SIOCDELRT, SIOCSIF…, SIOCBR…, TUNSETIFF
        0x890b
        | 0x890c
        | 0x8914
        | 0x8916
        | 0x8918
        | 0x891a
        | 0x891c
        | 0x891e
        | 0x8922
        | 0x8923
        | 0x8924
        | 0x8936
        | 0x8953
        | 0x8955
        | 0x89a0..=0x89a3
        | 0x4004_54ca => Some(Capability::NET_ADMIN),
        // FS_IOC_SETFLAGS
        0x4008_6602 => Some(Capability::LINUX_IMMUTABLE),
        // LOOP_SET_FD, LOOP_CTL…, BLKROSET, FIFREEZE
        0x4c00 | 0x4c01 | 0x4c0a | 0x4c80..=0x4c82 | 0x125d | 0xc004_5877 | 0xc004_5878 => {
            Some(Capability::SYS_ADMIN)
        }
        _ => None,
    }
}

/// The process whose memory or the like a path in /proc is.
fn memory_of(path: &Path) -> Option<u32> {
    let mut parts = path.strip_prefix("/proc").ok()?.iter();
    let pid = parts.next()?.to_str()?.parse().ok()?;
    let file = parts.next_back()?.to_str()?;
    matches!(file, "mem" | "environ" | "maps" | "smaps" | "syscall" | "stack" | "pagemap" | "auxv" | "io")
        .then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(name: &'static str, arguments: [u64; 6]) -> CapSet {
        let status = Status { uids: [1000; 4], gids: [1000; 4], ..Status::default() };
        let tid = rustix::process::getpid();
        let caller = Caller { tid, view: View::of(tid), status: &status, first_free_port: 1024 };
        let architecture = seccomp::Architecture::native();
        caller.needs(&Call { architecture, number: 0, name, arguments })
    }

    #[test]
    fn what_is_always_privileged() {
        assert_eq!(needs("mount", [0; 6]), Capability::SYS_ADMIN.into());
        assert_eq!(needs("setgroups", [0; 6]), Capability::SETGID.into());
        assert_eq!(needs("read", [0; 6]), CapSet::EMPTY);
    }

    #[test]
    fn arguments_decide() {
        assert_eq!(needs("socket", [2, 3, 1, 0, 0, 0]), Capability::NET_RAW.into());
        assert_eq!(needs("socket", [2, 1, 0, 0, 0, 0]), CapSet::EMPTY);
        assert_eq!(
            needs("unshare", [libc::CLONE_NEWUTS as u64, 0, 0, 0, 0, 0]),
            Capability::SYS_ADMIN.into()
        );
        assert_eq!(needs("unshare", [0x1002_0000, 0, 0, 0, 0, 0]), CapSet::EMPTY);
        assert_eq!(needs("setuid", [1000, 0, 0, 0, 0, 0]), CapSet::EMPTY);
        assert_eq!(needs("setuid", [0; 6]), Capability::SETUID.into());
        let low: [u8; 16] = [2, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let high: [u8; 16] = [2, 0, 31, 144, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let bind = |address: &[u8; 16]| needs("bind", [3, address.as_ptr() as u64, 16, 0, 0, 0]);
        assert_eq!((bind(&low), bind(&high)), (Capability::NET_BIND_SERVICE.into(), CapSet::EMPTY));
    }

    #[test]
    fn owners_decide() {
        let path = c"/etc/passwd".as_ptr() as u64;
        assert_eq!(needs("chown", [path, 1000, 1000, 0, 0, 0]), Capability::CHOWN.into());
        assert_eq!(needs("chown", [path, u64::MAX, u64::MAX, 0, 0, 0]), CapSet::EMPTY);
        assert!(needs("chmod", [path, 0o600, 0, 0, 0, 0]).contains(Capability::FOWNER));
    }

    #[test]
    fn permissions_decide() {
        let shadow = c"/etc/shadow".as_ptr() as u64;
        let open = |flags: i32| needs("open", [shadow, flags as u64, 0, 0, 0, 0]);
        assert_eq!(open(libc::O_RDONLY), Capability::DAC_OVERRIDE.into());
        assert_eq!(open(libc::O_WRONLY), Capability::DAC_OVERRIDE.into());
        let passwd = c"/etc/passwd".as_ptr() as u64;
        assert_eq!(needs("open", [passwd, 0, 0, 0, 0, 0]), CapSet::EMPTY);
    }
}
