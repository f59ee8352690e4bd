//! Another process in a running container.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use oci::spec::{Process, Spec, Status};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use rustix::thread::CapabilitySet;
use sys::process::{CloneFlags, Cloned, NamespaceFlags};

use crate::conversation::{Conversation, Told, await_exec, hand_over};
use crate::create::{cgroup_failure, compile, open_proc, state_of, write_pid_file};
use crate::failure::{Failure, OrFail, Result};
use crate::init::{Init, Report};
use crate::plan::{ExecFacts, Step, exec_steps, memory_policy, number_list, personality};
use crate::spawn::{Spawned, flags_of, spawn_member};
use crate::{Container, protocol};

/// How a process is added.
#[derive(Debug, Default)]
pub struct ExecOptions {
    /// Connected socket that the terminal's controlling end is sent to.
    pub console_socket: Option<OwnedFd>,
    /// The caller passes the terminal's output on to a terminal of its own.
    pub relays_console: bool,
    /// Where the process' id is written.
    pub pid_file: Option<PathBuf>,
    /// Descriptors from 3 on that the program inherits.
    pub preserve_fds: u32,
    /// Cgroup below the container's.
    pub cgroup: cgroup::SubPath,
    /// The process' stdin, stdout and stderr; without it those of the caller. A terminal takes their place.
    pub stdio: Option<[OwnedFd; 3]>,
    /// Go ahead though the container is paused: the process then waits with the others.
    pub ignore_paused: bool,
}

/// A process that was added, of which the caller is the parent.
#[derive(Debug)]
pub struct Executed {
    /// The process.
    pub pid: Pid,
    /// The same, safe from reuse of the number.
    pub pidfd: OwnedFd,
}

impl Container {
    /// Runs `process` in the container. The caller must have one thread; beside the new child it stays what it was, but
    /// for its CPUs where `process` has `execCPUAffinity.initial`.
    ///
    /// # Errors
    /// Where the container does not run, and what went wrong up to the program's exec.
    pub fn exec(&self, process: &Process, mut options: ExecOptions) -> Result<Executed> {
        match self.status()? {
            Status::Stopped | Status::Creating => {
                return Err(Failure::because("exec in", "", "cannot exec in a stopped container"));
            }
            Status::Paused if !options.ignore_paused => {
                return Err(Failure::because(
                    "exec in",
                    "",
                    "cannot exec in a paused container (use --ignore-paused to override)",
                ));
            }
            _ => {}
        }
        let stopped = || Failure::because("exec in", "", "cannot exec in a stopped container");
        let target = self.pidfd()?.ok_or_else(stopped)?;
        let spec = self.config()?;
        let linux = spec.linux.clone().unwrap_or_default();
        let group = self.exec_group(&options)?;
        let facts = ExecFacts { stdio: options.stdio.is_some(), ..self.exec_facts(&spec, group.as_ref())? };
        let steps = exec_steps(process, &facts).map_err(|error| Failure::because("validate", "", error))?;
        let filter = linux.seccomp.as_ref().map(compile).transpose()?;
        set_initial_affinity(process)?;

        let (ours, theirs) = protocol::pair().or_fail("make", "a socket pair")?;
        let cgroup_files = group.as_ref().map(cgroup::Group::join_files).transpose().map_err(not_joined)?;
        let init = Init {
            process,
            report: Report::Parent(theirs),
            proc: Some(open_proc()?),
            cgroup_files: cgroup_files.unwrap_or_default(),
            cgroup_view: None,
            namespaces: Vec::new(),
            container: Some(target.try_clone().or_fail("dup", "pidfd")?),
            sources: BTreeMap::new(),
            rootfs: None,
            stdio: options.stdio.take(),
            net_devices: Vec::new(),
            console_socket: options.console_socket.take(),
            relays_console: options.relays_console,
            start_fifo: None,
            filter,
            hook_state: state_of(&self.record, Status::Running),
            preserve_fds: options.preserve_fds,
            root: None,
            kernel_mounts: Vec::new(),
            root_place: None,
            device_directory: None,
            root_path: PathBuf::new(),
            in_working_directory: false,
            program: None,
        };
        let executed = self.add(init, &steps, facts.namespaces, group.as_ref(), &target)?;
        match self.accompany(&executed, &ours, &linux, &options) {
            Ok(()) => Ok(executed),
            Err(failure) => {
                let _ = sys::process::pidfd_signal(executed.pidfd.as_fd(), libc::SIGKILL);
                let _ = crate::process::reap(&executed.pidfd);
                Err(failure)
            }
        }
    }

    /// Clones init into the container's pid namespace.
    fn add(
        &self,
        init: Init<'_>,
        steps: &[Step],
        namespaces: NamespaceFlags,
        group: Option<&cgroup::Group>,
        target: &OwnedFd,
    ) -> Result<Executed> {
        if namespaces.contains(NamespaceFlags::PID) {
            let Spawned { pid, pidfd } = spawn_member(|| self.clone_into(group), init, steps)?;
            return Ok(Executed { pid, pidfd });
        }
        if self.has_own_pids() {
            // For children only: so it is done here, and the clone is born inside.
            sys::process::setns(target.as_fd(), NamespaceFlags::PID)
                .or_fail("join", "the container's pid namespace")?;
        }
        let cloned = self.clone_into(group);
        if let Ok(Cloned::Child) = cloned {
            init.run(steps);
        }
        if self.has_own_pids() {
            leave_pids()?;
        }
        match cloned? {
            Cloned::Child => sys::process::exit_now(1),
            Cloned::Parent { pid, pidfd } => Ok(Executed { pid, pidfd }),
        }
    }

    /// Where the process goes: the container's group or one below it.
    fn exec_group(&self, options: &ExecOptions) -> Result<Option<cgroup::Group>> {
        let group =
            self.cgroup().map(|group| group.sub(&options.cgroup)).transpose().map_err(cgroup_failure)?;
        Ok(group.filter(|group| !self.record.rootless || group.exists()))
    }

    fn has_own_pids(&self) -> bool {
        self.record.namespaces.iter().any(|name| name == "pid")
    }

    fn exec_facts(&self, spec: &Spec, group: Option<&cgroup::Group>) -> Result<ExecFacts> {
        let linux = spec.linux.as_ref();
        let keyring =
            CString::new(format!("_ses.{}", self.id())).ok().filter(|_| !self.record.no_new_keyring);
        let mut namespaces = flags_of(&self.record.namespaces, self.record.pid)?;
        // setns(2): a pid namespace takes CAP_SYS_ADMIN also in one's own user namespace, which an ordinary user has
        // only once inside the container's. And who is root of a user namespace alone could not leave it again.
        let unprivileged = namespaces.contains(NamespaceFlags::USER) && !is_privileged();
        if self.has_own_pids() && (unprivileged || sys::process::in_user_namespace()) {
            namespaces |= NamespaceFlags::PID;
        }
        Ok(ExecFacts {
            namespaces,
            joins_cgroups: group.is_some_and(|group| !group.is_unified()),
            keyring,
            stdio: false,
            seccomp: linux.is_some_and(|linux| linux.seccomp.is_some()),
            memory_policy: linux
                .and_then(|linux| linux.memory_policy.as_ref())
                .map(memory_policy)
                .transpose()
                .map_err(|error| Failure::because("validate", "config.json", error))?,
            personality: linux.and_then(|linux| linux.personality.as_ref()).map(personality),
        })
    }

    /// v2: born in the group. One that hands down controllers takes no process; then it goes where init went.
    fn clone_into(&self, group: Option<&cgroup::Group>) -> Result<Cloned> {
        let target = group.map(cgroup::Group::clone_target).transpose().map_err(cgroup_failure)?.flatten();
        let clone = |target: Option<BorrowedFd<'_>>| sys::process::clone(CloneFlags::empty(), target);
        match clone(target.as_ref().map(AsFd::as_fd)) {
            Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {
                let moved = group.and_then(|group| group.of_init(self.record.pid.unsigned_abs()).transpose());
                let moved = moved.transpose().map_err(cgroup_failure)?;
                let target =
                    moved.as_ref().map(cgroup::Group::clone_target).transpose().map_err(cgroup_failure)?;
                clone(target.flatten().as_ref().map(AsFd::as_fd))
                    .or_fail("clone3", "a process into the cgroup of init")
            }
            other => other.or_fail("clone3", "a process"),
        }
    }

    fn accompany(
        &self,
        executed: &Executed,
        end: &protocol::ParentEnd,
        linux: &oci::spec::Linux,
        options: &ExecOptions,
    ) -> Result<()> {
        let conversation = Conversation { end, pid: executed.pid };
        let state = state_of(&self.record, Status::Running);
        loop {
            match conversation.next()? {
                Told::Ready => break,
                Told::Notify(fd) => {
                    hand_over(&executed.pidfd, fd, linux.seccomp.as_ref(), &state, executed.pid)?;
                }
                Told::Hooks | Told::Source(_) => {}
            }
            end.go().or_fail("speak to", "the process")?;
        }
        if let Some(path) = &options.pid_file {
            write_pid_file(path, executed.pid.as_raw_nonzero().get())?;
        }
        end.go().or_fail("speak to", "the process")?;
        await_exec(end)
    }
}

/// Children are again born in the caller's own pid namespace.
fn leave_pids() -> Result<()> {
    let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty());
    let own = own.or_fail("open pidfd of", "the runtime")?;
    sys::process::setns(own.as_fd(), NamespaceFlags::PID).or_fail("return to", "the own pid namespace")
}

fn is_privileged() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// `execCPUAffinity.initial`: what the process runs on while it joins.
fn not_joined(error: cgroup::Error) -> Failure {
    Failure::because("error adding pid of the process to cgroups", "", error)
}

fn set_initial_affinity(process: &Process) -> Result<()> {
    let Some(affinity) = process.exec_cpu_affinity.as_ref().filter(|affinity| !affinity.initial.is_empty())
    else {
        return Ok(());
    };
    let cpus = number_list(&affinity.initial, 8192).ok_or_else(|| {
        Failure::because(
            "validate",
            "process.execCPUAffinity.initial",
            format!("invalid CPU list {:?}", affinity.initial),
        )
    })?;
    sys::sched::set_affinity(&cpus).or_fail("set", "the CPU affinity")
}
