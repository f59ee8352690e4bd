//! Which namespaces go with what else.

use crate::config::{CreateConfig, HOST_FIREWALL, HostConfig};
use crate::idmaps::{Wish, wish};
use crate::spec::{Host, Place};

use super::{Checked, invalid};

pub(super) fn check(config: &CreateConfig, host: &Host) -> Checked {
    let own = &config.host_config;
    words(config)?;
    if own.uts_mode == "host" && !config.config.hostname.is_empty() {
        return invalid("conflicting options: hostname and the UTS mode (--hostname and --uts host)");
    }
    if own.uts_mode == "host" && !config.config.domainname.is_empty() {
        return invalid("conflicting options: domainname and the UTS mode (--domainname and --uts host)");
    }
    if own.privileged && own.cgroupns_mode == "private" && !host.unified {
        return invalid(
            "privileged mode is incompatible with private cgroup namespaces on cgroup v1: leave out --privileged or \
             --cgroupns private",
        );
    }
    if !host.unified && own.userns_mode.starts_with("container:") && own.cgroupns_mode == "private" {
        return invalid("conflicting options: --userns container: and --cgroupns private need cgroup v2");
    }
    if own.ipc_mode == "host" && own.shm_size != 0 {
        return invalid("conflicting options: --shm-size and --ipc host: /dev/shm is the host's");
    }
    user_namespace(own, host)?;
    if !host.additional_groups && !own.group_add.is_empty() {
        return invalid(
            "--group-add: only who has subordinate ids may have more groups: as root, usermod --add-subuids \
             100000-165535 --add-subgids 100000-165535 USER, and end all containers",
        );
    }
    if ::network::UserMode::named(&own.network_mode).is_some() && !host.rootless {
        return invalid(format!(
            "--network {}: it is for an ordinary user's containers: as root take --network bridge",
            own.network_mode
        ));
    }
    network(config)
}

/// What a user namespace of its own goes with.
fn user_namespace(own: &HostConfig, host: &Host) -> Checked {
    let flag = match own.userns_mode.as_str() {
        "" => "--uidmap".to_owned(),
        mode => format!("--userns {mode}"),
    };
    if wish(own)? == Wish::Host {
        return Ok(());
    }
    if own.privileged {
        return invalid(format!(
            "privileged mode is incompatible with user namespaces: leave out --privileged or {flag}"
        ));
    }
    if host.in_user_namespace {
        return invalid(format!("{flag} is not supported within a user namespace: leave it out"));
    }
    for (name, option, mode) in [
        ("network", "--network", &own.network_mode),
        ("PID", "--pid", &own.pid_mode),
        ("IPC", "--ipc", &own.ipc_mode),
    ] {
        let whose = match Place::of(mode) {
            Place::New => continue,
            Place::Host => "the host's",
            Place::Container(_) | Place::Path(_) => "another's",
        };
        return invalid(format!(
            "cannot share {whose} {name} namespace when user namespaces are enabled: leave out {option} {mode} or {flag}"
        ));
    }
    Ok(())
}

fn words(config: &CreateConfig) -> Checked {
    let own = &config.host_config;
    let shared =
        |mode: &str| matches!(mode.split_once(':'), Some(("container" | "ns", name)) if !name.is_empty());
    let sound = |mode: &str, words: &[&str], joins: bool| words.contains(&mode) || joins && shared(mode);
    for (name, flag, mode, known, joins) in [
        ("PID", "--pid", &own.pid_mode, &["", "private", "host"][..], true),
        ("IPC", "--ipc", &own.ipc_mode, &["", "none", "private", "shareable", "host"], true),
        ("UTS", "--uts", &own.uts_mode, &["", "private", "host"], true),
        ("cgroup namespace", "--cgroupns", &own.cgroupns_mode, &["", "private", "host"], true),
    ] {
        if !sound(mode, known, joins) {
            return invalid(format!("invalid {name} mode: {mode} ({flag})"));
        }
    }
    let userns = own.userns_mode.as_str();
    let known = ["", "host", "private", "auto", "keep-id", "nomap"].contains(&userns)
        || userns.starts_with("auto:")
        || userns.starts_with("keep-id:")
        || shared(userns);
    if !known {
        return invalid(format!("invalid USER mode: {userns} (--userns)"));
    }
    if own.network_mode.starts_with("container:") && !shared(&own.network_mode) {
        return invalid("invalid container format container:<name|id> (--network)");
    }
    match own.cgroup.is_empty() {
        true => Ok(()),
        false => invalid(format!("invalid Cgroup: {:?}: it must be empty", own.cgroup)),
    }
}

/// A network namespace that is another's, or the host's, has its names and ports already.
fn network(config: &CreateConfig) -> Checked {
    let own = &config.host_config;
    let (container, host) = (own.network_mode.starts_with("container:"), own.network_mode == "host");
    if !matches!(own.publish_policy.as_str(), "" | "open" | HOST_FIREWALL) {
        return invalid(format!(
            "invalid publish policy {:?}: it is open or {HOST_FIREWALL}",
            own.publish_policy
        ));
    }
    if own.network_rate < 0 || (1..8000).contains(&own.network_rate) {
        return invalid(format!(
            "invalid network rate {}: it is 8000 bits a second at least",
            own.network_rate
        ));
    }
    if own.network_rate > 0 && (!Place::of(&own.network_mode).is_new() || own.network_mode == "none") {
        let mode = &own.network_mode;
        return invalid(format!(
            "a network rate needs a network of the container's own, and --network {mode} gives none"
        ));
    }
    if !container && !host {
        return Ok(());
    }
    let mode = &own.network_mode;
    let conflict = |what: &str, flag: &str| {
        invalid(format!("conflicting options: {what} and the network mode ({flag} and --network {mode})"))
    };
    let has_mac =
        config.networking_config.endpoints_config.values().any(|endpoint| !endpoint.mac_address.is_empty());
    if !own.links.is_empty() {
        let text = if container { "container" } else { "host" };
        return invalid(format!(
            "conflicting options: {text} type networking can't be used with links (--link)"
        ));
    }
    if has_mac {
        return conflict("mac-address", "--mac-address");
    }
    if host {
        return Ok(());
    }
    for (given, what, flag) in [
        (!config.config.hostname.is_empty(), "hostname", "--hostname"),
        (!own.dns.is_empty(), "dns", "--dns"),
        (!own.extra_hosts.is_empty(), "custom host-to-IP mapping", "--add-host"),
        (!own.port_bindings.is_empty() || own.publish_all_ports, "port publishing", "--publish"),
        (!config.config.exposed_ports.is_empty(), "port exposing", "--expose"),
    ] {
        if given {
            return conflict(what, flag);
        }
    }
    Ok(())
}
