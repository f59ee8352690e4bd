//! Why a call failed: the first of the reasons that isolation can have, in the order in which the kernel asks.

use std::path::{Path, PathBuf};

use capability::{CapSet, Capability};
use rustix::fs::StatVfsMountFlags;
use rustix::process::Pid;
use seccomp::Architecture;

use crate::access::{self, Refusal};
use crate::call::{Call, errno_name};
use crate::container::Container;
use crate::denial::{Cause, Denial};
use crate::limit;
use crate::need::Caller;
use crate::netlink;
use crate::status::{Map, Status};
use crate::view::{File, View};
use crate::words;

/// A reason: what denied, in words, and what would allow it.
pub(crate) struct Reason {
    pub cause: Cause,
    pub why: String,
    pub allowed_by: Option<String>,
}

impl Reason {
    pub fn new(cause: Cause, why: impl Into<String>, allowed_by: impl Into<String>) -> Self {
        Self { cause, why: why.into(), allowed_by: Some(allowed_by.into()) }
    }

    pub fn without_remedy(cause: Cause, why: impl Into<String>) -> Self {
        Self { cause, why: why.into(), allowed_by: None }
    }
}

/// A call that failed, and everything that can say why.
pub(crate) struct Failed<'a> {
    pub call: &'a Call,
    pub errno: i32,
    pub view: View,
    pub status: &'a Status,
    pub tid: Pid,
    pub container: &'a Container,
}

/// Why a call failed, where isolation had a part in it.
pub fn explain(call: &Call, errno: i32, tid: Pid, container: &Container) -> Option<Denial> {
    if !can_be_isolation(call, errno) {
        return None;
    }
    let status = Status::read(tid)?;
    let failed = Failed { call, errno, view: View::of(tid), status: &status, tid, container };
    let reason = failed.reason()?;
    Some(failed.denial(reason))
}

/// A program that was executed without the privileges that its file gives.
pub fn explain_exec(tid: Pid, container: &Container) -> Option<Denial> {
    let status = Status::read(tid)?;
    let view = View::of(tid);
    let file = view.open(&view.program()?, true).ok()?;
    let mode = file.stat.st_mode;
    let gives = (mode & libc::S_ISUID != 0 && file.stat.st_uid != status.uids[1])
        || (mode & libc::S_ISGID != 0 && mode & libc::S_IXGRP != 0 && file.stat.st_gid != status.gids[1]);
    let reason = match () {
        () if !gives => return None,
        () if status.no_new_privileges => Reason::new(
            Cause::NoNewPrivileges,
            "its file is set-user-id or set-group-id, which gives nothing under no_new_privs",
            "leaving out --security-opt no-new-privileges",
        ),
        () if file.mount_flags().contains(StatVfsMountFlags::NOSUID) => Reason::new(
            Cause::MountFlags,
            "its file is set-user-id or set-group-id, which counts nothing on a mount with nosuid",
            "the mount option suid",
        ),
        () => return None,
    };
    let call = Call { architecture: None, number: 0, name: "execve", arguments: [0; 6] };
    let failed = Failed { call: &call, errno: 0, view, status: &status, tid, container };
    Some(Denial { object: file.path.to_string_lossy().into_owned(), ..failed.denial(reason) })
}

/// A request over netlink that was refused.
pub fn explain_netlink(call: &Call, length: i64, tid: Pid, container: &Container) -> Option<Denial> {
    let view = View::of(tid);
    let refused = netlink::received(view, call, length)?;
    let needed = netlink::needs(refused.kind).filter(|_| refused.errno == libc::EPERM)?;
    let status = Status::read(tid)?;
    let failed = Failed { call, errno: refused.errno, view, status: &status, tid, container };
    let reason = failed.by_capability(needed.into())?;
    let object = format!("a netlink request of type {}", refused.kind);
    Some(Denial { call: "sendmsg".to_owned(), object, ..failed.denial(reason) })
}

/// Errors that isolation gives, and programs do not get on every good day.
fn can_be_isolation(call: &Call, errno: i32) -> bool {
    let ids = ["chown", "fchown", "lchown", "fchownat", "setuid", "setgid", "setgroups"];
    match errno {
        libc::EPERM | libc::EACCES => {
            !matches!(call.name, "setsid" | "setpgid" | "access" | "faccessat" | "faccessat2" | "tcsetpgrp")
        }
        libc::EROFS | libc::ENOSYS => !matches!(call.name, "access" | "faccessat" | "faccessat2"),
        libc::EAGAIN => limit::makes_processes(call) || call.name.starts_with("mlock"),
        libc::ENOMEM => call.name.starts_with("mlock") || matches!(call.name, "mmap" | "mremap" | "brk"),
        libc::EINVAL => ids.contains(&call.name) || call.name.starts_with("setre"),
        libc::ENOSPC | libc::EUSERS => limit::makes_processes(call) || call.name == "unshare",
        libc::EMFILE => true,
        _ => false,
    }
}

impl Failed<'_> {
    fn denial(&self, reason: Reason) -> Denial {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Denial {
            at: now.map_or(0, |since| since.as_secs()),
            pid: self.status.pid,
            command: self.status.command.clone(),
            call: self.call.name.to_owned(),
            object: words::object(self.view, self.call),
            errno: if self.errno == 0 { String::new() } else { errno_name(self.errno) },
            cause: reason.cause,
            why: reason.why,
            allowed_by: reason.allowed_by,
        }
    }

    fn reason(&self) -> Option<Reason> {
        if let Some(by_filter) = self.by_filter() {
            return by_filter;
        }
        match self.errno {
            libc::EROFS => self.by_mount(),
            libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENOSPC | libc::EUSERS => self.by_limit(),
            libc::EINVAL => self.by_id_map(),
            libc::EPERM | libc::EACCES => self
                .by_mount_flags()
                .or_else(|| self.by_devices())
                .or_else(|| self.by_ping_range())
                .or_else(|| self.by_permissions())
                .or_else(|| self.by_capability(self.needs()))
                .or_else(|| self.by_own_rule()),
            _ => None,
        }
    }

    fn caller(&self) -> Caller<'_> {
        let first_free_port = self.container.first_free_port();
        Caller { tid: self.tid, view: self.view, status: self.status, first_free_port }
    }

    fn needs(&self) -> CapSet {
        self.caller().needs(self.call)
    }

    /// What the filter says; `Some(None)` where it denies what nobody is to hear of.
    fn by_filter(&self) -> Option<Option<Reason>> {
        if self.container.filtered(self.call) != Some(self.errno) {
            return None;
        }
        // Every thread begins with it, and libc falls back to clone(2): that is what this errno is for.
        if self.call.name == "clone3" && self.errno == libc::ENOSYS {
            return Some(None);
        }
        let allowed_by = match self.capability_for_filter() {
            Some(capability) => {
                format!("--cap-add {}, with which the default profile allows it", bare(capability))
            }
            None => {
                "--security-opt seccomp=FILE with a profile that allows it, or seccomp=unconfined".to_owned()
            }
        };
        let why = "the seccomp profile does not allow this call, or not with these arguments";
        Some(Some(Reason::new(Cause::Seccomp, why, allowed_by)))
    }

    /// The capability with which the default profile would allow the call, where that profile is in force.
    fn capability_for_filter(&self) -> Option<Capability> {
        let host = Architecture::native()?;
        let own = self.status.bounding;
        let has = |name: &str, more: Option<Capability>| {
            name.parse::<Capability>().is_ok_and(|one| own.contains(one) || more == Some(one))
        };
        let in_force = self.container.spec().linux.as_ref()?.seccomp.as_ref()?;
        if *in_force != seccomp::default_profile(host, |name| has(name, None)) {
            return None;
        }
        let mut candidates = Capability::ALL.iter().copied().filter(|one| !own.contains(*one));
        candidates.find(|one| {
            let profile = seccomp::default_profile(host, |name| has(name, Some(*one)));
            Container::allows(&profile, host, self.call)
        })
    }

    fn file(&self) -> Option<File> {
        let place = *self.call.places().first()?;
        self.view.file(self.call, place, true)
    }

    /// The file system that the call would have changed.
    fn target(&self) -> Option<(PathBuf, File)> {
        let changes_second =
            matches!(self.call.name, "rename" | "renameat" | "renameat2" | "link" | "linkat");
        let places = self.call.places();
        let place = if changes_second { places.last() } else { places.first() };
        let path = self.view.path(self.call, *place?)?;
        let there = self.view.existing(&path)?;
        Some((path, there))
    }

    fn by_mount(&self) -> Option<Reason> {
        let (path, there) = self.target()?;
        let mount = self.view.mount_point(&there);
        let read_only =
            |what: String, allowed_by: String| Some(Reason::new(Cause::ReadOnly, what, allowed_by));
        let shown = mount.display();
        if let Some(name) = sysctl(&path) {
            return read_only(
                "/proc/sys is read-only in a container".to_owned(),
                match is_namespaced(&name) {
                    true => format!("--sysctl {name}=VALUE"),
                    false => {
                        "--security-opt systempaths=unconfined, which lets it change the host".to_owned()
                    }
                },
            );
        }
        if self.container.is_restricted(&path) {
            return read_only(
                format!("{shown} is masked or read-only in a container"),
                "--security-opt systempaths=unconfined".to_owned(),
            );
        }
        if path.starts_with("/sys/fs/cgroup") {
            return read_only(
                "control groups are read-only in a container".to_owned(),
                "--security-opt writable-cgroups".to_owned(),
            );
        }
        if path.starts_with("/sys") {
            return read_only("/sys is read-only in a container".to_owned(), "--privileged".to_owned());
        }
        if mount == Path::new("/") && self.container.is_root_read_only() {
            let directory = if there.path == path { path.parent().unwrap_or(&path) } else { &there.path };
            return read_only(
                "the root file system is read-only (--read-only)".to_owned(),
                format!("--tmpfs {0}, or a volume -v NAME:{0}", directory.display()),
            );
        }
        read_only(format!("what is mounted at {shown} is read-only"), format!("mounting {shown} without ro"))
    }

    fn by_limit(&self) -> Option<Reason> {
        limit::reason(self)
    }

    fn by_id_map(&self) -> Option<Reason> {
        let (user, group): (&[usize], &[usize]) = match self.call.name {
            "chown" | "lchown" | "fchown" => (&[1], &[2]),
            "fchownat" => (&[2], &[3]),
            "setgid" => (&[], &[0]),
            "setregid" => (&[], &[0, 1]),
            "setresgid" => (&[], &[0, 1, 2]),
            "setuid" => (&[0], &[]),
            "setreuid" => (&[0, 1], &[]),
            "setresuid" => (&[0, 1, 2], &[]),
            _ => return None,
        };
        let unmapped = |arguments: &[usize], file| {
            let map = Map::read(self.tid, file);
            let ids = arguments.iter().map(|argument| self.call.arguments[*argument] as u32);
            ids.into_iter().find(|id| map.outside(*id).is_none())
        };
        let (what, id) = match (unmapped(user, "uid_map"), unmapped(group, "gid_map")) {
            (Some(id), _) => ("user", id),
            (None, Some(id)) => ("group", id),
            (None, None) => return None,
        };
        Some(Reason::new(
            Cause::IdMap,
            format!("{what} {id} is not in the id map of the container's user namespace"),
            format!(
                "--userns auto:size={} or a map with it (--uidmap, --gidmap)",
                id.saturating_add(1).max(65_536)
            ),
        ))
    }

    fn by_mount_flags(&self) -> Option<Reason> {
        if self.errno != libc::EACCES {
            return None;
        }
        let file = self.file()?;
        let flags = file.mount_flags();
        let mount = self.view.mount_point(&file);
        let is_device = matches!(file.kind(), libc::S_IFCHR | libc::S_IFBLK);
        let (option, what) = match () {
            () if self.call.name.starts_with("execve") && flags.contains(StatVfsMountFlags::NOEXEC) => {
                ("exec", "no program can be executed on it (noexec)")
            }
            () if is_device
                && self.call.name.starts_with("open")
                && flags.contains(StatVfsMountFlags::NODEV) =>
            {
                ("dev", "no device can be opened on it (nodev)")
            }
            () => return None,
        };
        let shown = mount.display();
        Some(Reason::new(
            Cause::MountFlags,
            format!("{shown} is mounted so that {what}"),
            format!("the mount option {option}, as in --tmpfs {shown}:{option}"),
        ))
    }

    fn by_devices(&self) -> Option<Reason> {
        if self.errno != libc::EPERM {
            return None;
        }
        let has_mknod = self.status.effective.contains(Capability::MKNOD);
        let makes_node = self.call.name.starts_with("mknod") && has_mknod && !self.needs().is_empty();
        let device = |file: &File| matches!(file.kind(), libc::S_IFCHR | libc::S_IFBLK);
        let opened = self.file().filter(|file| self.call.name.starts_with("open") && device(file));
        if let Some(file) = opened {
            return Some(Reason::new(
                Cause::Devices,
                "the control group of the container allows no access to this device",
                format!("--device {}", file.path.display()),
            ));
        }
        makes_node.then(|| {
            Reason::new(
                Cause::Devices,
                "the control group of the container, or its user namespace, allows no such device",
                "--device, or --device-cgroup-rule with its type and numbers",
            )
        })
    }

    /// ping without CAP_NET_RAW.
    fn by_ping_range(&self) -> Option<Reason> {
        let icmp = matches!(self.call.int(2), libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6);
        let ping = self.call.name == "socket" && self.call.int(1) & 0xf == libc::SOCK_DGRAM && icmp;
        ping.then(|| {
            Reason::new(
                Cause::Other,
                "its group is not in net.ipv4.ping_group_range of the network namespace",
                "--sysctl 'net.ipv4.ping_group_range=0 2147483647', or --cap-add NET_RAW",
            )
        })
    }

    /// Permission bits stop an ordinary user; root is stopped only for lack of a capability.
    fn by_permissions(&self) -> Option<Reason> {
        if self.errno != libc::EACCES || !access::is_checked(self.call) {
            return None;
        }
        let places = self.call.places().iter();
        let refusal =
            places.filter_map(|place| access::refusal(self.view, self.status, self.call, *place)).next()?;
        let Refusal { path, owner, mode, .. } = &refusal;
        let users = Map::read(self.tid, "uid_map");
        if users.is_partial() && !users.has(*owner) {
            return Some(Reason::new(
                Cause::IdMap,
                format!(
                    "{} belongs to user {owner} of the host, whom the container's id map lacks",
                    path.display()
                ),
                "the mount option idmap: -v SOURCE:DESTINATION:idmap",
            ));
        }
        if self.status.uids[1] == users.outside(0).unwrap_or(0) {
            return self.by_capability(refusal.capability(self.status.effective).into());
        }
        let why = format!(
            "{} has owner {owner} and mode {mode:04o}, which lets user {} not {} it",
            path.display(),
            self.status.fs_uid(),
            refusal.wish()
        );
        Some(Reason::new(
            Cause::Permissions,
            why,
            "--user with its owner, or chown and chmod of what is mounted there",
        ))
    }

    fn by_capability(&self, needs: CapSet) -> Option<Reason> {
        let first = needs.iter().next()?;
        let Some(missing) = (needs - self.status.effective).iter().next() else {
            return self.container.has_user_namespace().then(|| {
                let why = format!("{first} counts only for what the container's own user namespace owns");
                Reason::new(Cause::UserNamespace, why, "--userns host")
            });
        };
        let flag = format!("--cap-add {}", bare(missing));
        if self.status.bounding.contains(missing) {
            let why = format!(
                "it needs {missing}, which the container has but this process, as user {}, has not",
                self.status.uids[1]
            );
            return Some(Reason::new(
                Cause::Capability,
                why,
                "--user 0, or a file capability (berth caps set)",
            ));
        }
        Some(Reason::new(Cause::Capability, format!("it needs {missing}, which this container lacks"), flag))
    }

    /// What the kernel or a security module has rules of its own for.
    fn by_own_rule(&self) -> Option<Reason> {
        let label = self.view.text("attr/current").filter(|label| !label.starts_with("unconfined"));
        if let Some(label) = label {
            return Some(Reason::new(
                Cause::Other,
                format!(
                    "neither capabilities nor permissions explain it, so the security module may: {label}"
                ),
                "--security-opt apparmor=unconfined, or label=disable",
            ));
        }
        let odd =
            matches!(self.call.name, "ioctl" | "kill" | "fcntl" | "capset" | "write" | "connect" | "sendto");
        (!odd).then(|| {
            Reason::without_remedy(
                Cause::Other,
                "neither capabilities, the filter, mounts nor permissions explain it: a rule of the kernel's own",
            )
        })
    }
}

/// `CAP_NET_RAW` as flags have it.
pub(crate) fn bare(capability: Capability) -> String {
    capability.to_string().trim_start_matches("CAP_").to_owned()
}

/// The kernel parameter that a path is.
fn sysctl(path: &Path) -> Option<String> {
    let below = path.strip_prefix("/proc/sys").ok()?.to_str()?;
    (!below.is_empty()).then(|| below.replace('/', "."))
}

/// Whether a kernel parameter belongs to the network or IPC namespace.
fn is_namespaced(name: &str) -> bool {
    let ipc = ["kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue."];
    name.starts_with("net.") || ipc.iter().any(|start| name.starts_with(start))
}
