//! Making a container: everything that is done on the host's side, and its undoing.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use namespace::{IdKind, Kind, NamespaceFile};
use oci::ContainerId;
use oci::spec::{Linux, Spec, State, Status};
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;
use seccomp::Architecture;

use crate::config::Bundle;
use crate::conversation::{Conversation, Told};
use crate::failure::{Failure, OrFail, Result};
use crate::init::{CgroupView, Init, Report, id_map};
use crate::netdevice::{Moved, Transfer};
use crate::options::{Born, CreateOptions};
use crate::plan::{Facts, StartPlan, Step, rlimits};
use crate::protocol;
use crate::rdt::Rdt;
use crate::spawn::{Spawned, spawn};
use crate::state::{Lock, Record, StateDir, StateRoot};
use crate::{Container, hooks, limits, notify, process, sources};

/// A container that was made, with its first process, of which the caller is the parent.
#[derive(Debug)]
pub struct Created {
    /// The container.
    pub container: Container,
    /// Its first process.
    pub pid: Pid,
    /// The same, safe from reuse of the number.
    pub pidfd: OwnedFd,
    /// What was ignored or went wrong without harm.
    pub warnings: Vec<String>,
    /// The socket for sd_notify(3), where the program runs already and has one.
    pub notify: Option<OwnedFd>,
}

/// Plans a container's start, changing nothing: `--dry-run`.
///
/// # Errors
/// A configuration that can't be carried out.
pub fn plan(id: &ContainerId, bundle: Bundle, options: &CreateOptions<'_>) -> Result<StartPlan> {
    Ok(Prepared::new(id, bundle, options)?.plan)
}

/// Makes a container. On an error nothing of it is left.
///
/// # Errors
/// What went wrong, from the configuration's first field to the program's exec.
pub fn create(
    root: &StateRoot,
    id: &ContainerId,
    bundle: Bundle,
    options: CreateOptions<'_>,
) -> Result<Created> {
    let prepared = Prepared::new(id, bundle, &options)?;
    // Of reading and planning.
    sys::memory::forget_code();
    let (dir, lock) = root.reserve(id)?;
    let mut making =
        Making { prepared, options, dir, lock, spawned: None, cgroup: None, rdt: None, transfer: None };
    match making.make(root, id) {
        Ok(created) => Ok(created),
        Err(failure) => {
            let failure = making.explain(failure);
            making.undo();
            Err(failure)
        }
    }
}

/// All that is decided before anything is touched.
struct Prepared {
    spec: Spec,
    text: Vec<u8>,
    bundle: PathBuf,
    linux: Rc<Linux>,
    plan: StartPlan,
    filter: Option<seccomp::Filter>,
    group: cgroup::Group,
}

impl Prepared {
    fn new(id: &ContainerId, bundle: Bundle, options: &CreateOptions<'_>) -> Result<Self> {
        let Bundle { path: bundle, mut spec, text } = bundle;
        spec.mounts.extend(options.notify.as_deref().map(notify::mount));
        let empty = Linux::default();
        let linux = spec.linux.as_ref().unwrap_or(&empty);
        let facts = oci::validate::Host {
            rootless: options.rootless,
            no_pivot: options.no_pivot,
            joins_own_network: joins_own_network(linux),
        };
        oci::validate::validate(&spec, &facts)
            .map_err(|error| Failure::because("validate", "config.json", error))?;
        let host = cgroup::Host::detect().map_err(cgroup_failure)?;
        let path = Some(linux.cgroups_path.as_str()).filter(|path| !path.is_empty());
        let users = options.rootless || options.users_cgroups;
        let group = cgroup::Group::locate(&host, &options.cgroup_driver, path, id.as_str(), users)
            .and_then(|group| group.with_annotations(&spec.annotations))
            .map_err(cgroup_failure)?;
        let filter = linux.seccomp.as_ref().map(compile).transpose()?;
        let user_namespace = linux.namespaces.iter().any(|namespace| namespace.kind == "user");
        let facts = Facts {
            bundle: bundle.clone(),
            id: id.to_string(),
            rootless: options.rootless,
            in_user_namespace: sys::process::in_user_namespace(),
            no_pivot: options.no_pivot,
            no_new_keyring: options.no_new_keyring,
            wait_for_start: !options.start,
            rootfs: options.rootfs.is_some(),
            stdio: options.stdio.is_some(),
            joins_cgroups: !group.is_systemd() && !group.is_unified(),
            parent_acts: user_namespace
                || group.is_systemd()
                || !linux.net_devices.is_empty()
                || linux.intel_rdt.is_some(),
        };
        let plan = StartPlan::new(&spec, &facts)
            .map_err(|error| Failure::because("validate", "config.json", error))?;
        if let Some(process) = &mut spec.process {
            process.env.extend(options.extra_env.iter().cloned());
        }
        let linux = Rc::new(spec.linux.take().unwrap_or_default());
        Ok(Self { spec, linux, text, bundle, plan, filter, group })
    }
}

pub(crate) fn compile(profile: &oci::spec::seccomp::Seccomp) -> Result<seccomp::Filter> {
    let host = Architecture::native().ok_or_else(|| {
        Failure::because("compile", "the seccomp profile", "this machine's architecture is not known")
    })?;
    seccomp::compile(profile, host).map_err(|error| Failure::because("compile", "the seccomp profile", error))
}

pub(crate) fn cgroup_failure(error: cgroup::Error) -> Failure {
    Failure { errno: None, ..Failure::because("unable to apply cgroup configuration:", "", error) }
}

/// A container half made, and what has to be undone.
struct Making<'a> {
    prepared: Prepared,
    options: CreateOptions<'a>,
    dir: StateDir,
    #[allow(dead_code, reason = "held for its flock")]
    lock: Lock,
    spawned: Option<Spawned>,
    cgroup: Option<cgroup::Group>,
    rdt: Option<Rdt>,
    transfer: Option<Transfer>,
}

impl Making<'_> {
    fn make(&mut self, root: &StateRoot, id: &ContainerId) -> Result<Created> {
        let linux = Rc::clone(&self.prepared.linux);
        let mut record = self.record(id);
        self.dir.write_config(&self.prepared.text)?;
        let notify = self.make_notify()?;
        self.make_cgroup(&linux, None)?;
        record.cgroup.clone_from(&self.cgroup);
        if let Some(rdt) = &linux.intel_rdt {
            let rdt = Rdt::plan(id.as_str(), rdt)?;
            rdt.create()?;
            record.rdt = Some(rdt.clone());
            self.rdt = Some(rdt);
        }
        if !self.options.start {
            self.dir.make_fifo()?;
        }
        self.dir.write(&record)?;

        let devices = Moved::read_all(&linux.net_devices)?;
        let (ours, theirs) = protocol::pair().or_fail("make", "a socket pair")?;
        let spawned = self.spawn(&record, theirs, devices.clone())?;
        record.pid = spawned.pid.as_raw_nonzero().get();
        record.start_time = process::start_time(record.pid)?.unwrap_or_default();
        let pid = spawned.pid;
        self.spawned = Some(spawned);
        self.make_cgroup(&linux, Some(pid))?;
        record.cgroup.clone_from(&self.cgroup);
        let plan = &self.prepared.plan.init;
        let looks =
            |step: &Step| matches!(step, Step::AwaitParent | Step::RuntimeHooks | Step::ContainerHooks(_));
        if plan.iter().any(looks) {
            // Somebody may ask for the state before it is complete.
            self.dir.write(&record)?;
        }
        if plan.iter().any(|step| matches!(step, Step::AwaitParent)) {
            self.act(&linux, pid)?;
            self.send_devices(pid, devices)?;
            ours.go().or_fail("speak to", "init")?;
        }
        self.prepare()?;

        let mut state = state_of(&record, Status::Creating);
        self.converse(&Conversation { end: &ours, pid }, &mut state)?;
        self.limit(pid)?;
        record.creating = false;
        self.dir.write(&record)?;
        if let Some(path) = &self.options.pid_file {
            write_pid_file(path, record.pid)?;
        }
        ours.go().or_fail("speak to", "init")?;
        let warnings = std::mem::take(&mut self.prepared.plan.warnings);
        if self.options.start {
            crate::conversation::await_exec(&ours)?;
            state.status = Status::Running;
            hooks::run("poststart", &record.poststart, &state, Some(&record.bundle))?;
        }
        let Some(Spawned { pid, pidfd }) = self.spawned.take() else {
            return Err(Failure::because("create", id, "its first process is lost"));
        };
        let container = Container::from_record(root, id.clone(), record);
        Ok(Created { container, pid, pidfd, warnings, notify })
    }

    /// For `create` it is `start` that listens.
    fn make_notify(&self) -> Result<Option<OwnedFd>> {
        let Some(directory) = &self.options.notify else { return Ok(None) };
        notify::make_directory(directory)?;
        self.options.start.then(|| notify::listen(directory)).transpose()
    }

    fn record(&self, id: &ContainerId) -> Record {
        let Prepared { spec, bundle, plan, .. } = &self.prepared;
        let hooks = spec.hooks.clone().unwrap_or_default();
        let namespaces = &plan.namespaces;
        let kinds = Kind::ALL.into_iter().filter(|kind| namespaces.has(*kind));
        Record {
            oci_version: spec.oci_version.clone(),
            id: id.to_string(),
            pid: 0,
            start_time: 0,
            bundle: bundle.clone(),
            rootfs: bundle.join(spec.root.as_ref().map_or("", |root| &root.path)),
            created: crate::time::now(),
            owner: rustix::process::geteuid().as_raw(),
            creating: true,
            annotations: spec.annotations.clone(),
            cgroup: None,
            rdt: None,
            namespaces: kinds.map(|kind| kind.oci_name().to_owned()).collect(),
            shares_pids: !namespaces.makes(Kind::Pid),
            rootless: self.options.rootless || self.options.users_cgroups,
            no_new_keyring: self.options.no_new_keyring,
            poststart: hooks.poststart,
            poststop: hooks.poststop,
        }
    }

    /// systemd makes the group around a process, so after the clone; cgroupfs before, so that init is born inside.
    fn make_cgroup(&mut self, linux: &Linux, pid: Option<Pid>) -> Result<()> {
        let mut group = self.prepared.group.clone();
        if group.is_systemd() != pid.is_some() {
            return Ok(());
        }
        let mut resources = linux.resources.clone().unwrap_or_default();
        resources.devices = cgroup::with_default_devices(&resources.devices, &linux.devices);
        let pid = pid.map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
        group.create(Some(&resources), pid).map_err(cgroup_failure)?;
        self.cgroup = Some(group);
        Ok(())
    }

    fn spawn(&mut self, record: &Record, end: protocol::InitEnd, net_devices: Vec<Moved>) -> Result<Spawned> {
        let group = self.cgroup.as_ref();
        let target = group.map(cgroup::Group::clone_target).transpose().map_err(cgroup_failure)?.flatten();
        let cgroup_files = group.map(cgroup::Group::join_files).transpose().map_err(cgroup_failure)?;
        let namespaces = &self.prepared.plan.namespaces;
        let joined = namespaces.join.iter().map(|(kind, path)| {
            NamespaceFile::open_kind(path, *kind)
                .map_err(|error| Failure::because("join", format!("{} namespace", kind.oci_name()), error))
        });
        let paths =
            self.prepared.group.paths().into_iter().map(|(name, path)| (name.to_owned(), path)).collect();
        let process = self.prepared.spec.process.as_ref();
        let init = Init {
            process: process
                .ok_or_else(|| Failure::because("create", "", "process property must not be empty"))?,
            report: Report::Parent(end),
            proc: Some(open_proc()?),
            cgroup_files: cgroup_files.unwrap_or_default(),
            cgroup_view: Some(CgroupView { paths, own_namespace: namespaces.has(Kind::Cgroup) }),
            namespaces: joined.collect::<Result<_>>()?,
            container: None,
            sources: sources::open(
                &self.prepared.plan,
                &self.prepared.linux,
                self.options.rootless,
                std::mem::take(&mut self.options.trees),
            )?,
            net_devices,
            rootfs: self.options.rootfs.take(),
            stdio: self.options.stdio.take(),
            console_socket: self.options.console_socket.take(),
            relays_console: self.options.relays_console,
            start_fifo: if self.options.start { None } else { Some(open_path(&self.dir.fifo())?) },
            filter: self.prepared.filter.take(),
            hook_state: state_of(record, Status::Creating),
            preserve_fds: self.options.preserve_fds,
            root: None,
            kernel_mounts: Vec::new(),
            root_place: None,
            device_directory: None,
            root_path: PathBuf::new(),
            in_working_directory: false,
            program: None,
        };
        spawn(namespaces, target.as_ref().map(AsFd::as_fd), init, &self.prepared.plan.init)
    }

    /// What only the host's side can do for init, while it waits.
    fn act(&self, linux: &Linux, pid: Pid) -> Result<()> {
        if self.prepared.plan.namespaces.makes(Kind::User) {
            self.map_ids(linux, pid)?;
        }
        if let Some(rdt) = &self.rdt {
            rdt.attach(pid)?;
        }
        Ok(())
    }

    /// Network devices go into the namespace that init was born in, or is about to join.
    fn send_devices(&mut self, pid: Pid, devices: Vec<Moved>) -> Result<()> {
        if devices.is_empty() {
            return Ok(());
        }
        let path = self.network_of(pid);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let namespace = rustix::fs::open(&path, flags, Mode::empty()).or_fail_at("open", &path)?;
        self.transfer.insert(Transfer::new(namespace, devices)).send()
    }

    fn network_of(&self, pid: Pid) -> PathBuf {
        let joined = self.prepared.plan.namespaces.join.iter().find(|(kind, _)| *kind == Kind::Net);
        let own = || format!("/proc/{}/ns/net", pid.as_raw_nonzero()).into();
        joined.map_or_else(own, |(_, path)| path.clone())
    }

    /// What the caller does while init makes its mounts.
    fn prepare(&mut self) -> Result<()> {
        let (Some(prepare), Some(Spawned { pid, pidfd })) = (self.options.prepare.take(), &self.spawned)
        else {
            return Ok(());
        };
        prepare.run(&Born { pid: *pid, pidfd: pidfd.as_fd(), network: self.network_of(*pid) })
    }

    /// Within a user namespace no limit can be raised; and when mounts are made, the program's limits are none of ours.
    fn limit(&self, pid: Pid) -> Result<()> {
        if self.prepared.plan.namespaces.has(Kind::User)
            && let Some(process) = &self.prepared.spec.process
        {
            let limits =
                rlimits(process).map_err(|error| Failure::because("validate", "config.json", error))?;
            limits.iter().try_for_each(|limit| limits::set(Some(pid), limit))?;
        }
        Ok(())
    }

    fn map_ids(&self, linux: &Linux, pid: Pid) -> Result<()> {
        let uids = id_map(&linux.uid_mappings, "linux.uidMappings")?;
        let gids = id_map(&linux.gid_mappings, "linux.gidMappings")?;
        let refused = |error| Failure::because("map", "ids of the user namespace", error);
        if !self.options.rootless {
            namespace::write_map(pid, IdKind::User, &uids).map_err(refused)?;
            return namespace::write_map(pid, IdKind::Group, &gids).map_err(refused);
        }
        // A single id of one's own needs no helper; setgroups must be given up for it (user_namespaces(7)).
        let own = rustix::process::geteuid().as_raw();
        let single =
            |map: &namespace::IdMap, id| matches!(map.extents(), [e] if e.count == 1 && e.outside == id);
        if single(&uids, own) && single(&gids, rustix::process::getegid().as_raw()) {
            namespace::deny_setgroups(pid).map_err(refused)?;
            namespace::write_map(pid, IdKind::User, &uids).map_err(refused)?;
            return namespace::write_map(pid, IdKind::Group, &gids).map_err(refused);
        }
        namespace::write_map_with_helper(pid, IdKind::User, &uids).map_err(refused)?;
        namespace::write_map_with_helper(pid, IdKind::Group, &gids).map_err(refused)
    }

    /// Answers init until it is ready.
    fn converse(&mut self, conversation: &Conversation<'_>, state: &mut State) -> Result<()> {
        loop {
            match conversation.next()? {
                Told::Ready => return Ok(()),
                Told::Hooks => {
                    let hooks = self.prepared.spec.hooks.clone().unwrap_or_default();
                    let directory = Some(self.prepared.bundle.as_path());
                    hooks::run("prestart", &hooks.prestart, state, directory)?;
                    hooks::run("createRuntime", &hooks.create_runtime, state, directory)?;
                }
                Told::Source(index) => {
                    let Prepared { plan, linux, .. } = &self.prepared;
                    let tree = sources::open_later(plan, linux, index, conversation.pid)?;
                    conversation.end.give(&tree).or_fail("speak to", "init")?;
                    continue;
                }
                Told::Notify(fd) => {
                    let pidfd =
                        &self.spawned.as_ref().ok_or_else(|| Failure::because("find", "init", "lost"))?.pidfd;
                    let profile = self.prepared.linux.seccomp.as_ref();
                    crate::conversation::hand_over(pidfd, fd, profile, state, conversation.pid)?;
                }
            }
            conversation.end.go().or_fail("speak to", "init")?;
        }
    }

    /// Why init ended without a word.
    fn explain(&self, failure: Failure) -> Failure {
        let Some(spawned) = &self.spawned else { return failure };
        if failure.operation != crate::conversation::SILENT {
            return failure;
        }
        let resources = self.prepared.linux.resources.as_ref();
        let limit = resources.and_then(|resources| resources.memory.as_ref()?.limit);
        crate::conversation::epitaph(spawned, self.cgroup.as_ref(), limit, Some(&self.prepared.linux))
    }

    /// Ends init and takes back all that was made. What can't be taken back is for `delete --force`.
    fn undo(&mut self) {
        if let Some(spawned) = self.spawned.take() {
            let _ = sys::process::pidfd_signal(spawned.pidfd.as_fd(), libc::SIGKILL);
            if let Some(group) = &self.cgroup {
                let _ = group.kill_all(rustix::process::Signal::KILL);
            }
            let _ = process::reap(&spawned.pidfd);
        }
        if let Some(transfer) = self.transfer.take() {
            transfer.take_back();
        }
        let removed = self.cgroup.take().is_none_or(|group| group.remove().is_ok());
        let freed = self.rdt.take().is_none_or(|rdt| rdt.remove().is_ok());
        if removed && freed {
            let _ = self.dir.remove();
        }
    }
}

/// What hooks and `state` are told.
pub(crate) fn state_of(record: &Record, status: Status) -> State {
    State {
        oci_version: record.oci_version.clone(),
        id: record.id.clone(),
        status,
        pid: if status == Status::Stopped { 0 } else { record.pid },
        bundle: record.bundle.to_string_lossy().into_owned(),
        annotations: record.annotations.clone(),
    }
}

/// Written beside and renamed: whoever waits for the file never reads half a number.
pub(crate) fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let staged = path.with_file_name(format!(".{name}"));
    fs::write(&staged, pid.to_string()).or_fail_at("write pid file", &staged)?;
    fs::rename(&staged, path).or_fail_at("rename pid file to", path)
}

/// The runtime's own /proc; it must be a procfs, whatever is mounted there.
pub(crate) fn open_proc() -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = rustix::fs::open("/proc", flags, Mode::empty()).or_fail("open", "/proc")?;
    if rustix::fs::fstatfs(&proc).or_fail("statfs", "/proc")?.f_type != rustix::fs::PROC_SUPER_MAGIC {
        return Err(Failure::because("use", "/proc", "it is not a proc file system"));
    }
    Ok(proc)
}

fn open_path(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).or_fail_at("open", path)
}

/// Whether the network namespace that is to be joined is the runtime's own.
fn joins_own_network(linux: &Linux) -> bool {
    let path = linux
        .namespaces
        .iter()
        .find(|namespace| namespace.kind == "network")
        .map(|namespace| &namespace.path);
    let id = |path: &str| rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino)).ok();
    path.filter(|path| !path.is_empty())
        .is_some_and(|path| id(path).is_some() && id(path) == id("/proc/self/ns/net"))
}
