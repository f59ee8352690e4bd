//! The steps that the container's first process goes through, each with all that it needs.

use std::ffi::CString;
use std::fmt;
use std::path::PathBuf;

use capability::Sets;
use namespace::{Kind, TimeOffsets};
use oci::spec::Hook;
use sys::process::NamespaceFlags;
use sys::sched::SchedAttr;

use super::mount::{MountPlan, Propagation};

/// One step of init. What it needs that is not known before (descriptors) lies in init's context.
#[derive(Clone, Debug)]
pub enum Step {
    /// Wait until the parent has written id maps, limits and the like.
    AwaitParent,
    /// Badness for the OOM killer.
    OomScore(i32),
    /// Enter the container's cgroups by writing oneself into them.
    JoinCgroups,
    /// Enter a namespace that exists.
    Join(Kind),
    /// Enter the namespaces of a container's first process.
    JoinContainer(NamespaceFlags),
    /// Become root of the new user namespace.
    BecomeRoot,
    /// Make namespaces that can't be made by the clone.
    Unshare(NamespaceFlags),
    /// Make a time namespace with these clock offsets and enter it.
    NewTime(TimeOffsets),
    /// Take the stdin, stdout and stderr that the caller gave.
    Stdio,
    /// Become leader of a new session.
    NewSession,
    /// Join a session keyring of this name.
    Keyring(CString),
    /// Bring the loopback interface up.
    Loopback,
    /// Rename the network devices that were moved in and give them their addresses back.
    NetDevices,
    /// Cut or keep the propagation between host and container.
    PropagateHost(Propagation),
    /// Make the root file system a mount and hold it open.
    OpenRoot {
        /// Its path on the host.
        path: PathBuf,
        /// Whether it must become a mount of its own.
        bind: bool,
        /// Whether what is mounted there could still be seen on the host.
        shared: bool,
    },
    /// Attach the detached mount that is the root file system, here on the host's side, and hold it open.
    AttachRoot {
        /// Its path on the host.
        path: PathBuf,
        /// As in `OpenRoot`.
        shared: bool,
    },
    /// One of `mounts`.
    Mount(Box<MountPlan>),
    /// A device node.
    Device(DevicePlan),
    /// `/dev/fd`, `/dev/stdin`, …, `/dev/ptmx`.
    DeviceLinks,
    /// The working directory, where the image lacks it.
    MakeWorkingDirectory(String),
    /// Let the parent run the hooks of the runtime's namespace.
    RuntimeHooks,
    /// Run the hooks of the container's namespaces, before the root changes.
    ContainerHooks(Vec<Hook>),
    /// Make the root file system `/`.
    EnterRoot(RootSwitch),
    /// Propagation of the new root.
    PropagateRoot(Propagation),
    /// Make a pseudo terminal and send its controlling end away.
    Console(ConsoleSize),
    /// A tmpfs becomes read-only, now that it is filled.
    MakeReadonly(String),
    /// `/` becomes read-only.
    ReadonlyRoot,
    /// The host name.
    Hostname(String),
    /// The NIS domain name.
    Domainname(String),
    /// A kernel parameter, by its path below /proc/sys.
    Sysctl {
        /// `net/ipv4/ip_forward`.
        path: String,
        /// What is written.
        value: String,
    },
    /// A path that can't be written any more.
    ReadonlyPath(String),
    /// Paths that can't be read any more.
    MaskPaths(Vec<String>),
    /// `no_new_privs`.
    NoNewPrivileges,
    /// CPU scheduling.
    Scheduler(SchedAttr),
    /// I/O scheduling: class and level.
    IoPriority(u32, u32),
    /// NUMA policy: mode and nodes.
    MemoryPolicy(u32, Vec<u32>),
    /// Execution domain.
    Personality(u32),
    /// The CPUs that the runtime's caller was bound to don't count: the cpuset does.
    AllCpus,
    /// CPUs to run on.
    Affinity(Vec<u32>),
    /// A limit of setrlimit(2): resource, soft, hard.
    Rlimit(RlimitPlan),
    /// LSM label at the next exec: the file below /proc/self/attr, and what is written.
    ExecLabel {
        /// `exec` or `apparmor/exec`.
        lsm: Lsm,
        /// The label or profile.
        label: String,
    },
    /// Close what the caller left open, and what is not needed any more.
    CloseInherited,
    /// Nobody may look into this process.
    HideMemory,
    /// The seccomp filter.
    Seccomp,
    /// File mode creation mask.
    Umask(u32),
    /// Try to enter the working directory before privileges go; what is refused is tried again after.
    WorkingDirectory(String),
    /// User, groups and capabilities.
    Credentials(Credentials),
    /// Find the program on PATH.
    FindProgram,
    /// Tell the parent that only the program is missing.
    Ready,
    /// Wait for `start`.
    AwaitStart,
    /// Close the last descriptor that leads to the host.
    LetGo,
    /// Hooks that run in the container right before the program.
    StartHooks(Vec<Hook>),
    /// Execute the program.
    Exec,
}

/// How the root file system becomes `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootSwitch {
    /// pivot_root(2): the old root is gone.
    Pivot,
    /// Moved over `/`, for a root in the initial ramdisk, which can't be pivoted.
    Move,
    /// chroot(2) alone, without a mount namespace.
    Chroot,
}

/// Which security module gets the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lsm {
    /// AppArmor: profile.
    AppArmor,
    /// SELinux: context.
    SeLinux,
}

/// A device node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicePlan {
    /// Absolute in the container.
    pub path: String,
    /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO`.
    pub kind: u32,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner in the container.
    pub uid: u32,
    /// Group in the container.
    pub gid: u32,
    /// A node can't be made in a user namespace: the host's is bound instead.
    pub bind: bool,
}

/// Rows and columns.
pub type ConsoleSize = Option<oci::spec::ConsoleSize>;

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RlimitPlan {
    /// `RLIMIT_…` as the kernel counts.
    pub resource: u32,
    /// Its name without the prefix.
    pub name: &'static str,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// Who the program runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// The five capability sets.
    pub capabilities: Sets,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AwaitParent => f.write_str("wait for id maps and limits from the parent"),
            Self::OomScore(score) => write!(f, "set oom_score_adj {score}"),
            Self::JoinCgroups => f.write_str("join the container's cgroups"),
            Self::Join(kind) => write!(f, "join the {} namespace", kind.oci_name()),
            Self::JoinContainer(flags) => write!(f, "join the container's namespaces {}", flag_names(*flags)),
            Self::BecomeRoot => f.write_str("become root of the user namespace"),
            Self::Unshare(flags) => write!(f, "unshare {}", flag_names(*flags)),
            Self::NewTime(offsets) => {
                write!(f, "new time namespace, offsets {:?}", offsets.render().trim_end())
            }
            Self::Stdio => f.write_str("take the given stdin, stdout and stderr"),
            Self::NewSession => f.write_str("new session"),
            Self::Keyring(name) => write!(f, "join session keyring {}", name.to_string_lossy()),
            Self::Loopback => f.write_str("loopback up"),
            Self::NetDevices => f.write_str("set up the network devices that were moved in"),
            Self::PropagateHost(p) => write!(f, "make all mounts {}", propagation_name(*p)),
            Self::OpenRoot { path, bind: true, .. } => {
                write!(f, "bind {} onto itself and open it", path.display())
            }
            Self::OpenRoot { path, bind: false, .. } => write!(f, "open {}", path.display()),
            Self::AttachRoot { path, .. } => write!(f, "attach the root file system at {}", path.display()),
            Self::Mount(plan) => plan.fmt(f),
            Self::Device(d) if d.bind => write!(f, "bind the host's {0} at {0}", d.path),
            Self::Device(d) => write!(f, "make device {} {}:{} mode {:o}", d.path, d.major, d.minor, d.mode),
            Self::DeviceLinks => f.write_str("link /dev/fd, stdin, stdout, stderr, ptmx"),
            Self::MakeWorkingDirectory(path) => write!(f, "make working directory {path} where missing"),
            Self::RuntimeHooks => f.write_str("parent runs prestart and createRuntime hooks"),
            Self::ContainerHooks(hooks) => write!(f, "run {} createContainer hooks", hooks.len()),
            Self::EnterRoot(switch) => f.write_str(match switch {
                RootSwitch::Pivot => "pivot_root",
                RootSwitch::Move => "move the root over / and chroot",
                RootSwitch::Chroot => "chroot",
            }),
            Self::PropagateRoot(p) => write!(f, "make / {}", propagation_name(*p)),
            Self::Console(_) => f.write_str("make a pseudo terminal, send it away, bind /dev/console"),
            Self::MakeReadonly(path) => write!(f, "make {path} read-only"),
            Self::ReadonlyRoot => f.write_str("make / read-only"),
            Self::Hostname(name) => write!(f, "set host name {name}"),
            Self::Domainname(name) => write!(f, "set domain name {name}"),
            Self::Sysctl { path, value } => write!(f, "write {value:?} to /proc/sys/{path}"),
            Self::ReadonlyPath(path) => write!(f, "make {path} read-only"),
            Self::MaskPaths(paths) => write!(f, "mask {}", paths.join(" ")),
            Self::NoNewPrivileges => f.write_str("set no_new_privs"),
            Self::Scheduler(attr) => write!(f, "set scheduler policy {}", attr.policy),
            Self::IoPriority(class, level) => write!(f, "set I/O priority class {class} level {level}"),
            Self::MemoryPolicy(mode, nodes) => write!(f, "set memory policy {mode:#x} on nodes {nodes:?}"),
            Self::Personality(persona) => write!(f, "set personality {persona:#x}"),
            Self::AllCpus => f.write_str("run on all CPUs of the cpuset"),
            Self::Affinity(cpus) => write!(f, "run on CPUs {cpus:?}"),
            Self::Rlimit(limit) => write!(f, "limit {} to {}:{}", limit.name, limit.soft, limit.hard),
            Self::ExecLabel { lsm, label } => write!(f, "set {lsm:?} label {label} for the program"),
            Self::CloseInherited => f.write_str("close inherited descriptors"),
            Self::HideMemory => f.write_str("set not dumpable"),
            Self::Seccomp => f.write_str("install the seccomp filter"),
            Self::Umask(mask) => write!(f, "umask {mask:04o}"),
            Self::WorkingDirectory(path) => write!(f, "enter {path}"),
            Self::Credentials(c) => {
                write!(f, "become {}:{} with capabilities {:x}", c.uid, c.gid, c.capabilities.effective)
            }
            Self::FindProgram => f.write_str("find the program"),
            Self::Ready => f.write_str("report ready"),
            Self::AwaitStart => f.write_str("wait for start"),
            Self::LetGo => f.write_str("close the host's /proc"),
            Self::StartHooks(hooks) => write!(f, "run {} startContainer hooks", hooks.len()),
            Self::Exec => f.write_str("exec"),
        }
    }
}

fn flag_names(flags: NamespaceFlags) -> String {
    flags.iter_names().map(|(name, _)| name.to_lowercase()).collect::<Vec<_>>().join(" ")
}

fn propagation_name(change: Propagation) -> String {
    let name = match change.kind {
        libc::MS_SHARED => "shared",
        libc::MS_SLAVE => "slave",
        libc::MS_PRIVATE => "private",
        _ => "unbindable",
    };
    format!("{}{name}", if change.recursive { "recursively " } else { "" })
}
