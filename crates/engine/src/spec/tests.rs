//! What each part of a configuration does to the runtime's.

use super::*;
use crate::config::{CreateConfig, HostConfig};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn asked() -> CreateConfig {
    let mut config = CreateConfig::default();
    config.config.cmd = Some(vec!["true".into()]);
    config
}

fn plan_on(host: &Host, config: &CreateConfig) -> Result<Spec, SpecError> {
    let found =
        Found { user: User { groups: vec![0], home: "/root".into(), ..User::default() }, ..Found::default() };
    plan(&Request { id: ID, config, host, found: &found, etc: Some(Path::new("/etc-of")), init: None })
}

fn with(change: impl FnOnce(&mut HostConfig)) -> Spec {
    let mut config = asked();
    change(&mut config.host_config);
    plan_on(&Host::plain(), &config).unwrap()
}

fn linux(spec: &Spec) -> &Linux {
    spec.linux.as_ref().unwrap()
}

fn options<'a>(spec: &'a Spec, path: &str) -> &'a [String] {
    &spec.mounts.iter().find(|mount| mount.destination == path).unwrap().options
}

fn kinds(spec: &Spec) -> Vec<&str> {
    linux(spec).namespaces.iter().map(|namespace| namespace.kind.as_str()).collect()
}

#[test]
fn a_plain_container_has_what_docker_gives() {
    let spec = with(|_| ());
    let process = spec.process.as_ref().unwrap();
    assert_eq!(process.args, ["true"]);
    assert_eq!(process.cwd, "/");
    assert_eq!(process.env, [DEFAULT_PATH, "HOSTNAME=0123456789ab", "HOME=/root"]);
    let capabilities = process.capabilities.as_ref().unwrap();
    assert_eq!(capabilities.bounding.len(), 14);
    assert!(capabilities.inheritable.is_empty() && capabilities.ambient.is_empty());
    assert_eq!(spec.hostname, "0123456789ab");
    let places: Vec<&str> = spec.mounts.iter().map(|mount| mount.destination.as_str()).collect();
    assert_eq!(
        places,
        [
            "/proc",
            "/dev",
            "/sys",
            "/dev/pts",
            "/dev/mqueue",
            "/dev/shm",
            "/etc/resolv.conf",
            "/etc/hostname",
            "/etc/hosts",
            "/sys/fs/cgroup"
        ]
    );
    assert!(options(&spec, "/sys").contains(&"ro".into()));
    assert!(options(&spec, "/dev/shm").contains(&"size=67108864".into()));
    assert_eq!(kinds(&spec), ["mount", "network", "uts", "pid", "ipc", "cgroup"]);
    let linux = linux(&spec);
    assert_eq!(linux.cgroups_path, format!("/berth/{ID}"));
    assert_eq!(linux.masked_paths.len(), 12);
    assert_eq!(linux.readonly_paths, READONLY_PATHS);
    assert_eq!(linux.sysctl["net.ipv4.ping_group_range"], "0 2147483647");
    assert!(linux.seccomp.is_some());
    let rules = &linux.resources.as_ref().unwrap().devices;
    assert!(!rules[0].allow && rules.len() == 8);
}

#[test]
fn the_runtime_takes_it() {
    let facts = oci::validate::Host { rootless: false, no_pivot: false, joins_own_network: false };
    for privileged in [false, true] {
        let spec = with(|host| host.privileged = privileged);
        oci::validate::validate(&spec, &facts).unwrap();
    }
}

#[test]
fn a_privileged_container_has_everything() {
    let spec = with(|host| host.privileged = true);
    let linux = linux(&spec);
    assert!(linux.seccomp.is_none() && linux.masked_paths.is_empty() && linux.readonly_paths.is_empty());
    assert_eq!(spec.process.as_ref().unwrap().capabilities.as_ref().unwrap().bounding.len(), 41);
    for path in ["/sys", "/sys/fs/cgroup"] {
        assert!(!options(&spec, path).contains(&"ro".into()), "{path}");
    }
    let rules = &linux.resources.as_ref().unwrap().devices;
    assert!(rules.len() == 1 && rules[0].allow);
}

#[test]
fn who_is_not_root_has_no_capabilities_in_force() {
    let (config, host) = (asked(), Host::plain());
    let user = User { uid: 1000, gid: 1000, groups: vec![1000], home: "/".into() };
    let found = Found { user, ..Found::default() };
    let request = Request { id: ID, config: &config, host: &host, found: &found, etc: None, init: None };
    let capabilities = plan(&request).unwrap().process.unwrap().capabilities.unwrap();
    assert_eq!(capabilities.bounding.len(), 14);
    assert!(capabilities.effective.is_empty() && capabilities.permitted.is_empty());
}

#[test]
fn shared_namespaces_are_left_out_or_joined() {
    let spec = with(|host| {
        host.network_mode = "host".into();
        host.pid_mode = "host".into();
        host.uts_mode = "host".into();
        host.ipc_mode = "host".into();
        host.cgroupns_mode = "host".into();
    });
    assert_eq!(kinds(&spec), ["mount"]);
    assert!(spec.hostname.is_empty() && linux(&spec).sysctl.is_empty());
    assert!(options(&spec, "/dev/shm").contains(&"rbind".into()));

    let mut config = asked();
    config.host_config.network_mode = "container:web".into();
    config.host_config.pid_mode = "ns:/run/pid".into();
    let host = Host::plain();
    let pids = [("web".to_owned(), 42)].into();
    let found = Found { pids, ..Found::default() };
    let request = Request { id: ID, config: &config, host: &host, found: &found, etc: None, init: None };
    let spec = plan(&request).unwrap();
    let path = |kind: &str| linux(&spec).namespaces.iter().find(|n| n.kind == kind).unwrap().path.clone();
    assert_eq!((path("network").as_str(), path("pid").as_str()), ("/proc/42/ns/net", "/run/pid"));
    let error = plan(&Request { found: &Found::default(), ..request }).unwrap_err().to_string();
    assert_eq!(error, "cannot join the namespaces of container web: it is not running");
}

#[test]
fn a_private_memory_may_be_missing() {
    let spec = with(|host| host.ipc_mode = "none".into());
    assert!(spec.mounts.iter().all(|mount| mount.destination != "/dev/shm"));
    assert!(options(&with(|host| host.shm_size = 4096), "/dev/shm").contains(&"size=4096".into()));
}

#[test]
fn a_read_only_root_leaves_devices_writable() {
    let spec = with(|host| host.readonly_rootfs = true);
    assert!(spec.root.as_ref().unwrap().readonly);
    let read_only = |path| options(&spec, path).contains(&"ro".into());
    assert!(read_only("/etc/hosts") && read_only("/sys"));
    assert!(!read_only("/dev") && !read_only("/proc") && !read_only("/dev/shm"));
}

#[test]
fn a_mount_takes_the_place_of_a_default_one() {
    let mut config = asked();
    config.host_config.privileged = true;
    let host = Host::plain();
    let own = |path| mounts::mount(path, "bind", "/x", "rbind");
    let found = Found { mounts: vec![own("/dev/"), own("/etc/hosts")], ..Found::default() };
    let etc = Some(Path::new("/e"));
    let spec =
        plan(&Request { id: ID, config: &config, host: &host, found: &found, etc, init: None }).unwrap();
    let below_dev: Vec<_> =
        spec.mounts.iter().filter(|mount| mount.destination.starts_with("/dev")).collect();
    assert_eq!(below_dev.len(), 1);
    let hosts: Vec<_> = spec.mounts.iter().filter(|mount| mount.destination == "/etc/hosts").collect();
    assert_eq!((hosts.len(), hosts[0].source.as_str()), (1, "/x"));
}

#[test]
fn limits_are_mapped() {
    let spec = with(|host| {
        host.resources.memory = 64 << 20;
        host.resources.memory_swap = -1;
        host.resources.nano_cpus = 1_500_000_000;
        host.resources.cpu_shares = 512;
        host.resources.cpuset_cpus = "0-1".into();
        host.resources.pids_limit = Some(0);
        host.resources.memory_swappiness = Some(10);
        host.resources.oom_kill_disable = Some(true);
    });
    let resources = linux(&spec).resources.as_ref().unwrap();
    let memory = resources.memory.as_ref().unwrap();
    assert_eq!((memory.limit, memory.swap), (Some(64 << 20), Some(-1)));
    assert_eq!((memory.swappiness, memory.disable_oom_killer), (None, None), "v2 has neither");
    let cpu = resources.cpu.as_ref().unwrap();
    assert_eq!((cpu.quota, cpu.period, cpu.shares), (Some(150_000), Some(100_000), Some(512)));
    assert_eq!(cpu.cpus, "0-1");
    assert_eq!(resources.pids.as_ref().unwrap().limit, Some(-1));
}

#[test]
fn who_has_no_groups_has_no_limits_and_sees_no_groups() {
    let mut config = asked();
    config.host_config.resources.memory = 64 << 20;
    let spec = plan_on(&Host { has_groups: false, rootless: true, ..Host::plain() }, &config).unwrap();
    assert_eq!(linux(&spec).resources, Some(oci::spec::resources::LinuxResources::default()));
    assert!(spec.mounts.iter().all(|mount| mount.kind != "cgroup"));
}

#[test]
fn cgroups_lie_below_their_parent() {
    let path = |host: &Host, parent: &str| {
        let mut config = asked();
        config.host_config.resources.cgroup_parent = parent.into();
        linux(&plan_on(host, &config).unwrap()).cgroups_path.clone()
    };
    let plain = Host::plain();
    assert_eq!(path(&plain, "/a/../b/"), format!("/b/{ID}"));
    let systemd = Host { systemd: true, ..plain };
    assert_eq!(path(&systemd, ""), format!("system.slice:berth:{ID}"));
    assert_eq!(path(&systemd, "my.slice"), format!("my.slice:berth:{ID}"));
    let own = Host { rootless: true, ..systemd };
    assert_eq!(path(&own, ""), format!("user.slice:berth:{ID}"));
    assert_eq!(path(&Host { has_groups: false, ..own }, "my.slice"), "");
}

#[test]
fn security_options_take_effect() {
    let open =
        with(|host| host.security_opt = vec!["systempaths=unconfined".into(), "seccomp=unconfined".into()]);
    let linux = linux(&open);
    assert!(linux.masked_paths.is_empty() && linux.readonly_paths.is_empty() && linux.seccomp.is_none());
    let nnp = with(|host| host.security_opt = vec!["no-new-privileges".into()]);
    assert!(nnp.process.unwrap().no_new_privileges);
    let writable = with(|host| host.security_opt = vec!["writable-cgroups".into()]);
    assert!(!options(&writable, "/sys/fs/cgroup").contains(&"ro".into()));
    let profile = r#"seccomp={"defaultAction":"SCMP_ACT_ALLOW"}"#;
    let own = with(|host| host.security_opt = vec![profile.into()]);
    let action = own.linux.unwrap().seccomp.unwrap().default_action;
    assert_eq!(action, oci::spec::seccomp::SeccompAction::Allow);
}

#[test]
fn apparmor_profiles_follow_the_host() {
    let profile = |apparmor: Option<&str>, option: Option<&str>, privileged| {
        let host = Host { apparmor: apparmor.map(str::to_owned), ..Host::plain() };
        let mut config = asked();
        config.host_config.privileged = privileged;
        config.host_config.security_opt = option.iter().map(ToString::to_string).collect();
        plan_on(&host, &config).map(|spec| spec.process.unwrap().apparmor_profile)
    };
    assert_eq!(profile(None, None, false).unwrap(), "");
    assert_eq!(profile(Some("docker-default"), None, false).unwrap(), "docker-default");
    assert_eq!(profile(Some("docker-default"), None, true).unwrap(), "");
    assert_eq!(profile(Some("docker-default"), Some("apparmor=mine"), true).unwrap(), "mine");
    assert_eq!(profile(Some("docker-default"), Some("apparmor=unconfined"), false).unwrap(), "");
    assert!(profile(None, Some("apparmor=mine"), false).unwrap_err().to_string().contains("not enabled"));
    assert_eq!(profile(None, Some("apparmor=unconfined"), false).unwrap(), "");
}

#[test]
fn an_init_comes_first() {
    let (config, host, found) = (asked(), Host::plain(), Found::default());
    let init = Some(Path::new("/run/init"));
    let spec =
        plan(&Request { id: ID, config: &config, host: &host, found: &found, etc: None, init }).unwrap();
    assert_eq!(spec.process.as_ref().unwrap().args, [INIT, "--", "true"]);
    assert!(options(&spec, INIT).contains(&"ro".into()));
}

#[test]
fn shared_binds_need_a_shared_root() {
    let propagation = |options: &str| rootfs_propagation(&[mounts::mount("/x", "bind", "/y", options)]);
    assert_eq!(propagation("rbind,rprivate"), "");
    assert_eq!(propagation("rbind,rshared"), "shared");
    assert_eq!(propagation("bind,slave"), "rslave");
}
