//! `linux`, and what of the rest depends on its namespaces.

use super::{Checked, Host, absolute, invalid, no_nul, shown, sysctl};
use crate::spec::{IntelRdt, Linux, MemoryPolicy, Spec};

/// The namespaces of a container, by the names of the specification.
pub(super) struct Namespaces<'linux>(&'linux Linux);

impl Namespaces<'_> {
    /// Whether the container does not stay in the runtime's namespace of this kind.
    pub(super) fn has(&self, kind: &str) -> bool {
        self.0.namespaces.iter().any(|namespace| namespace.kind == kind)
    }

    /// Whether it joins one.
    pub(super) fn joins(&self, kind: &str) -> bool {
        self.0.namespaces.iter().any(|namespace| namespace.kind == kind && !namespace.path.is_empty())
    }
}

pub(super) fn check(spec: &Spec, linux: &Linux, host: &Host) -> Checked {
    for (i, namespace) in linux.namespaces.iter().enumerate().filter(|(_, one)| !one.path.is_empty()) {
        absolute(&namespace.path, || format!("linux.namespaces[{i}].path"))?;
    }
    let namespaces = Namespaces(linux);
    dependent_fields(spec, linux, &namespaces)?;
    user_namespace(linux, &namespaces, host)?;
    sysctl::check(&linux.sysctl, &namespaces, host)?;
    net_devices(linux, &namespaces, host)?;
    texts(linux)?;
    if host.no_pivot && matches!(linux.rootfs_propagation.as_str(), "private" | "rprivate") {
        let problem = "rootfsPropagation of [r]private is not safe without pivot_root";
        return Err(invalid("linux.rootfsPropagation", problem));
    }
    linux.intel_rdt.as_ref().map_or(Ok(()), intel_rdt)?;
    linux.memory_policy.as_ref().map_or(Ok(()), memory_policy)
}

/// Fields that would change the host, were it not for a namespace.
fn dependent_fields(spec: &Spec, linux: &Linux, namespaces: &Namespaces<'_>) -> Checked {
    let fields = [
        ("hostname", !spec.hostname.is_empty(), "uts"),
        ("domainname", !spec.domainname.is_empty(), "uts"),
        ("mounts", !spec.mounts.is_empty(), "mount"),
        ("linux.maskedPaths", !linux.masked_paths.is_empty(), "mount"),
        ("linux.readonlyPaths", !linux.readonly_paths.is_empty(), "mount"),
        ("linux.timeOffsets", !linux.time_offsets.is_empty(), "time"),
    ];
    for (field, used, kind) in fields {
        if used && !namespaces.has(kind) {
            return Err(invalid(field, format!("needs a {kind} namespace (linux.namespaces)")));
        }
    }
    if !linux.time_offsets.is_empty() && namespaces.joins("time") {
        return Err(invalid("linux.timeOffsets", "a time namespace that is joined has its offsets already"));
    }
    Ok(())
}

fn user_namespace(linux: &Linux, namespaces: &Namespaces<'_>, host: &Host) -> Checked {
    let (uids, gids) = (!linux.uid_mappings.is_empty(), !linux.gid_mappings.is_empty());
    let field = if uids || !gids { "linux.uidMappings" } else { "linux.gidMappings" };
    if !namespaces.has("user") {
        if uids || gids {
            let problem = "user namespace mappings specified, but user namespace isn't enabled in the config";
            return Err(invalid(field, problem));
        }
        if host.rootless {
            return Err(invalid("linux.namespaces", "rootless container requires user namespaces"));
        }
        return Ok(());
    }
    if namespaces.joins("user") {
        return Ok(());
    }
    if !uids && !gids {
        let problem =
            "user namespaces enabled, but no namespace path to join nor mappings to apply specified";
        return Err(invalid(field, problem));
    }
    match (host.rootless, uids, gids) {
        (true, false, _) => {
            Err(invalid("linux.uidMappings", "rootless containers requires at least one UID mapping"))
        }
        (true, _, false) => {
            Err(invalid("linux.gidMappings", "rootless containers requires at least one GID mapping"))
        }
        _ => Ok(()),
    }
}

fn net_devices(linux: &Linux, namespaces: &Namespaces<'_>, host: &Host) -> Checked {
    if linux.net_devices.is_empty() {
        return Ok(());
    }
    if !namespaces.has("network") {
        return Err(invalid("linux.netDevices", "unable to move network devices without a NET namespace"));
    }
    if host.rootless {
        let problem = "network devices are not supported for rootless containers";
        return Err(invalid("linux.netDevices", problem));
    }
    let mut inside = std::collections::HashSet::new();
    for (name, device) in &linux.net_devices {
        let new = if device.name.is_empty() { name } else { &device.name };
        for name in [name, new] {
            if !is_device_name(name) {
                let at = format!("linux.netDevices.{}", shown(name));
                return Err(invalid(at, format!("invalid network device name {}", shown(name))));
            }
        }
        if !inside.insert(new) {
            let at = format!("linux.netDevices.{name}.name");
            return Err(invalid(at, format!("two devices would be called {new:?}")));
        }
    }
    Ok(())
}

/// `dev_valid_name`, net/core/dev.c; names are shorter than `IFNAMSIZ`.
fn is_device_name(name: &str) -> bool {
    let separates = |byte: u8| byte == b'/' || byte == b':' || byte == 0 || byte.is_ascii_whitespace();
    (1..16).contains(&name.len()) && name != "." && name != ".." && !name.bytes().any(separates)
}

fn texts(linux: &Linux) -> Checked {
    no_nul(&linux.cgroups_path, || "linux.cgroupsPath".into())?;
    no_nul(&linux.mount_label, || "linux.mountLabel".into())?;
    for (i, path) in linux.masked_paths.iter().enumerate() {
        absolute(path, || format!("linux.maskedPaths[{i}]"))?;
    }
    for (i, path) in linux.readonly_paths.iter().enumerate() {
        absolute(path, || format!("linux.readonlyPaths[{i}]"))?;
    }
    for (i, device) in linux.devices.iter().enumerate() {
        absolute(&device.path, || format!("linux.devices[{i}].path"))?;
    }
    Ok(())
}

fn intel_rdt(rdt: &IntelRdt) -> Checked {
    let class = rdt.clos_id.as_str();
    // "/" alone is the default class.
    if matches!(class, "." | "..") || class.len() > 1 && class.contains('/') {
        return Err(invalid("linux.intelRdt.closID", format!("invalid intelRdt.ClosID {}", shown(class))));
    }
    no_nul(class, || "linux.intelRdt.closID".into())
}

/// How many numbers a list like `0-3,7` has; those that are none count as one each.
fn count_of(list: &str) -> u64 {
    let of = |range: &str| {
        let (first, last) = range.split_once('-')?;
        last.trim().parse::<u64>().ok()?.checked_sub(first.trim().parse().ok()?)?.checked_add(1)
    };
    list.split(',').map(|range| of(range).unwrap_or(1)).fold(0, u64::saturating_add)
}

/// set_mempolicy(2): which mode takes nodes.
fn memory_policy(policy: &MemoryPolicy) -> Checked {
    let has_nodes = !policy.nodes.trim().is_empty();
    let problem = match policy.mode.as_str() {
        "MPOL_DEFAULT" | "MPOL_LOCAL" if has_nodes => {
            &*format!("memory policy mode requires 0 nodes but got {}", count_of(&policy.nodes))
        }
        "MPOL_BIND" | "MPOL_INTERLEAVE" | "MPOL_PREFERRED_MANY" | "MPOL_WEIGHTED_INTERLEAVE"
            if !has_nodes =>
        {
            "memory policy mode requires at least one node but got 0"
        }
        _ => return Ok(()),
    };
    Err(invalid("linux.memoryPolicy.nodes", problem))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Host;
    use super::super::tests::{spoilt, spoilt_on};

    const ROOTLESS: Host = Host { rootless: true, no_pivot: false, joins_own_network: false };

    fn map() -> Value {
        json!([{ "containerID": 0, "hostID": 1000, "size": 1 }])
    }

    fn with(kind: &str) -> Value {
        json!([{ "type": "mount" }, { "type": "uts" }, { "type": kind }])
    }

    #[test]
    fn fields_that_would_change_the_host() {
        let no_uts = ("/linux/namespaces", json!([{ "type": "mount" }]));
        let no_mount = ("/linux/namespaces", json!([{ "type": "uts" }]));
        assert_eq!(spoilt(std::slice::from_ref(&no_uts)), "hostname");
        assert_eq!(spoilt(&[no_uts, ("/hostname", json!("")), ("/domainname", json!("d"))]), "domainname");
        assert_eq!(spoilt(std::slice::from_ref(&no_mount)), "mounts");
        let no_mounts = ("/mounts", json!([]));
        let masked = ("/linux/maskedPaths", json!(["/proc/kcore"]));
        assert_eq!(spoilt(&[no_mount.clone(), no_mounts.clone(), masked]), "linux.maskedPaths");
        let readonly = ("/linux/readonlyPaths", json!(["/proc/sys"]));
        assert_eq!(spoilt(&[no_mount, no_mounts, readonly]), "linux.readonlyPaths");
        let offsets = ("/linux/timeOffsets", json!({ "boottime": { "secs": 1 } }));
        assert_eq!(spoilt(std::slice::from_ref(&offsets)), "linux.timeOffsets");
        let joined = json!([{ "type": "mount" }, { "type": "uts" }, { "type": "time", "path": "/p" }]);
        assert_eq!(spoilt(&[offsets.clone(), ("/linux/namespaces", joined)]), "linux.timeOffsets");
        assert_eq!(spoilt(&[offsets, ("/linux/namespaces", with("time"))]), "");
    }

    #[test]
    fn user_namespaces_and_maps() {
        assert_eq!(spoilt(&[("/linux/uidMappings", map())]), "linux.uidMappings");
        assert_eq!(spoilt(&[("/linux/gidMappings", map())]), "linux.gidMappings");
        let user = ("/linux/namespaces", with("user"));
        assert_eq!(spoilt(std::slice::from_ref(&user)), "linux.uidMappings");
        let (uids, gids) = (("/linux/uidMappings", map()), ("/linux/gidMappings", map()));
        assert_eq!(spoilt(&[user.clone(), uids.clone(), gids.clone()]), "");
        assert_eq!(spoilt_on(&ROOTLESS, &[]), "linux.namespaces");
        assert_eq!(spoilt_on(&ROOTLESS, &[user.clone(), uids.clone()]), "linux.gidMappings");
        assert_eq!(spoilt_on(&ROOTLESS, &[user.clone(), gids.clone()]), "linux.uidMappings");
        assert_eq!(spoilt_on(&ROOTLESS, &[user, uids, gids]), "");
        let joined = json!([{ "type": "mount" }, { "type": "uts" }, { "type": "user", "path": "/p" }]);
        assert_eq!(spoilt(&[("/linux/namespaces", joined)]), "");
    }

    #[test]
    fn paths() {
        let path = |path| json!([{ "type": "mount" }, { "type": "uts", "path": path }]);
        assert_eq!(spoilt(&[("/linux/namespaces", path("ns/uts"))]), "linux.namespaces[1].path");
        assert_eq!(spoilt(&[("/linux/namespaces", path("/a\0"))]), "linux.namespaces[1].path");
        assert_eq!(spoilt(&[("/linux/maskedPaths", json!(["/a", "b"]))]), "linux.maskedPaths[1]");
        assert_eq!(spoilt(&[("/linux/readonlyPaths", json!(["b"]))]), "linux.readonlyPaths[0]");
        assert_eq!(
            spoilt(&[("/linux/devices", json!([{ "path": "null", "type": "c" }]))]),
            "linux.devices[0].path"
        );
        assert_eq!(spoilt(&[("/linux/cgroupsPath", json!("/a\0"))]), "linux.cgroupsPath");
    }

    #[test]
    fn network_devices() {
        let devices = |devices: Value| {
            spoilt(&[("/linux/namespaces", with("network")), ("/linux/netDevices", devices)])
        };
        assert_eq!(devices(json!({ "eth0": {}, "eth1": { "name": "lan" } })), "");
        assert_eq!(spoilt(&[("/linux/netDevices", json!({ "eth0": {} }))]), "linux.netDevices");
        let rootless = [
            (
                "/linux/namespaces",
                json!([{"type":"mount"},{"type":"uts"},{"type":"network"},{"type":"user","path":"/p"}]),
            ),
            ("/linux/netDevices", json!({ "eth0": {} })),
        ];
        assert_eq!(spoilt_on(&ROOTLESS, &rootless), "linux.netDevices");
        for bad in ["", ".", "..", "a/b", "a:b", "a b", "a\0", "sixteen-letters-"] {
            assert!(devices(json!({ bad: {} })).starts_with("linux.netDevices."), "{bad:?}");
        }
        assert_eq!(devices(json!({ "eth0": { "name": "a/b" } })), "linux.netDevices.\"a/b\"");
        assert_eq!(devices(json!({ "eth0": {}, "eth1": { "name": "eth0" } })), "linux.netDevices.eth1.name");
    }

    #[test]
    fn propagation_without_pivot_root() {
        let host = Host { no_pivot: true, ..Host::default() };
        let private = [("/linux/rootfsPropagation", json!("rprivate"))];
        assert_eq!(spoilt_on(&host, &private), "linux.rootfsPropagation");
        assert_eq!(spoilt(&private), "");
    }

    #[test]
    fn classes_of_resctrl() {
        for (class, good) in
            [("", true), ("/", true), ("guaranteed", true), (".", false), ("..", false), ("a/b", false)]
        {
            let at = spoilt(&[("/linux/intelRdt", json!({ "closID": class }))]);
            assert_eq!(at, if good { "" } else { "linux.intelRdt.closID" }, "{class:?}");
        }
    }

    #[test]
    fn memory_policies() {
        let policy =
            |mode, nodes| spoilt(&[("/linux/memoryPolicy", json!({ "mode": mode, "nodes": nodes }))]);
        assert_eq!(policy("MPOL_BIND", "0"), "");
        assert_eq!(policy("MPOL_PREFERRED", ""), "");
        assert_eq!(policy("MPOL_BIND", ""), "linux.memoryPolicy.nodes");
        assert_eq!(policy("MPOL_LOCAL", "0"), "linux.memoryPolicy.nodes");
    }
}
