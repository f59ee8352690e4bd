//! `linux.sysctl`: only parameters that a namespace of the container has for itself. All others are the host's.

use std::collections::BTreeMap;

use super::linux::Namespaces;
use super::{Checked, Host, Invalid, no_nul, shown};

/// Parameters of the ipc namespace, beside `fs.mqueue.*`: ipc/ipc_sysctl.c.
pub const IPC: [&str; 11] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.msg_next_id",
    "kernel.sem",
    "kernel.sem_next_id",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_next_id",
    "kernel.shm_rmid_forced",
];

pub(super) fn check(sysctl: &BTreeMap<String, String>, namespaces: &Namespaces<'_>, host: &Host) -> Checked {
    for (key, value) in sysctl {
        let at = || format!("linux.sysctl[{}]", shown(key));
        no_nul(key, at)?;
        no_nul(value, at)?;
        parameter(&with_dots(key), namespaces, host).map_err(|problem| Invalid { at: at(), problem })?;
    }
    Ok(())
}

/// Whether a parameter belongs to the container.
fn parameter(key: &str, namespaces: &Namespaces<'_>, host: &Host) -> Result<(), String> {
    // No component leads out of the directory that the first ones name.
    if key.split('.').any(|component| component.is_empty() || matches!(component, "/" | "//")) {
        return Err(format!("sysctl {} is no name of a kernel parameter", shown(key)));
    }
    let needs = |kind: &str, name: &str| {
        if namespaces.has(kind) {
            Ok(())
        } else {
            Err(format!("sysctl {} is not allowed in the hosts {name} namespace", shown(key)))
        }
    };
    if IPC.contains(&key) || key.starts_with("fs.mqueue.") {
        return needs("ipc", "ipc");
    }
    if key.starts_with("net.") {
        if host.joins_own_network {
            return Err(format!("sysctl {} not allowed in host network namespace", shown(key)));
        }
        return needs("network", "network");
    }
    match key {
        "kernel.domainname" => needs("uts", "uts"),
        "kernel.hostname" if namespaces.has("uts") => {
            Err(format!("sysctl {key:?} is not allowed as it conflicts with the OCI \"hostname\" field"))
        }
        _ if key.starts_with("user.") => needs("user", "user"),
        _ => Err(format!("sysctl {} is not in a separate kernel namespace", shown(key))),
    }
}

/// The key with dots between its components and slashes within them, as in sysctl(8): the first separator that
/// occurs tells which of the two is meant.
fn with_dots(key: &str) -> String {
    let swaps = key.find(['.', '/']).is_some_and(|at| key.as_bytes()[at] == b'/');
    let swap = |letter| match letter {
        '.' if swaps => '/',
        '/' if swaps => '.',
        other => other,
    };
    key.chars().map(swap).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Host;
    use super::super::tests::spoilt_on;

    fn allowed_on(host: &Host, key: &str, kinds: &[&str]) -> bool {
        let mut namespaces = vec![json!({ "type": "mount" }), json!({ "type": "uts" })];
        namespaces.extend(kinds.iter().map(|kind| json!({ "type": kind, "path": "/p" })));
        let changes = [("/linux/namespaces", json!(namespaces)), ("/linux/sysctl", json!({ key: "1" }))];
        let at = spoilt_on(host, &changes);
        assert!(at.is_empty() || at == format!("linux.sysctl[{key:?}]"), "{at}");
        at.is_empty()
    }

    fn allowed(key: &str, kinds: &[&str]) -> bool {
        allowed_on(&Host::default(), key, kinds)
    }

    #[test]
    fn parameters_need_their_namespace() {
        for (key, kind) in [
            ("kernel.shmmax", "ipc"),
            ("kernel/shmmax", "ipc"),
            ("fs.mqueue.msg_max", "ipc"),
            ("net.ipv4.ip_forward", "network"),
            ("net/ipv4/conf/eno2.100/rp_filter", "network"),
            ("user.max_user_namespaces", "user"),
        ] {
            assert!(allowed(key, &[kind]), "{key}");
            assert!(!allowed(key, &["pid"]), "{key}");
        }
    }

    #[test]
    fn parameters_of_the_host_are_refused() {
        let all = ["ipc", "network", "user", "pid", "cgroup", "time"];
        for key in [
            "kernel.core_pattern",
            "kernel/core_pattern",
            "vm.swappiness",
            "fs.file-max",
            "kernel",
            "",
            ".",
            "netfilter.x",
            "net..core",
            "net/../kernel/core_pattern",
            "fs.mqueue.//.//.kernel.core_pattern",
        ] {
            assert!(!allowed(key, &all), "{key}");
        }
    }

    #[test]
    fn names_of_the_machine() {
        assert!(allowed("kernel.domainname", &[]));
        assert!(!allowed("kernel.hostname", &[]));
    }

    #[test]
    fn a_path_to_the_hosts_network_is_the_hosts_network() {
        let host = Host { joins_own_network: true, ..Host::default() };
        assert!(!allowed_on(&host, "net.core.somaxconn", &["network"]));
        assert!(allowed_on(&host, "kernel.shmmax", &["ipc", "network"]));
    }
}
