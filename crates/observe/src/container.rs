//! What is known of the container whose processes are observed.

use oci::spec::Spec;
use oci::spec::seccomp::Seccomp;
use seccomp::{Architecture, Call as SeccompCall, Program, interpret};

use crate::call::Call;

/// A port below this one needs a capability, unless the namespace says otherwise.
const FIRST_FREE_PORT: u16 = 1024;
/// The sysctl that says it.
const PORT_START: &str = "net.ipv4.ip_unprivileged_port_start";

/// The container as it is configured.
#[derive(Debug, Default)]
pub struct Container {
    spec: Spec,
    filter: Option<Program>,
    first_free_port: u16,
}

impl Container {
    /// A container of this configuration.
    pub fn new(spec: Spec) -> Self {
        let profile = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
        let compiled = profile.zip(Architecture::native());
        let filter = compiled.and_then(|(profile, host)| seccomp::compile(profile, host).ok());
        Self {
            first_free_port: first_free_port(&spec),
            filter: filter.map(|filter| filter.program().clone()),
            spec,
        }
    }

    /// Its configuration.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The first port that everybody may bind.
    pub fn first_free_port(&self) -> u16 {
        self.first_free_port
    }

    /// The errno that its filter gives a call.
    pub fn filtered(&self, call: &Call) -> Option<i32> {
        let value = verdict(self.filter.as_ref()?, call)?;
        let denies = value & libc::SECCOMP_RET_ACTION_FULL == libc::SECCOMP_RET_ERRNO;
        denies.then_some((value & libc::SECCOMP_RET_DATA) as i32)
    }

    /// Whether another profile would let a call through.
    pub(crate) fn allows(profile: &Seccomp, host: Architecture, call: &Call) -> bool {
        let filter = seccomp::compile(profile, host);
        filter.is_ok_and(|filter| verdict(filter.program(), call) == Some(libc::SECCOMP_RET_ALLOW))
    }

    /// Whether it has a filter.
    pub fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// Whether it has a user namespace that is not the host's.
    pub fn has_user_namespace(&self) -> bool {
        self.spec.linux.iter().flat_map(|linux| &linux.namespaces).any(|namespace| namespace.kind == "user")
    }

    /// Whether its root file system is read-only.
    pub fn is_root_read_only(&self) -> bool {
        self.spec.root.as_ref().is_some_and(|root| root.readonly)
    }

    /// Whether a path is one that is read-only or hidden by default.
    pub fn is_restricted(&self, path: &std::path::Path) -> bool {
        let linux = self.spec.linux.iter();
        let mut paths = linux.flat_map(|linux| linux.readonly_paths.iter().chain(&linux.masked_paths));
        paths.any(|restricted| path.starts_with(restricted))
    }

    /// Its limit of processes.
    pub fn pids_limit(&self) -> Option<i64> {
        let limit = self.spec.linux.as_ref()?.resources.as_ref()?.pids.as_ref()?.limit;
        limit.filter(|limit| *limit > 0)
    }
}

fn verdict(program: &Program, call: &Call) -> Option<u32> {
    let call =
        SeccompCall { architecture: call.architecture?, number: call.number, arguments: call.arguments };
    Some(interpret(program, &call).value)
}

fn first_free_port(spec: &Spec) -> u16 {
    let linux = spec.linux.as_ref();
    let set = linux.and_then(|linux| linux.sysctl.get(PORT_START)).cloned();
    let own = linux.is_some_and(|linux| linux.namespaces.iter().any(|one| one.kind == "network"));
    let text = set.or_else(|| {
        let path = format!("/proc/sys/{}", PORT_START.replace('.', "/"));
        (!own).then(|| std::fs::read_to_string(path).ok()).flatten()
    });
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(FIRST_FREE_PORT)
}
