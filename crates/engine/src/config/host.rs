//! Docker's `HostConfig`: what a container gets of its host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{StringMap, nullable};

/// What a container gets of its host, and what limits it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostConfig {
    /// `SOURCE:DESTINATION[:OPTIONS]` of `--volume`.
    #[serde(deserialize_with = "nullable")]
    pub binds: Vec<String>,
    /// File that the id is written to.
    #[serde(rename = "ContainerIDFile", deserialize_with = "nullable")]
    pub container_id_file: String,
    /// Where output goes.
    #[serde(deserialize_with = "nullable")]
    pub log_config: LogConfig,
    /// `bridge`, `none`, `host`, `container:NAME`, `ns:PATH`, or a network's name; `default` is `bridge`.
    #[serde(deserialize_with = "nullable")]
    pub network_mode: String,
    /// Published ports: `80/tcp` → host's addresses and ports.
    #[serde(deserialize_with = "nullable")]
    pub port_bindings: BTreeMap<String, Option<Vec<PortBinding>>>,
    /// What happens when it ends.
    #[serde(deserialize_with = "nullable")]
    pub restart_policy: RestartPolicy,
    /// Whether it is removed when it ends.
    pub auto_remove: bool,
    /// Driver of volumes that are made for it.
    #[serde(deserialize_with = "nullable")]
    pub volume_driver: String,
    /// `CONTAINER[:ro|rw]` whose volumes it gets.
    #[serde(deserialize_with = "nullable")]
    pub volumes_from: Vec<String>,
    /// Rows and columns of the first terminal.
    pub console_size: [u32; 2],
    /// Arbitrary metadata for the runtime.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: StringMap,
    /// `--mount`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MountConfig>,
    /// Capabilities beyond the default ones.
    #[serde(deserialize_with = "nullable")]
    pub cap_add: Vec<String>,
    /// Capabilities that are taken away.
    #[serde(deserialize_with = "nullable")]
    pub cap_drop: Vec<String>,
    /// `private` or `host`; the host's default where empty.
    #[serde(deserialize_with = "nullable")]
    pub cgroupns_mode: String,
    /// Name servers.
    #[serde(deserialize_with = "nullable")]
    pub dns: Vec<String>,
    /// Options of resolv.conf(5).
    #[serde(deserialize_with = "nullable")]
    pub dns_options: Vec<String>,
    /// Search domains.
    #[serde(deserialize_with = "nullable")]
    pub dns_search: Vec<String>,
    /// `NAME:ADDRESS` lines for /etc/hosts; the address may be `host-gateway`.
    #[serde(deserialize_with = "nullable")]
    pub extra_hosts: Vec<String>,
    /// Further groups, by name or number.
    #[serde(deserialize_with = "nullable")]
    pub group_add: Vec<String>,
    /// `private`, `shareable`, `host`, `none`, `container:NAME`.
    #[serde(deserialize_with = "nullable")]
    pub ipc_mode: String,
    /// Only its empty form is kept.
    #[serde(deserialize_with = "nullable")]
    pub cgroup: String,
    /// `CONTAINER[:ALIAS]` that it finds by name.
    #[serde(deserialize_with = "nullable")]
    pub links: Vec<String>,
    /// Badness of the OOM killer, -1000 to 1000.
    pub oom_score_adj: i32,
    /// Empty is private; `host`, `container:NAME`.
    #[serde(deserialize_with = "nullable")]
    pub pid_mode: String,
    /// Whether it has everything.
    pub privileged: bool,
    /// Whether every exposed port is published.
    pub publish_all_ports: bool,
    /// Whether its root is read-only.
    pub readonly_rootfs: bool,
    /// `no-new-privileges`, `seccomp=…`, `apparmor=…`, `label=…`, `systempaths=unconfined`, `writable-cgroups`.
    #[serde(deserialize_with = "nullable")]
    pub security_opt: Vec<String>,
    /// Options of the storage driver: `size=…`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub storage_opt: StringMap,
    /// Path → options of file systems in memory.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub tmpfs: StringMap,
    /// Empty is private; `host`.
    #[serde(rename = "UTSMode", deserialize_with = "nullable")]
    pub uts_mode: String,
    /// Empty or `host`; `private`, `auto[:size=N]`, as podman has them.
    #[serde(deserialize_with = "nullable")]
    pub userns_mode: String,
    /// What of its processes is observed; berth's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observe: Option<Observe>,
    /// The maps of its user namespace; podman's, not Docker's.
    #[serde(rename = "IDMappings", skip_serializing_if = "Option::is_none")]
    pub id_mappings: Option<IdMappings>,
    /// Whom published ports are open to: empty or `open` is everybody, `host-firewall` those whom the host's input rules
    /// let in. berth's own, as the next.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub publish_policy: String,
    /// Bits a second that it may send, and receive, on each of its interfaces; no limit where 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub network_rate: i64,
    /// Bytes of /dev/shm; 64 MiB where 0.
    pub shm_size: i64,
    /// Kernel parameters.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: StringMap,
    /// The OCI runtime: `berth` (built in) where empty, a name of the configuration, or a path.
    #[serde(deserialize_with = "nullable")]
    pub runtime: String,
    /// Windows' isolation; only its empty form and `default` are kept.
    #[serde(deserialize_with = "nullable")]
    pub isolation: String,
    /// Limits and devices.
    #[serde(flatten)]
    pub resources: Resources,
    /// Paths that can't be read; `None` is the default list, `Some([])` none.
    pub masked_paths: Option<Vec<String>>,
    /// Paths that can't be written; the same.
    pub readonly_paths: Option<Vec<String>>,
    /// Whether an init of ours is the first process; `None` is what the host's configuration says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
}

/// What is observed of a container's processes, at the cost of two stops for each of their system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Observe {
    /// What isolation denies them.
    Denials,
    /// What they need.
    Needs,
}

/// The value of `PublishPolicy` that has the host's input rules asked.
pub const HOST_FIREWALL: &str = "host-firewall";

/// podman's `IDMappings`: lines of `CONTAINER:HOST:SIZE`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IdMappings {
    /// Of users; where empty, as of groups.
    #[serde(deserialize_with = "nullable")]
    pub uid_map: Vec<String>,
    /// Of groups; where empty, as of users.
    #[serde(deserialize_with = "nullable")]
    pub gid_map: Vec<String>,
}

impl IdMappings {
    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.uid_map.is_empty() && self.gid_map.is_empty()
    }
}

/// Docker's `Resources`: limits, and devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Resources {
    /// Relative weight of CPU time; 1024 where 0.
    pub cpu_shares: i64,
    /// Bytes of memory; no limit where 0.
    pub memory: i64,
    /// Billionths of CPUs.
    #[serde(rename = "NanoCpus")]
    pub nano_cpus: i64,
    /// The cgroup that the container's lies in.
    #[serde(deserialize_with = "nullable")]
    pub cgroup_parent: String,
    /// Relative weight of block I/O, 10 to 1000.
    pub blkio_weight: u16,
    /// The same by device.
    #[serde(deserialize_with = "nullable")]
    pub blkio_weight_device: Vec<WeightDevice>,
    /// Bytes a second read from a device.
    #[serde(deserialize_with = "nullable")]
    pub blkio_device_read_bps: Vec<ThrottleDevice>,
    /// Bytes a second written to a device.
    #[serde(deserialize_with = "nullable")]
    pub blkio_device_write_bps: Vec<ThrottleDevice>,
    /// Reads a second.
    #[serde(rename = "BlkioDeviceReadIOps", deserialize_with = "nullable")]
    pub blkio_device_read_iops: Vec<ThrottleDevice>,
    /// Writes a second.
    #[serde(rename = "BlkioDeviceWriteIOps", deserialize_with = "nullable")]
    pub blkio_device_write_iops: Vec<ThrottleDevice>,
    /// Microseconds of a CFS period.
    pub cpu_period: i64,
    /// Microseconds of CPU time in a period.
    pub cpu_quota: i64,
    /// Microseconds of a real-time period.
    pub cpu_realtime_period: i64,
    /// Microseconds of real-time CPU time in a period.
    pub cpu_realtime_runtime: i64,
    /// CPUs as `0-3,5`.
    #[serde(deserialize_with = "nullable")]
    pub cpuset_cpus: String,
    /// Memory nodes.
    #[serde(deserialize_with = "nullable")]
    pub cpuset_mems: String,
    /// Host devices.
    #[serde(deserialize_with = "nullable")]
    pub devices: Vec<DeviceMapping>,
    /// Rules as `c 10:200 rwm`.
    #[serde(deserialize_with = "nullable")]
    pub device_cgroup_rules: Vec<String>,
    /// Devices by driver: `cdi` and GPUs.
    #[serde(deserialize_with = "nullable")]
    pub device_requests: Vec<DeviceRequest>,
    /// Bytes of memory that it is pushed back to when there is little.
    pub memory_reservation: i64,
    /// Bytes of memory and swap together; -1 is no limit.
    pub memory_swap: i64,
    /// Readiness to swap, 0 to 100; `None` or -1 is the host's.
    pub memory_swappiness: Option<i64>,
    /// Whether the OOM killer leaves it alone (cgroup v1).
    pub oom_kill_disable: Option<bool>,
    /// Number of processes; no limit where 0, -1 or absent.
    pub pids_limit: Option<i64>,
    /// Limits of setrlimit(2).
    #[serde(deserialize_with = "nullable")]
    pub ulimits: Vec<Ulimit>,
}

/// Where output goes, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogConfig {
    /// The driver; the host's default where empty.
    #[serde(deserialize_with = "nullable")]
    pub r#type: String,
    /// Its options.
    #[serde(deserialize_with = "nullable")]
    pub config: StringMap,
}

/// An address and port of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortBinding {
    /// The address; all where empty.
    #[serde(rename = "HostIp", deserialize_with = "nullable")]
    pub host_ip: String,
    /// The port or range `8000-8010`; any free one where empty.
    #[serde(deserialize_with = "nullable")]
    pub host_port: String,
}

/// What happens when the payload ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartPolicy {
    /// `no` (or empty), `always`, `unless-stopped`, `on-failure`.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// How often at the most, for `on-failure`; no limit where 0.
    pub maximum_retry_count: i64,
}

/// One of `--mount`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MountConfig {
    /// `bind`, `volume`, `tmpfs`, `image`.
    #[serde(deserialize_with = "nullable")]
    pub r#type: String,
    /// The host's path, the volume's or image's name.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Where in the container.
    #[serde(deserialize_with = "nullable")]
    pub target: String,
    /// Whether it is read-only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Has no meaning on Linux.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub consistency: String,
    /// Of a bind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_options: Option<BindOptions>,
    /// Of a volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
    /// Of an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_options: Option<ImageOptions>,
    /// Of a tmpfs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
}

/// How a path of the host is bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BindOptions {
    /// `rprivate` where empty.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub propagation: String,
    /// Without what is mounted below.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub non_recursive: bool,
    /// The source is made where it is missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub create_mountpoint: bool,
    /// What is mounted below stays writable.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only_non_recursive: bool,
    /// It is an error if what is mounted below can't be made read-only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only_force_recursive: bool,
    /// Ids are mapped: `idmap[=uids=…;gids=…]` of podman, or `match-user`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub id_map: String,
}

/// How a volume is mounted, and made where it is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeOptions {
    /// An empty volume stays empty.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_copy: bool,
    /// Labels of a new volume.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: StringMap,
    /// Driver of a new volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_config: Option<VolumeDriver>,
    /// A path within it.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub subpath: String,
}

/// A volume's driver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeDriver {
    /// `local` where empty.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// Its options.
    #[serde(deserialize_with = "nullable")]
    pub options: StringMap,
}

/// How an image is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageOptions {
    /// A path within it.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub subpath: String,
}

/// A file system in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TmpfsOptions {
    /// Bytes; half of the memory where 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub size_bytes: i64,
    /// Permission bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Further options, each `[key]` or `[key, value]`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Vec<String>>,
}

/// A device with its weight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct WeightDevice {
    /// Its path.
    pub path: String,
    /// 10 to 1000.
    pub weight: u16,
}

/// A device with its rate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ThrottleDevice {
    /// Its path.
    pub path: String,
    /// A second.
    pub rate: u64,
}

/// A device of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceMapping {
    /// On the host.
    pub path_on_host: String,
    /// In the container.
    pub path_in_container: String,
    /// Of `rwm`.
    pub cgroup_permissions: String,
}

/// Devices by what they can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceRequest {
    /// `cdi`, `nvidia`, …
    #[serde(deserialize_with = "nullable")]
    pub driver: String,
    /// How many; -1 is all.
    pub count: i64,
    /// Which.
    #[serde(rename = "DeviceIDs", deserialize_with = "nullable")]
    pub device_ids: Vec<String>,
    /// Alternatives of capabilities.
    #[serde(deserialize_with = "nullable")]
    pub capabilities: Vec<Vec<String>>,
    /// For the driver.
    #[serde(deserialize_with = "nullable")]
    pub options: StringMap,
}

/// A limit of setrlimit(2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ulimit {
    /// `nofile`, `nproc`, …
    pub name: String,
    /// The limit that can't be exceeded; -1 is none.
    pub hard: i64,
    /// The limit in force.
    pub soft: i64,
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}
