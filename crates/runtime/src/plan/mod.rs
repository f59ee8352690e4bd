//! From a configuration to the steps that make its container: pure, needs no privilege, changes nothing.

mod mount;
mod namespaces;
mod process;
mod step;

use std::collections::HashSet;
use std::ffi::CString;
use std::fmt;
use std::path::{Path, PathBuf};

use namespace::Kind;
use oci::spec::{Device, Hooks, Linux, Process, Spec};
use sys::process::NamespaceFlags;

pub use mount::{Change, IdMapPlan, Link, MountPlan, Propagation, Source};
pub use namespaces::Namespaces;
pub use process::{memory_policy, number_list, personality, rlimits};
pub use step::{ConsoleSize, Credentials, DevicePlan, Lsm, RlimitPlan, RootSwitch, Step};

/// A configuration that can't be carried out: where, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {problem}")]
pub struct Invalid {
    /// JSON path of the offending field.
    pub at: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A checked value.
pub type Checked<T> = Result<T, Invalid>;

pub(crate) fn invalid(at: impl Into<String>, problem: impl Into<String>) -> Invalid {
    Invalid { at: at.into(), problem: problem.into() }
}

/// What the plan must know that is not in the configuration.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The bundle's absolute path.
    pub bundle: PathBuf,
    /// The container's id, for the keyring's name.
    pub id: String,
    /// Whether the caller lacks privileges on the host.
    pub rootless: bool,
    /// Whether the runtime itself is in a user namespace that is not the host's.
    pub in_user_namespace: bool,
    /// `--no-pivot`.
    pub no_pivot: bool,
    /// `--no-new-keyring`.
    pub no_new_keyring: bool,
    /// Whether `start` comes later (create) or at once (run).
    pub wait_for_start: bool,
    /// Whether cgroups are joined by init itself.
    pub joins_cgroups: bool,
    /// Whether network devices are moved in, or limits set from outside.
    pub parent_acts: bool,
}

/// What is to be done for one container.
#[derive(Clone, Debug)]
pub struct StartPlan {
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// What init does, in order.
    pub init: Vec<Step>,
    /// What the configuration says that is unknown and has no effect.
    pub warnings: Vec<String>,
}

impl StartPlan {
    /// Plans the start of a container.
    ///
    /// # Errors
    /// [`Invalid`] with the JSON path of the first field that can't be carried out.
    pub fn new(spec: &Spec, facts: &Facts) -> Checked<Self> {
        let process =
            spec.process.as_ref().ok_or_else(|| invalid("process", "process property must not be empty"))?;
        let root = spec.root.as_ref().ok_or_else(|| invalid("root", "root property must not be empty"))?;
        let none = Linux::default();
        let linux = spec.linux.as_ref().unwrap_or(&none);
        let namespaces = Namespaces::new(&linux.namespaces)?;
        let builder = Builder { spec, process, linux, namespaces: &namespaces, facts };

        let mut init = builder.enter_namespaces()?;
        init.extend(builder.session());
        init.extend(builder.root(&root.path)?);
        init.extend(builder.switch_root(root.readonly)?);
        init.extend(builder.kernel_settings()?);
        // From within a user namespace no limit can be raised: there the parent sets them.
        if !namespaces.has(Kind::User) {
            init.extend(process::rlimits(process)?.into_iter().map(Step::Rlimit));
        }
        init.extend(process::attributes(process)?);
        init.extend(builder.execution_domain()?);
        init.extend(process::labels(process));
        init.extend(process::privileges(process, linux.seccomp.is_some())?);
        init.extend(builder.start());
        let warnings = process::capability_warnings(process);
        Ok(Self { namespaces, init, warnings })
    }
}

struct Builder<'a> {
    spec: &'a Spec,
    process: &'a Process,
    linux: &'a Linux,
    namespaces: &'a Namespaces,
    facts: &'a Facts,
}

impl Builder<'_> {
    fn enter_namespaces(&self) -> Checked<Vec<Step>> {
        let mut steps: Vec<Step> = self.process.oom_score_adj.map(Step::OomScore).into_iter().collect();
        let intermediate = self.namespaces.needs_intermediate();
        if self.facts.parent_acts || self.namespaces.makes(Kind::User) {
            steps.push(Step::AwaitParent);
        }
        if self.facts.joins_cgroups && !intermediate {
            steps.push(Step::JoinCgroups);
        }
        if !intermediate {
            steps.extend(self.namespaces.join.iter().map(|(kind, _)| Step::Join(*kind)));
        }
        steps.push(Step::AllCpus);
        let offsets = namespaces::time_offsets(self.linux)?;
        // Before the ids change, for by that /proc/self becomes the host's root's.
        if self.namespaces.makes(Kind::Time) {
            steps.push(Step::NewTime(offsets));
        } else if !self.linux.time_offsets.is_empty() {
            let problem =
                "time offsets need a new time namespace (linux.namespaces of type time without path)";
            return Err(invalid("linux.timeOffsets", problem));
        }
        if self.namespaces.has(Kind::User) {
            steps.push(Step::BecomeRoot);
        }
        if self.namespaces.makes(Kind::Cgroup) {
            steps.push(Step::Unshare(NamespaceFlags::CGROUP));
        }
        // /proc/PID of a process that is not dumpable is root's: where an ordinary user makes a user namespace, his
        // hooks could not look at it either. There the ids differ from those of all who might.
        if !self.namespaces.makes(Kind::User) {
            steps.push(Step::HideMemory);
        }
        Ok(steps)
    }

    fn session(&self) -> Vec<Step> {
        let mut steps = vec![Step::NewSession];
        if !self.facts.no_new_keyring {
            // An id holds no NUL.
            let name = CString::new(format!("_ses.{}", self.facts.id)).unwrap_or_default();
            steps.push(Step::Keyring(name));
        }
        if self.namespaces.makes(Kind::Net) {
            steps.push(Step::Loopback);
        }
        if !self.linux.net_devices.is_empty() {
            steps.push(Step::NetDevices);
        }
        steps
    }

    fn root(&self, root: &str) -> Checked<Vec<Step>> {
        let mut steps = Vec::new();
        let own_mounts = self.namespaces.has(Kind::Mount);
        if !own_mounts && !self.spec.mounts.is_empty() {
            let problem = "mounts would stay on the host: the container needs a mount namespace";
            return Err(invalid("mounts", problem));
        }
        if own_mounts {
            let slave = Propagation { kind: libc::MS_SLAVE, recursive: true };
            steps.push(Step::PropagateHost(self.root_propagation()?.unwrap_or(slave)));
        }
        steps.push(Step::OpenRoot { path: self.facts.bundle.join(root), bind: own_mounts });
        for (i, mount) in self.spec.mounts.iter().enumerate() {
            let mut plan = MountPlan::new(i, mount, &self.facts.bundle, &self.linux.mount_label);
            // From within a user namespace flags of the host's mounts can't be taken away.
            if !self.namespaces.has(Kind::User) {
                plan.take_flags_literally();
            }
            steps.push(Step::Mount(Box::new(plan)));
        }
        if own_mounts && !self.dev_is_bound() {
            steps.extend(self.devices()?);
        }
        if self.has_runtime_hooks() {
            steps.push(Step::RuntimeHooks);
        }
        if let Some(Hooks { create_container, .. }) = &self.spec.hooks
            && !create_container.is_empty()
        {
            steps.push(Step::ContainerHooks(create_container.clone()));
        }
        if !self.process.cwd.is_empty() {
            steps.push(Step::MakeWorkingDirectory(self.process.cwd.clone()));
        }
        Ok(steps)
    }

    fn has_runtime_hooks(&self) -> bool {
        self.spec.hooks.as_ref().is_some_and(|h| !h.prestart.is_empty() || !h.create_runtime.is_empty())
    }

    fn root_propagation(&self) -> Checked<Option<Propagation>> {
        match self.linux.rootfs_propagation.as_str() {
            "" => Ok(None),
            text => match mount::propagation(text) {
                Some(change) => Ok(Some(change)),
                None => Err(invalid(
                    "linux.rootfsPropagation",
                    format!(
                        "rootfsPropagation={text} is not supported: use shared, slave, private or unbindable"
                    ),
                )),
            },
        }
    }

    /// A bound /dev is the host's: nothing is made in it.
    fn dev_is_bound(&self) -> bool {
        self.spec.mounts.iter().enumerate().any(|(i, mount)| {
            clean(&mount.destination) == Path::new("/dev")
                && matches!(MountPlan::new(i, mount, &self.facts.bundle, "").source, Source::Bind { .. })
        })
    }

    /// The devices that the specification promises (config-linux.md, *Default Devices*), then those asked for.
    fn devices(&self) -> Checked<Vec<Step>> {
        let bind = self.namespaces.has(Kind::User) || self.facts.in_user_namespace;
        let mut plans: Vec<DevicePlan> = Vec::new();
        for (path, major, minor) in [
            ("/dev/null", 1, 3),
            ("/dev/zero", 1, 5),
            ("/dev/full", 1, 7),
            ("/dev/random", 1, 8),
            ("/dev/urandom", 1, 9),
            ("/dev/tty", 5, 0),
        ] {
            let (path, mode) = (path.to_owned(), 0o666);
            plans.push(DevicePlan { path, kind: libc::S_IFCHR, major, minor, mode, uid: 0, gid: 0, bind });
        }
        for (i, device) in self.linux.devices.iter().enumerate() {
            // Made as a link to pts/ptmx, whatever the configuration says (runc does so too).
            if clean(&device.path) == Path::new("/dev/ptmx") {
                continue;
            }
            let plan = self.device(i, device, bind)?;
            plans.retain(|earlier| earlier.path != plan.path);
            plans.push(plan);
        }
        Ok(plans.into_iter().map(Step::Device).chain([Step::DeviceLinks]).collect())
    }

    fn device(&self, i: usize, device: &Device, bind: bool) -> Checked<DevicePlan> {
        let at = |field: &str| format!("linux.devices[{i}].{field}");
        if !device.path.starts_with('/') {
            return Err(invalid(at("path"), format!("{:?} is not absolute", device.path)));
        }
        let kind = match device.kind.as_str() {
            "c" | "u" => libc::S_IFCHR,
            "b" => libc::S_IFBLK,
            "p" => libc::S_IFIFO,
            other => {
                return Err(invalid(at("type"), format!("invalid device type {other:?}: use c, u, b or p")));
            }
        };
        let number = |value: i64, field| {
            u32::try_from(value).map_err(|_| invalid(at(field), format!("{value} is no device number")))
        };
        Ok(DevicePlan {
            path: device.path.clone(),
            kind,
            major: number(device.major, "major")?,
            minor: number(device.minor, "minor")?,
            mode: device.file_mode.unwrap_or(0o666) & 0o7777,
            uid: device.uid.unwrap_or(0),
            gid: device.gid.unwrap_or(0),
            bind: bind && kind != libc::S_IFIFO,
        })
    }

    fn switch_root(&self, readonly: bool) -> Checked<Vec<Step>> {
        let switch = if !self.namespaces.has(Kind::Mount) {
            RootSwitch::Chroot
        } else if self.facts.no_pivot {
            RootSwitch::Move
        } else {
            RootSwitch::Pivot
        };
        let mut steps = vec![Step::EnterRoot(switch)];
        if self.namespaces.has(Kind::Mount) {
            steps.extend(self.root_propagation()?.map(Step::PropagateRoot));
        }
        if self.process.terminal {
            steps.push(Step::Console(self.process.console_size));
        }
        for (i, mount) in self.spec.mounts.iter().enumerate() {
            if MountPlan::new(i, mount, &self.facts.bundle, "").readonly_later {
                steps.push(Step::MakeReadonly(mount.destination.clone()));
            }
        }
        if readonly {
            steps.push(Step::ReadonlyRoot);
        }
        Ok(steps)
    }

    fn kernel_settings(&self) -> Checked<Vec<Step>> {
        let mut steps = vec![Step::Umask(self.process.user.umask.unwrap_or(0o022))];
        let named = [
            (&self.spec.hostname, "hostname", Step::Hostname as fn(String) -> Step),
            (&self.spec.domainname, "domainname", Step::Domainname),
        ];
        for (name, at, step) in named {
            if name.is_empty() {
                continue;
            }
            if !self.namespaces.has(Kind::Uts) {
                return Err(invalid(at, format!("unable to set {at} without a private UTS namespace")));
            }
            steps.push(step(name.clone()));
        }
        for (key, value) in &self.linux.sysctl {
            steps.push(Step::Sysctl { path: sysctl_path(key)?, value: value.clone() });
        }
        if !self.namespaces.has(Kind::Mount) {
            for (at, paths) in [
                ("linux.maskedPaths", &self.linux.masked_paths),
                ("linux.readonlyPaths", &self.linux.readonly_paths),
            ] {
                if !paths.is_empty() {
                    return Err(invalid(
                        at,
                        "unable to restrict sys entries without a private MNT namespace",
                    ));
                }
            }
        }
        steps.extend(self.linux.readonly_paths.iter().cloned().map(Step::ReadonlyPath));
        if !self.linux.masked_paths.is_empty() {
            let mut paths = self.linux.masked_paths.clone();
            let mut seen = HashSet::new();
            paths.retain(|path| seen.insert(clean(path)));
            steps.push(Step::MaskPaths(paths));
        }
        if self.process.no_new_privileges {
            steps.push(Step::NoNewPrivileges);
        }
        Ok(steps)
    }

    fn execution_domain(&self) -> Checked<Vec<Step>> {
        let mut steps = Vec::new();
        if let Some(policy) = &self.linux.memory_policy {
            let (mode, nodes) = process::memory_policy(policy)?;
            steps.push(Step::MemoryPolicy(mode, nodes));
        }
        if let Some(personality) = &self.linux.personality {
            if !matches!(personality.domain.as_str(), "LINUX" | "LINUX32") {
                let problem =
                    format!("invalid personality domain {:?}: use LINUX or LINUX32", personality.domain);
                return Err(invalid("linux.personality.domain", problem));
            }
            if !personality.flags.is_empty() {
                return Err(invalid("linux.personality.flags", "unsupported personality flags"));
            }
            steps.push(Step::Personality(process::personality(personality)));
        }
        Ok(steps)
    }

    fn start(&self) -> Vec<Step> {
        let mut steps = vec![Step::Ready];
        if self.facts.wait_for_start {
            steps.push(Step::AwaitStart);
        }
        steps.push(Step::LetGo);
        if let Some(Hooks { start_container, .. }) = &self.spec.hooks
            && !start_container.is_empty()
        {
            steps.push(Step::StartHooks(start_container.clone()));
        }
        steps.push(Step::Exec);
        steps
    }
}

/// What a process does that joins a running container.
///
/// # Errors
/// [`Invalid`] with the JSON path of the first field that can't be carried out.
pub fn exec_steps(process: &Process, container: &ExecFacts) -> Checked<Vec<Step>> {
    let mut steps = Vec::new();
    if container.joins_cgroups {
        steps.push(Step::JoinCgroups);
    }
    if process.exec_cpu_affinity.is_none() {
        steps.push(Step::AllCpus);
    }
    steps.extend(process.oom_score_adj.map(Step::OomScore));
    // Before the user namespace is entered: from within none can be raised.
    steps.extend(process::rlimits(process)?.into_iter().map(Step::Rlimit));
    steps.push(Step::JoinContainer(container.namespaces));
    if container.namespaces.contains(NamespaceFlags::USER) {
        steps.push(Step::BecomeRoot);
    }
    steps.push(Step::NewSession);
    if let Some(name) = &container.keyring {
        steps.push(Step::Keyring(name.clone()));
    }
    if process.terminal {
        steps.push(Step::Console(process.console_size));
    }
    steps.push(Step::Umask(process.user.umask.unwrap_or(0o022)));
    if process.no_new_privileges {
        steps.push(Step::NoNewPrivileges);
    }
    steps.extend(process::attributes(process)?);
    if let Some(affinity) = process.exec_cpu_affinity.as_ref().filter(|affinity| !affinity.last.is_empty()) {
        let cpus = number_list(&affinity.last, 8192).ok_or_else(|| {
            invalid("process.execCPUAffinity.final", format!("invalid CPU list {:?}", affinity.last))
        })?;
        steps.push(Step::Affinity(cpus));
    }
    steps.extend(container.memory_policy.clone().map(|(mode, nodes)| Step::MemoryPolicy(mode, nodes)));
    steps.extend(container.personality.map(Step::Personality));
    steps.extend(process::labels(process));
    steps.extend(process::privileges(process, container.seccomp)?);
    steps.push(Step::Ready);
    steps.push(Step::LetGo);
    steps.push(Step::Exec);
    Ok(steps)
}

/// What the plan of an exec must know of the container.
#[derive(Clone, Debug)]
pub struct ExecFacts {
    /// Its namespaces that are not the runtime's.
    pub namespaces: NamespaceFlags,
    /// Whether the process writes itself into the cgroups.
    pub joins_cgroups: bool,
    /// Session keyring to join.
    pub keyring: Option<CString>,
    /// Whether it has a seccomp filter.
    pub seccomp: bool,
    /// Its execution domain.
    pub personality: Option<u32>,
    /// Its memory policy: mode with flags, and nodes.
    pub memory_policy: Option<(u32, Vec<u32>)>,
}

/// The path below /proc/sys: dots separate components, and slashes too as in sysctl(8), where the first of the two
/// that occurs is the separator.
fn sysctl_path(key: &str) -> Checked<String> {
    let path = match key.find(['.', '/']) {
        Some(at) if key.as_bytes()[at] == b'/' => key.to_owned(),
        _ => key
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
    };
    let bad = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains('\0');
    if path.split('/').any(bad) {
        return Err(invalid(format!("linux.sysctl.{key}"), "is no name of a kernel parameter"));
    }
    Ok(path)
}

/// The path without doubled slashes, `.` and trailing slashes.
fn clean(path: &str) -> PathBuf {
    Path::new(path).components().collect()
}

impl fmt::Display for StartPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags: Vec<_> = self.namespaces.clone_flags().iter_names().map(|(name, _)| name).collect();
        writeln!(f, "parent:")?;
        if self.namespaces.needs_intermediate() {
            for (kind, path) in &self.namespaces.join {
                writeln!(
                    f,
                    "  join the {} namespace {} in a process between",
                    kind.oci_name(),
                    path.display()
                )?;
            }
        }
        writeln!(
            f,
            "  clone3 {}",
            if flags.is_empty() { "(no new namespaces)".into() } else { flags.join(" ") }
        )?;
        writeln!(f, "init:")?;
        self.init.iter().try_for_each(|step| writeln!(f, "  {step}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::spec::{Mount, Namespace, Root};

    fn minimal() -> Spec {
        let namespaces = ["pid", "mount", "network", "ipc", "uts", "cgroup"]
            .map(|kind| Namespace { kind: kind.into(), path: String::new() })
            .to_vec();
        Spec {
            oci_version: "1.0.2".into(),
            process: Some(Process { args: vec!["true".into()], cwd: "/".into(), ..Process::default() }),
            root: Some(Root { path: "rootfs".into(), readonly: true }),
            hostname: "h".into(),
            mounts: vec![Mount { destination: "/proc".into(), kind: "proc".into(), ..Mount::default() }],
            linux: Some(Linux { namespaces, ..Linux::default() }),
            ..Spec::default()
        }
    }

    fn place(plan: &StartPlan, wanted: &str) -> usize {
        let found = plan.init.iter().position(|step| step.to_string().starts_with(wanted));
        found.unwrap_or_else(|| panic!("no step {wanted:?} in\n{plan}"))
    }

    #[test]
    fn the_order_is_mounts_root_switch_credentials_exec() {
        let facts = Facts { bundle: "/b".into(), id: "c".into(), joins_cgroups: true, ..Facts::default() };
        let plan = StartPlan::new(&minimal(), &facts).unwrap();
        let order = [
            "join the container's cgroups",
            "unshare cgroup",
            "make all mounts recursively slave",
            "bind /b/rootfs onto itself",
            "mount proc at /proc",
            "make device /dev/null 1:3",
            "pivot_root",
            "make / read-only",
            "set host name h",
            "become 0:0",
            "find the program",
            "report ready",
            "exec",
        ];
        let places: Vec<_> = order.iter().map(|wanted| place(&plan, wanted)).collect();
        assert!(places.is_sorted(), "{places:?}\n{plan}");
    }

    #[test]
    fn a_bound_dev_is_left_alone() {
        let mut spec = minimal();
        let options = vec!["rbind".into()];
        spec.mounts.push(Mount {
            destination: "/dev/".into(),
            source: "/dev".into(),
            options,
            ..Mount::default()
        });
        let plan = StartPlan::new(&spec, &Facts::default()).unwrap();
        assert!(!plan.init.iter().any(|step| matches!(step, Step::Device(_) | Step::DeviceLinks)));
    }

    #[test]
    fn mounts_without_a_mount_namespace_are_refused() {
        let mut spec = minimal();
        spec.linux.as_mut().unwrap().namespaces.retain(|n| n.kind != "mount");
        assert_eq!(StartPlan::new(&spec, &Facts::default()).unwrap_err().at, "mounts");
    }

    #[test]
    fn sysctl_names_are_dotted_or_slashed_and_stay_below_proc_sys() {
        assert_eq!(sysctl_path("net.ipv4.ip_forward").unwrap(), "net/ipv4/ip_forward");
        assert_eq!(
            sysctl_path("net/ipv4/conf/eth0.1/forwarding").unwrap(),
            "net/ipv4/conf/eth0.1/forwarding"
        );
        assert_eq!(
            sysctl_path("net.ipv4.conf.eth0/1.forwarding").unwrap(),
            "net/ipv4/conf/eth0.1/forwarding"
        );
        for bad in ["", "/etc/passwd", "../x", "net/../../x", "a//b"] {
            assert!(sysctl_path(bad).is_err(), "{bad}");
        }
    }
}
