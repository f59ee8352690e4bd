//! From Docker's configuration to the runtime's: what dockerd gives a container, decided without touching anything.
//!
//! [`Host`] is what was found out of the host, [`Found`] what was found out for this container; [`plan`] does the rest.

mod host;
mod mounts;
mod namespaces;
mod process;
mod resources;
mod security;

use std::collections::BTreeMap;
use std::path::Path;

use oci::spec::resources::DeviceRule;
use oci::spec::{Device, Linux, Mount, Root, Spec};

use crate::config::CreateConfig;
use crate::mounts::Ids;
use crate::users::User;

pub use host::{GROUPS_OF_USERS, Host};
pub use mounts::DEFAULT_SHM;
pub(crate) use mounts::clean;
pub use namespaces::{Place, Places};
pub use process::{DEFAULT_PATH, INIT, capabilities};
pub use resources::{Numbers, limits};
pub use security::{Filter, Security};

/// Paths that a container can't read.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Paths that a container can't write.
pub const READONLY_PATHS: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// A container whose configuration is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its id, 64 hexadecimal digits.
    pub id: &'a str,
    /// What is asked for, completed by the image.
    pub config: &'a CreateConfig,
    /// The host.
    pub host: &'a Host,
    /// What was found out for it.
    pub found: &'a Found,
    /// The directory with its `hosts`, `hostname` and `resolv.conf`.
    pub etc: Option<&'a Path>,
    /// The program that is the first process where the configuration wants an init.
    pub init: Option<&'a Path>,
}

/// What the configuration names, looked up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Who runs.
    pub user: User,
    /// Binds, volumes and file systems in memory, in order.
    pub mounts: Vec<Mount>,
    /// Devices of the host.
    pub devices: Devices,
    /// The numbers of the block devices that limits name, by path.
    pub block_devices: BTreeMap<String, Numbers>,
    /// The maps of its own user namespace.
    pub ids: Option<Ids>,
    /// The first process of each container whose namespaces are joined, by the name in the mode.
    pub pids: BTreeMap<String, i32>,
}

/// Devices, and the rights to use them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    /// Nodes to make.
    pub nodes: Vec<Device>,
    /// Rules, in order.
    pub rules: Vec<DeviceRule>,
    /// Where the node of one is on the host, by its path in the container: what is bound where no node can be made.
    pub sources: BTreeMap<String, String>,
}

impl Devices {
    /// Those that are bound, because nobody makes device nodes in a user namespace.
    fn binds(&self) -> impl Iterator<Item = Mount> {
        // The runtime makes ptmx a link into the container's own devpts.
        let sources = self.sources.iter().filter(|(inside, _)| clean(inside) != "/dev/ptmx");
        sources.map(|(inside, host)| mounts::mount(inside, "bind", host, "bind,rprivate,nosuid,noexec"))
    }
}

/// Why no configuration can be made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SpecError {
    #[error("look at the control groups of the host: {0}")]
    Cgroup(#[source] cgroup::Error),
    #[error("{0}")]
    Capabilities(#[source] capability::ReadError),
    #[error("invalid capability: \"{}\": see `berth caps ls` for those that there are", .0.escape_debug())]
    Capability(String),
    #[error("invalid --security-opt \"{}\": {problem}", option.escape_debug())]
    SecurityOpt { option: String, problem: &'static str },
    #[error("AppArmor is not enabled on this host: profile \"{}\" can't be applied", .0.escape_debug())]
    NoAppArmor(String),
    #[error("seccomp profile: {0}")]
    SeccompProfile(#[source] seccomp::docker_profile::ProfileError),
    #[error("cannot join the namespaces of container {0}: it is not running")]
    NotRunning(String),
    #[error("no such device: {0}")]
    NoDevice(String),
}

impl Request<'_> {
    /// The name of the host that the container sees.
    fn hostname(&self) -> &str {
        match self.config.config.hostname.as_str() {
            "" => self.id.get(..12).unwrap_or(self.id),
            name => name,
        }
    }
}

/// The configuration of a container.
///
/// # Errors
/// What is asked for can't be had.
pub fn plan(request: &Request<'_>) -> Result<Spec, SpecError> {
    let host = &request.config.host_config;
    let places = Places::of(host, request.host.unified);
    let caps = process::capabilities(host, request.host.capabilities)?;
    let security = Security::on(host, request.host)?;
    let ids = request.found.ids.clone().unwrap_or_default();
    let own_uts = places.uts != Place::Host;
    let named = |name: &str| if own_uts { name.to_owned() } else { String::new() };
    Ok(Spec {
        oci_version: oci::spec::VERSION.into(),
        process: Some(process::process(request, caps, &security)?),
        root: Some(Root { path: "rootfs".into(), readonly: host.readonly_rootfs }),
        hostname: named(request.hostname()),
        domainname: named(&request.config.config.domainname),
        mounts: mounts::mounts(request, &places, &security)?,
        annotations: host.annotations.clone(),
        linux: Some(Linux {
            sysctl: sysctl(request, &places),
            resources: Some(resources::resources(request)?),
            cgroups_path: request.host.cgroups_path(&host.resources.cgroup_parent, request.id),
            namespaces: namespaces::namespaces(request, &places)?,
            uid_mappings: ids.uids,
            gid_mappings: ids.gids,
            devices: match request.host.in_user_namespace {
                true => Vec::new(),
                false => request.found.devices.nodes.clone(),
            },
            seccomp: security.filter(host, request.host, caps)?,
            rootfs_propagation: rootfs_propagation(&request.found.mounts),
            masked_paths: masked_paths(request, &security),
            readonly_paths: readonly_paths(request, &security),
            ..Linux::default()
        }),
        ..Spec::default()
    })
}

/// What Docker allows in a network namespace of the container's own: ping and low ports for everybody.
fn sysctl(request: &Request<'_>, places: &Places) -> BTreeMap<String, String> {
    let mut sysctl = BTreeMap::new();
    if places.network.is_new() {
        sysctl.insert("net.ipv4.ip_unprivileged_port_start".into(), "0".into());
        // The range must be mapped, which that of a user namespace is not.
        if !places.user.is_new() && !request.host.in_user_namespace {
            sysctl.insert("net.ipv4.ping_group_range".into(), "0 2147483647".into());
        }
    }
    sysctl.extend(request.config.host_config.sysctls.clone());
    sysctl
}

/// A bind that is shared, or receives mounts, needs a root that lets them through.
fn rootfs_propagation(mounts: &[Mount]) -> String {
    let has = |name: &str| mounts.iter().any(|mount| mount.options.iter().any(|option| option == name));
    match () {
        () if has("rshared") || has("shared") => "shared".into(),
        () if has("rslave") || has("slave") => "rslave".into(),
        () => String::new(),
    }
}

fn masked_paths(request: &Request<'_>, security: &Security) -> Vec<String> {
    let host = &request.config.host_config;
    if host.privileged || security.open_system_paths {
        return Vec::new();
    }
    host.masked_paths.clone().unwrap_or_else(|| request.host.masked_paths.clone())
}

fn readonly_paths(request: &Request<'_>, security: &Security) -> Vec<String> {
    let host = &request.config.host_config;
    if host.privileged || security.open_system_paths {
        return Vec::new();
    }
    host.readonly_paths.clone().unwrap_or_else(|| READONLY_PATHS.map(str::to_owned).into())
}

#[cfg(test)]
mod tests;
