//! From a configuration to the steps that make its container: pure, needs no privilege, changes nothing.

mod device;
mod exec;
mod kernel;
mod mount;
mod namespaces;
mod process;
mod step;

use std::ffi::CString;
use std::fmt;
use std::path::{Path, PathBuf};

use namespace::Kind;
use oci::spec::{Hooks, Linux, Process, Root, Spec};
use sys::process::NamespaceFlags;

pub use exec::{ExecFacts, exec_steps};
pub(crate) use mount::option_names;
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
    /// Whether the root file system is a detached mount that the caller made.
    pub rootfs: bool,
    /// Whether the caller gives stdin, stdout and stderr.
    pub stdio: bool,
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
        let builder = Builder::new(spec, process, root, linux, &namespaces, facts);

        let mut init = builder.enter_namespaces()?;
        init.extend(builder.session());
        init.extend(builder.root()?);
        init.extend(builder.switch_root()?);
        init.extend(builder.kernel_settings()?);
        init.extend(process::attributes(process)?);
        init.extend(builder.execution_domain()?);
        init.extend(process::labels(process));
        // They are the program's: what init itself opens is behind it. From within a user namespace none can be raised:
        // there the parent sets them.
        if !namespaces.has(Kind::User) {
            init.extend(process::rlimits(process)?.into_iter().map(Step::Rlimit));
        }
        init.extend(process::privileges(process, linux.seccomp.is_some())?);
        init.extend(builder.start());
        let warnings = process::capability_warnings(process);
        Ok(Self { namespaces, init, warnings })
    }
}

struct Builder<'a> {
    spec: &'a Spec,
    process: &'a Process,
    root: &'a Root,
    linux: &'a Linux,
    namespaces: &'a Namespaces,
    facts: &'a Facts,
    mounts: Vec<MountPlan>,
}

impl<'a> Builder<'a> {
    fn new(
        spec: &'a Spec,
        process: &'a Process,
        root: &'a Root,
        linux: &'a Linux,
        namespaces: &'a Namespaces,
        facts: &'a Facts,
    ) -> Self {
        let root_path = facts.bundle.join(&root.path);
        let mounts = spec.mounts.iter().enumerate().map(|(i, mount)| {
            let mut plan = MountPlan::new(i, mount, &facts.bundle, &linux.mount_label);
            // A destination that is the root's place on the host means the place inside, as for runc.
            if let Ok(inside) = Path::new(&plan.destination).strip_prefix(&root_path) {
                plan.destination = format!("/{}", inside.display());
            }
            plan.locked = namespaces.has(Kind::User);
            plan.within_root =
                matches!(&plan.source, Source::Bind { path, .. } if path.starts_with(&root_path));
            plan
        });
        Self { spec, process, root, linux, namespaces, facts, mounts: mounts.collect() }
    }

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
        let mut steps = Vec::new();
        if self.facts.stdio {
            steps.push(Step::Stdio);
        }
        steps.push(Step::NewSession);
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

    fn root(&self) -> Checked<Vec<Step>> {
        let mut steps = Vec::new();
        let own_mounts = self.namespaces.has(Kind::Mount);
        if !own_mounts && !self.spec.mounts.is_empty() {
            let problem = "mounts would stay on the host: the container needs a mount namespace";
            return Err(invalid("mounts", problem));
        }
        let slave = Propagation { kind: libc::MS_SLAVE, recursive: true };
        let propagation = self.root_propagation()?.unwrap_or(slave);
        if own_mounts {
            steps.push(Step::PropagateHost(propagation));
        }
        let shared = !propagation.recursive || propagation.kind == libc::MS_SHARED;
        let path = self.facts.bundle.join(&self.root.path);
        match (self.facts.rootfs, own_mounts) {
            (false, bind) => steps.push(Step::OpenRoot { path, bind, shared }),
            (true, true) => steps.push(Step::AttachRoot { path, shared }),
            (true, false) => {
                let problem =
                    "a detached root would be attached on the host: the container needs a mount namespace";
                return Err(invalid("root", problem));
            }
        }
        steps.extend(self.mounts.iter().map(|plan| Step::Mount(Box::new(plan.clone()))));
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

    fn switch_root(&self) -> Checked<Vec<Step>> {
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
        let later = self.mounts.iter().filter(|plan| plan.readonly_later);
        steps.extend(later.map(|plan| Step::MakeReadonly(plan.destination.clone())));
        if self.root.readonly {
            steps.push(Step::ReadonlyRoot);
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
    use oci::spec::{Mount, Namespace};

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
    fn a_destination_that_is_the_roots_place_on_the_host_is_the_place_inside() {
        let mut spec = minimal();
        spec.mounts[0].destination = "/b/rootfs/proc".into();
        let facts = Facts { bundle: "/b".into(), ..Facts::default() };
        let plan = StartPlan::new(&spec, &facts).unwrap();
        place(&plan, "mount proc at /proc");
    }
}
