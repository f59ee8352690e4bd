//! The container's first process, from its birth to the program's first instruction.
//!
//! A loop over the steps of the plan. Each step is a function; what several of them need lies in [`Init`].
//! The process has one thread and was cloned from one, so allocation is safe; nothing here logs.

mod attributes;
mod cgroup_mount;
mod console;
mod copy_up;
mod credentials;
mod device;
mod idmap;
mod mount;
mod namespaces;
mod program;
mod restrict;
mod root;
mod start;
mod tree;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use namespace::{Kind, NamespaceFile};
use oci::spec::{Hook, Process, State, Status};

use crate::failure::{Failure, OrFail, Result};
use crate::plan::Step;
use crate::protocol::{FromInit, InitEnd};
use crate::sources::Opened;

pub(crate) use cgroup_mount::CgroupView;
pub use idmap::user_namespace;

pub(crate) use idmap::map as id_map;
pub(crate) use mount::open_bind;
pub(crate) use namespaces::{become_root, hide_memory};
pub(crate) use root::set as set_attributes;
pub(crate) use start::{Reply, read_reply};

/// What the steps need that is not in the plan.
#[derive(Debug)]
pub(crate) struct Init<'a> {
    /// The process to become.
    pub process: &'a Process,
    /// Who hears of success and failure.
    pub report: Report,
    /// The runtime's own /proc, held open: what is written to /proc goes through it, never through a path of the
    /// container's (CVE-2019-16884, CVE-2025-52881). None of it is left when the container's programs run.
    pub proc: Option<OwnedFd>,
    /// Files of the container's cgroups (v1) that take a process which writes itself in.
    pub cgroup_files: Vec<OwnedFd>,
    /// How the container's cgroups are shown to it.
    pub cgroup_view: Option<CgroupView>,
    /// Namespaces to join.
    pub namespaces: Vec<NamespaceFile>,
    /// The container's first process, for exec.
    pub container: Option<OwnedFd>,
    /// What the parent opens since init can't: by its place in `mounts`.
    pub sources: BTreeMap<usize, Opened>,
    /// The root file system as a detached mount.
    pub rootfs: Option<OwnedFd>,
    /// What becomes stdin, stdout and stderr.
    pub stdio: Option<[OwnedFd; 3]>,
    /// Network devices that the parent moved in.
    pub net_devices: Vec<crate::netdevice::Moved>,
    /// Where the pseudo terminal's controlling end goes.
    pub console_socket: Option<OwnedFd>,
    /// What the program writes comes out of another terminal, which makes CR LF of a newline itself.
    pub relays_console: bool,
    /// The FIFO that `start` opens, as a path descriptor.
    pub start_fifo: Option<OwnedFd>,
    /// The seccomp filter.
    pub filter: Option<seccomp::Filter>,
    /// What hooks read on stdin.
    pub hook_state: State,
    /// Descriptors from 3 on that the program inherits.
    pub preserve_fds: u32,
    /// The root file system, once open.
    pub root: Option<OwnedFd>,
    /// The proc and sysfs in it by their place: what is to be masked there is found from here, for their names in the
    /// image can be exchanged while they are mounted (CVE-2019-19921, CVE-2023-27561).
    pub kernel_mounts: Vec<(PathBuf, OwnedFd)>,
    /// Where /proc says that it is, once that was asked.
    pub root_place: Option<PathBuf>,
    /// The directory of the last device, and its path.
    pub device_directory: Option<(PathBuf, OwnedFd)>,
    /// Its path, as long as that means anything.
    pub root_path: PathBuf,
    /// Whether the working directory has been entered.
    pub in_working_directory: bool,
    /// The program, once found.
    pub program: Option<CString>,
}

/// Who hears what becomes of init.
#[derive(Debug)]
pub(crate) enum Report {
    /// The runtime that made it.
    Parent(InitEnd),
    /// The runtime that started it.
    Starter(OwnedFd),
}

impl Init<'_> {
    /// Goes through `steps`. Returns only on failure, which has been reported.
    pub fn run(mut self, steps: &[Step]) -> ! {
        self.leave_parent();
        for step in steps {
            if let Err(failure) = self.apply(step) {
                self.fail(failure);
                break;
            }
        }
        sys::process::exit_now(1)
    }

    /// In a process that was just cloned, where what is the parent's alone is open too.
    pub fn leave_parent(&mut self) {
        if let Report::Parent(end) = &mut self.report {
            end.leave_parent();
        }
    }

    pub fn apply(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::AwaitParent => self.parent()?.await_go().or_fail("wait for", "the runtime"),
            Step::OomScore(score) => self.oom_score(*score),
            Step::JoinCgroups => self.join_cgroups(),
            Step::Join(kind) => self.join(*kind),
            Step::JoinContainer(flags) => self.join_container(*flags),
            Step::BecomeRoot => namespaces::become_root(),
            Step::Unshare(flags) => sys::process::unshare(*flags).or_fail("unshare", ""),
            Step::NewTime(offsets) => self.new_time(offsets),
            Step::Stdio => self.take_stdio(),
            Step::NewSession => rustix::process::setsid().map(drop).or_fail("setsid", ""),
            Step::Keyring(name) => attributes::join_keyring(name),
            Step::Loopback => sys::net::loopback_up().or_fail("bring up", "the loopback interface"),
            Step::NetDevices => self.net_devices.iter().try_for_each(crate::netdevice::Moved::settle),
            Step::PropagateHost(change) => root::propagate(*change),
            Step::OpenRoot { path, bind, shared } => self.open_root(path, *bind, *shared),
            Step::AttachRoot { path, shared } => self.attach_root(path, *shared),
            Step::Mount(plan) => self.mount(plan),
            Step::Device(device) => self.device(device),
            Step::DeviceLinks => self.device_links(),
            Step::MakeWorkingDirectory(path) => self.make_working_directory(path),
            Step::RuntimeHooks => {
                self.parent()?.ask(&FromInit::Hooks).or_fail("wait for hooks of", "the runtime")
            }
            Step::ContainerHooks(hooks) => self.container_hooks(hooks),
            Step::EnterRoot(switch) => self.enter_root(*switch),
            Step::PropagateRoot(change) => root::propagate(*change),
            Step::Console(size) => self.console(*size),
            Step::MakeReadonly(path) => self.make_readonly(path),
            Step::ReadonlyRoot => self.readonly_root(),
            Step::Hostname(name) => rustix::system::sethostname(name.as_bytes()).or_fail("sethostname", name),
            Step::Domainname(name) => {
                rustix::system::setdomainname(name.as_bytes()).or_fail("setdomainname", name)
            }
            Step::Sysctl { path, value } => self.sysctl(path, value),
            Step::ReadonlyPath(path) => self.readonly_path(path),
            Step::MaskPaths(paths) => self.mask(paths),
            Step::NoNewPrivileges => rustix::thread::set_no_new_privs(true).or_fail("set", "no_new_privs"),
            Step::Scheduler(attr) => attributes::set_scheduler(*attr),
            Step::IoPriority(class, level) => {
                sys::sched::set_io_priority(*class, *level).or_fail("set", "the I/O priority")
            }
            Step::MemoryPolicy(mode, nodes) => {
                sys::sched::set_memory_policy(*mode, nodes).or_fail("set", "the memory policy")
            }
            Step::Personality(persona) => {
                sys::process::personality(*persona).map(drop).or_fail("set", "the personality")
            }
            Step::AllCpus => attributes::use_all_cpus(),
            Step::Affinity(cpus) => sys::sched::set_affinity(cpus).or_fail("set", "the CPU affinity"),
            Step::Rlimit(limit) => crate::limits::set(None, limit),
            Step::ExecLabel { lsm, label } => self.exec_label(*lsm, label),
            Step::CloseInherited => self.close_inherited(),
            Step::HideMemory => namespaces::hide_memory(),
            Step::Seccomp => self.seccomp(),
            Step::Umask(mask) => {
                rustix::process::umask(rustix::fs::Mode::from_raw_mode(*mask));
                Ok(())
            }
            Step::WorkingDirectory(path) => {
                self.in_working_directory = self.enter_working_directory(path).is_ok();
                Ok(())
            }
            Step::Credentials(credentials) => self.credentials(credentials),
            Step::FindProgram => self.find_program(),
            Step::Ready => self.ready(),
            Step::AwaitStart => self.await_start(),
            Step::LetGo => self.let_go(),
            Step::StartHooks(hooks) => self.start_hooks(hooks),
            Step::Exec => Err(self.exec()),
        }
    }

    fn container_hooks(&self, hooks: &[Hook]) -> Result<()> {
        rustix::process::fchdir(self.root()?).or_fail("enter", "the root file system")?;
        let state = State { pid: self.own_pid()?, status: Status::Creating, ..self.hook_state.clone() };
        crate::hooks::run("createContainer", hooks, &state, None)
    }

    /// They run inside the container; without an environment of their own they have the program's (runc's way).
    fn start_hooks(&self, hooks: &[Hook]) -> Result<()> {
        let state = State { status: Status::Created, ..self.hook_state.clone() };
        let environment: Vec<String> =
            self.environment()?.into_iter().filter_map(|variable| variable.into_string().ok()).collect();
        let mut hooks = hooks.to_vec();
        hooks
            .iter_mut()
            .filter(|hook| hook.env.is_empty())
            .for_each(|hook| hook.env.clone_from(&environment));
        crate::hooks::run("startContainer", &hooks, &state, None)
    }

    /// The pid that the runtime's side knows init by: its /proc is of that pid namespace.
    fn own_pid(&self) -> Result<i32> {
        let own = rustix::fs::readlinkat(self.proc()?, "self", Vec::new());
        let own = own.or_fail("read link", "/proc/self")?;
        Ok(own.to_str().ok().and_then(|pid| pid.parse().ok()).unwrap_or_default())
    }

    fn proc(&self) -> Result<BorrowedFd<'_>> {
        let proc = self.proc.as_ref().map(AsFd::as_fd);
        proc.ok_or_else(|| Failure::because("use", "/proc of the host", "it was let go"))
    }

    /// From here on there is what speaks to the runtime, and the host's /proc. What the caller left open must be closed
    /// and not just close-on-exec: a hook's or program's path in the image can lead through /proc/self/fd, where the
    /// kernel walks before it closes anything (CVE-2024-21626).
    fn close_inherited(&mut self) -> Result<()> {
        self.root = None;
        self.device_directory = None;
        self.kernel_mounts.clear();
        self.cgroup_files.clear();
        self.namespaces.clear();
        self.container = None;
        self.sources.clear();
        self.console_socket = None;
        let report = match &self.report {
            Report::Parent(end) => end.as_fd(),
            Report::Starter(fifo) => fifo.as_fd(),
        };
        let mut keep = vec![report, self.proc()?];
        keep.extend(self.start_fifo.as_ref().map(AsFd::as_fd));
        sys::process::close_from_but(3 + self.preserve_fds, &keep).or_fail("close", "inherited descriptors")
    }

    /// By the host's /proc, as by any directory of the host's, all its files can be reached.
    fn let_go(&mut self) -> Result<()> {
        self.hook_state.pid = self.own_pid()?;
        self.proc = None;
        Ok(())
    }

    /// Reports a failure; the process must end then.
    pub fn fail(&self, failure: Failure) {
        match &self.report {
            // Nobody is left to hear of a failure to report.
            Report::Parent(end) => drop(end.say(&FromInit::Failed(failure))),
            Report::Starter(fifo) => start::tell(fifo, &failure),
        }
    }

    fn parent(&self) -> Result<&InitEnd> {
        match &self.report {
            Report::Parent(end) => Ok(end),
            Report::Starter(_) => Err(Failure::because("speak to", "the runtime", "it has gone on")),
        }
    }

    fn join(&mut self, kind: Kind) -> Result<()> {
        let file = self.namespaces.iter().find(|file| file.kind() == kind);
        let file = file.ok_or_else(|| Failure::because("join", kind, "the namespace is not open"))?;
        file.enter()
            .map_err(|error| Failure::because("join", format!("{} namespace", kind.oci_name()), error))
    }
}
