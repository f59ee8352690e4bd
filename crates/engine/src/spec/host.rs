//! What a configuration depends on of the host.

use std::fs;
use std::path::Path;

use capability::{CapSet, Sets};
use seccomp::Architecture;

use super::{MASKED_PATHS, SpecError, clean};

/// The host, as far as a container's configuration depends on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// Major and minor number of the kernel.
    pub kernel: (u32, u32),
    /// The architecture, where seccomp knows it.
    pub architecture: Option<Architecture>,
    /// What a privileged container gets: all capabilities that the kernel knows and that we may hand on.
    pub capabilities: CapSet,
    /// Whether control groups are v2 alone.
    pub unified: bool,
    /// Whether systemd makes the control groups.
    pub systemd: bool,
    /// Whether containers are an ordinary user's.
    pub rootless: bool,
    /// Whether containers have control groups: an ordinary user's have some where his systemd makes them.
    pub has_groups: bool,
    /// The AppArmor profile of a container that asks for none; absent where the host has no AppArmor.
    pub apparmor: Option<String>,
    /// Whether SELinux is on.
    pub selinux: bool,
    /// What is masked in a container that says nothing of it.
    pub masked_paths: Vec<String>,
    /// Whether we are in a user namespace: devices can't be made, and groups not be dropped.
    pub in_user_namespace: bool,
    /// Whether processes may have additional groups: not so where a user maps just himself.
    pub additional_groups: bool,
}

/// Who gives an ordinary user's containers control groups.
pub const GROUPS_OF_USERS: &str = "an ordinary user's containers have one where control groups are v2 and systemd runs as \
     this user: log in through PAM, or as root `loginctl enable-linger USER`";
/// Where it is, systemd is the init system (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

impl Host {
    /// Looks at this host.
    ///
    /// # Errors
    /// Control groups or our own capabilities can't be read.
    pub fn detect() -> Result<Host, SpecError> {
        let cgroups = cgroup::Host::detect().map_err(SpecError::Cgroup)?;
        let own = Sets::of_self().map_err(SpecError::Capabilities)?;
        let unified = *cgroups.layout() == cgroup::Layout::Unified;
        let in_user_namespace = sys::process::in_user_namespace();
        let rootless = rootless::current().is_some();
        let systemd = unified && if rootless { has_user_manager() } else { Path::new(SYSTEMD).is_dir() };
        Ok(Host {
            kernel: kernel(&rustix::system::uname().release().to_string_lossy()),
            architecture: Architecture::native(),
            capabilities: own.bounding,
            unified,
            systemd,
            rootless,
            has_groups: if rootless { systemd } else { !in_user_namespace || may_make_groups(unified) },
            apparmor: crate::apparmor::default_profile(!in_user_namespace),
            selinux: Path::new("/sys/fs/selinux/enforce").exists(),
            masked_paths: masked_paths(),
            additional_groups: fs::read_to_string("/proc/self/setgroups")
                .is_ok_and(|text| text.trim() != "deny"),
            in_user_namespace,
        })
    }

    /// Who makes control groups.
    pub(crate) fn cgroup_driver(&self) -> cgroup::Driver {
        if self.systemd { cgroup::Driver::Systemd } else { cgroup::Driver::Cgroupfs }
    }

    /// Where the control group of container `id` is: `PARENT/ID`, or with systemd `SLICE:berth:ID`; empty where it has
    /// none of its own.
    pub(crate) fn cgroups_path(&self, parent: &str, id: &str) -> String {
        if !self.has_groups {
            return String::new();
        }
        if self.systemd {
            let default = if self.rootless { "user.slice" } else { "system.slice" };
            let slice = if parent.is_empty() { default } else { parent };
            return format!("{slice}:berth:{id}");
        }
        let parent = if parent.is_empty() { "/berth" } else { parent };
        format!("{}/{id}", clean(parent).trim_end_matches('/'))
    }
}

/// Whether root of a user namespace, as in a container, has control groups of its own to make others in.
fn may_make_groups(unified: bool) -> bool {
    let directory = if unified { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/pids" };
    rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_ok()
}

/// Whether systemd runs as this user, too, and can be asked.
fn has_user_manager() -> bool {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let bus = || variable("XDG_RUNTIME_DIR").is_some_and(|run| Path::new(&run).join("bus").exists());
    Path::new(SYSTEMD).is_dir() && (variable("DBUS_SESSION_BUS_ADDRESS").is_some() || bus())
}

/// `6.18.44-fc` → (6, 18).
fn kernel(release: &str) -> (u32, u32) {
    let mut numbers =
        release.split(|letter: char| !letter.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// The last number of a list as `0-7`, and one more.
fn possible(list: &str) -> u32 {
    let last = list.trim().rsplit(['-', ',']).next().and_then(|number| number.parse::<u32>().ok());
    last.map_or(0, |last| last.saturating_add(1).min(8192))
}

/// The paths that every host has, and the counts of each CPU's throttling, which tell what neighbours do.
fn masked_paths() -> Vec<String> {
    let cpus = possible(&fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default());
    let throttles = (0..cpus).map(|cpu| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle"));
    let present = throttles.filter(|path| Path::new(path).exists());
    MASKED_PATHS.iter().map(ToString::to_string).chain(present).collect()
}

#[cfg(test)]
impl Host {
    /// A host for tests: v2, without systemd and LSMs.
    pub(crate) fn plain() -> Host {
        Host {
            kernel: (6, 12),
            architecture: Some(Architecture::X86_64),
            capabilities: CapSet::all(),
            unified: true,
            systemd: false,
            rootless: false,
            has_groups: true,
            apparmor: None,
            selinux: false,
            masked_paths: MASKED_PATHS.map(str::to_owned).into(),
            in_user_namespace: false,
            additional_groups: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_lists_are_read() {
        assert_eq!(kernel("6.18.44-fc-v669"), (6, 18));
        assert_eq!(kernel("5.15"), (5, 15));
        assert_eq!(kernel(""), (0, 0));
        assert_eq!((possible("0-7\n"), possible("0\n"), possible("0,2-3"), possible("")), (8, 1, 4, 0));
    }

    #[test]
    fn this_host_is_read() {
        let host = Host::detect().unwrap();
        assert!(host.kernel >= (5, 12));
        assert!(!host.capabilities.is_empty());
    }
}
