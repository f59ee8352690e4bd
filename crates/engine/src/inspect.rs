//! `inspect`: all that is known of a container, in Docker's JSON, with what the kernel knows of its first process.

use std::collections::BTreeMap;

use namespace::Kind;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::attend::HEALTH;
use crate::config::{ContainerConfig, EndpointSettings, HostConfig, PortBinding, StringMap};
use crate::container::{Container, MountPoint};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::record::Dir;
use crate::spec::{Host, Security};
use crate::state::{Health, State, Status};

/// Go's zero time: never.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// `docker inspect` of a container.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the fields are Docker's")]
pub struct Inspect {
    pub id: String,
    pub created: String,
    pub path: String,
    pub args: Vec<String>,
    pub state: InspectState,
    pub image: String,
    pub resolv_conf_path: String,
    pub hostname_path: String,
    pub hosts_path: String,
    pub log_path: String,
    pub name: String,
    pub restart_count: u32,
    pub driver: String,
    pub platform: String,
    pub mount_label: String,
    pub process_label: String,
    pub app_armor_profile: String,
    #[serde(rename = "ExecIDs")]
    pub exec_ids: Option<Vec<String>>,
    pub host_config: HostConfig,
    pub graph_driver: GraphDriver,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<u64>,
    pub mounts: Vec<MountPoint>,
    pub config: ContainerConfig,
    pub network_settings: NetworkSettings,
    /// What the kernel says of the first process; only while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelView>,
}

/// `State`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the fields are Docker's")]
pub struct InspectState {
    pub status: Status,
    pub running: bool,
    pub paused: bool,
    pub restarting: bool,
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    pub dead: bool,
    pub pid: i32,
    pub exit_code: i32,
    pub error: String,
    pub started_at: String,
    pub finished_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<InspectHealth>,
}

/// `State.Health`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the fields are Docker's")]
pub struct InspectHealth {
    pub status: Health,
    pub failing_streak: u32,
    pub log: Vec<InspectCheck>,
}

/// One health check.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the fields are Docker's")]
pub struct InspectCheck {
    pub start: String,
    pub end: String,
    pub exit_code: i32,
    pub output: String,
}

/// Where the layers of the root are.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the fields are Docker's")]
pub struct GraphDriver {
    pub name: String,
    pub data: StringMap,
}

/// `NetworkSettings`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the fields are Docker's")]
pub struct NetworkSettings {
    #[serde(rename = "SandboxID")]
    pub sandbox_id: String,
    pub sandbox_key: String,
    pub ports: BTreeMap<String, Option<Vec<PortBinding>>>,
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: u8,
    pub gateway: String,
    pub mac_address: String,
    pub networks: BTreeMap<String, EndpointSettings>,
}

/// What the kernel says of a container's first process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KernelView {
    /// Inode numbers by the namespace's kind.
    pub namespaces: BTreeMap<String, u64>,
    /// /proc/PID/uid_map, a line each.
    pub uid_map: Vec<String>,
    /// /proc/PID/gid_map.
    pub gid_map: Vec<String>,
    /// Capabilities by set.
    pub capabilities: BTreeMap<String, Vec<String>>,
    /// Directories of its control groups by controller.
    pub cgroups: BTreeMap<String, String>,
}

/// What it runs under, or would if it were started now.
fn apparmor_profile(container: &Container) -> Result<String> {
    let profile = Security::on(&container.asked.host_config, &Host::detect()?)?.apparmor;
    Ok(profile.unwrap_or_default())
}

impl Engine {
    /// All that is known of a container.
    ///
    /// # Errors
    /// Where its records can't be read.
    pub fn inspect(&self, container: &Container, size: bool) -> Result<Inspect> {
        let state = self.state(container)?;
        let paths = self.paths();
        let directory = paths.container(&container.id);
        let etc = |name: &str| directory.join("etc").join(name).to_string_lossy().into_owned();
        let sizes = size.then(|| self.size_of(&container.id, &state)).transpose()?;
        let mut config = container.asked.config.clone();
        if config.hostname.is_empty() {
            container.short_id().clone_into(&mut config.hostname);
        }
        let (path, args) = match container.args.split_first() {
            Some((path, args)) => (path.clone(), args.to_vec()),
            None => (String::new(), Vec::new()),
        };
        Ok(Inspect {
            id: container.id.clone(),
            created: container.created.clone(),
            path,
            args,
            state: self.inspect_state(container, &state)?,
            image: container.image.clone(),
            resolv_conf_path: etc("resolv.conf"),
            hostname_path: etc("hostname"),
            hosts_path: etc("hosts"),
            log_path: paths.logs(&container.id).to_string_lossy().into_owned(),
            name: format!("/{}", container.name),
            restart_count: state.restart_count,
            driver: self.snapshots()?.driver().docker_name().into(),
            platform: container.platform.split('/').next().unwrap_or("linux").to_owned(),
            mount_label: String::new(),
            process_label: String::new(),
            app_armor_profile: apparmor_profile(container)?,
            exec_ids: self.exec_ids(&container.id),
            host_config: container.asked.host_config.clone(),
            graph_driver: self.graph_driver(&container.id),
            size_rw: sizes.map(|(own, _)| own),
            size_root_fs: sizes.map(|(_, all)| all),
            mounts: container.mounts.clone(),
            config,
            network_settings: network_settings(container, &state),
            kernel: Pid::from_raw(state.pid).map(|pid| self.kernel_view(&container.id, pid)),
        })
    }

    fn inspect_state(&self, container: &Container, state: &State) -> Result<InspectState> {
        let or_never = |time: &str| if time.is_empty() { NEVER.to_owned() } else { time.to_owned() };
        Ok(InspectState {
            status: state.status,
            running: state.status.is_active(),
            paused: state.status == Status::Paused,
            restarting: state.status == Status::Restarting,
            oom_killed: state.oom_killed,
            dead: state.status == Status::Dead,
            pid: state.pid,
            exit_code: state.exit_code,
            error: state.error.clone(),
            started_at: or_never(&state.started_at),
            finished_at: or_never(&state.finished_at),
            health: self.inspect_health(container, state)?,
        })
    }

    fn inspect_health(&self, container: &Container, state: &State) -> Result<Option<InspectHealth>> {
        if !container.has_health_check() {
            return Ok(None);
        }
        let gone = || Error::NoSuchContainer(container.name.clone());
        let dir = Dir::open(self.paths().container(&container.id))?.ok_or_else(gone)?;
        let checked: Option<::monitor::health::Health> = dir.read(HEALTH)?;
        let checked = checked.unwrap_or_default();
        let log = checked.log.iter().map(|check| InspectCheck {
            start: crate::clock::text(check.start),
            end: crate::clock::text(check.end),
            exit_code: check.exit_code,
            output: check.output.clone(),
        });
        let (failing_streak, log) = (checked.failing_streak, log.collect());
        Ok(Some(InspectHealth { status: state.health, failing_streak, log }))
    }

    /// A snapshot that can't be read has no layers to show.
    fn graph_driver(&self, id: &str) -> GraphDriver {
        let known = || {
            let snapshot = self.snapshots().ok()?.snapshot(id).ok()?;
            Some((snapshot.driver(), snapshot.layout().ok()?))
        };
        let Some((driver, layout)) = known() else { return GraphDriver::default() };
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let lower: Vec<String> = layout.lower.iter().map(|path| text(path)).collect();
        let pairs = [
            ("LowerDir", Some(lower.join(":"))),
            ("UpperDir", layout.upper.as_deref().map(text)),
            ("WorkDir", layout.work.as_deref().map(text)),
            ("MergedDir", Some(text(&layout.merged))),
        ];
        let data = pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        GraphDriver { name: driver.docker_name().into(), data }
    }

    fn kernel_view(&self, id: &str, pid: Pid) -> KernelView {
        let number = pid.as_raw_nonzero();
        let inode = |kind: Kind| {
            let link = std::fs::read_link(format!("/proc/{number}/ns/{}", kind.proc_name())).ok()?;
            let text = link.to_string_lossy().into_owned();
            let inode = text.split_once('[')?.1.trim_end_matches(']').parse().ok()?;
            Some((kind.oci_name().to_owned(), inode))
        };
        let map = |name: &str| {
            let text = std::fs::read_to_string(format!("/proc/{number}/{name}")).unwrap_or_default();
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
        };
        let sets = capability::Sets::of_process(pid).ok();
        let named = |name: &str, set: capability::CapSet| {
            (name.to_owned(), set.iter().map(|capability| capability.to_string()).collect::<Vec<_>>())
        };
        let capabilities = sets.map(|sets| {
            BTreeMap::from([
                named("Bounding", sets.bounding),
                named("Effective", sets.effective),
                named("Permitted", sets.permitted),
                named("Inheritable", sets.inheritable),
                named("Ambient", sets.ambient),
            ])
        });
        let group = self.payload(id).ok().flatten();
        let group = group.as_ref().and_then(runtime::Container::cgroup);
        let directories = group.map(cgroup::Group::paths).unwrap_or_default().into_iter();
        let shown = |(name, path): (&str, std::path::PathBuf)| {
            let name = if name.is_empty() { "unified" } else { name };
            (name.to_owned(), path.to_string_lossy().into_owned())
        };
        KernelView {
            namespaces: Kind::ALL.into_iter().filter_map(inode).collect(),
            uid_map: map("uid_map"),
            gid_map: map("gid_map"),
            capabilities: capabilities.unwrap_or_default(),
            cgroups: directories.map(shown).collect(),
        }
    }
}

fn network_settings(container: &Container, state: &State) -> NetworkSettings {
    let mut ports: BTreeMap<String, Option<Vec<PortBinding>>> =
        container.asked.config.exposed_ports.keys().map(|port| (port.clone(), None)).collect();
    for port in state.ports.iter().filter(|port| port.public_port != 0) {
        let key = format!("{}/{}", port.private_port, port.r#type);
        let binding = PortBinding { host_ip: port.ip.clone(), host_port: port.public_port.to_string() };
        ports.entry(key).or_default().get_or_insert_default().push(binding);
    }
    let networks = match state.networks.is_empty() {
        // Not connected yet: what will be.
        true => container
            .networks()
            .into_iter()
            .map(|name| {
                let asked = container.asked.networking_config.endpoints_config.get(&name);
                (name, asked.cloned().unwrap_or_default())
            })
            .collect(),
        false => state.networks.clone(),
    };
    let first = networks.get("bridge").or_else(|| networks.values().next()).cloned().unwrap_or_default();
    let running = state.pid > 0;
    NetworkSettings {
        sandbox_id: if running { container.id.clone() } else { String::new() },
        sandbox_key: if running { format!("/proc/{}/ns/net", state.pid) } else { String::new() },
        ports,
        ip_address: first.ip_address,
        ip_prefix_len: first.ip_prefix_len,
        gateway: first.gateway,
        mac_address: first.mac_address,
        networks,
    }
}
