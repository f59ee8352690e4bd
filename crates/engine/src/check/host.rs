//! `HostConfig`, but for modes and limits.

use std::net::IpAddr;

use capability::Capability;

use crate::config::HostConfig;
use crate::spec::Security;

use super::{Checked, Invalid, device, device_rule, invalid};

pub(super) fn check(host: &HostConfig) -> Checked {
    restart_policy(host)?;
    for (field, names) in [("CapAdd", &host.cap_add), ("CapDrop", &host.cap_drop)] {
        names.iter().try_for_each(|name| capability(field, name))?;
    }
    Security::parse(host).map_err(|error| Invalid(error.to_string()))?;
    host.extra_hosts.iter().try_for_each(|line| extra_host(line))?;
    for server in &host.dns {
        if server.parse::<IpAddr>().is_err() {
            return invalid(format!("bad nameserver IP {server:?}: it is no IP address (--dns)"));
        }
    }
    if host.annotations.contains_key("") {
        return invalid("invalid Annotations: the empty string is not permitted as an annotation key");
    }
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        let value = host.oom_score_adj;
        return invalid(format!("Invalid value {value}, range for oom score adj is [-1000, 1000]"));
    }
    if host.shm_size < 0 {
        return invalid("SHM size can not be less than 0");
    }
    for mapping in &host.resources.devices {
        device(&format!(
            "{}:{}:{}",
            mapping.path_on_host, mapping.path_in_container, mapping.cgroup_permissions
        ))?;
    }
    for rule in &host.resources.device_cgroup_rules {
        device_rule(rule)?;
    }
    for ulimit in &host.resources.ulimits {
        super::ulimit(&format!("{}={}:{}", ulimit.name, ulimit.soft, ulimit.hard))?;
    }
    storage(host)?;
    match host.isolation.as_str() {
        "" | "default" => Ok(()),
        other => {
            invalid(format!("invalid isolation {other:?}: on Linux only default is supported (--isolation)"))
        }
    }
}

fn restart_policy(host: &HostConfig) -> Checked {
    let policy = &host.restart_policy;
    match policy.name.as_str() {
        "" | "no" | "always" | "unless-stopped" if policy.maximum_retry_count != 0 => {
            return invalid("invalid restart policy: maximum retry count can only be used with 'on-failure'");
        }
        "" | "no" | "always" | "unless-stopped" => {}
        "on-failure" if policy.maximum_retry_count < 0 => {
            return invalid("invalid restart policy: maximum retry count cannot be negative");
        }
        "on-failure" => {}
        other => {
            return invalid(format!(
                "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or \
                 'unless-stopped'"
            ));
        }
    }
    match host.auto_remove && !matches!(policy.name.as_str(), "" | "no") {
        true => invalid("conflicting options: cannot specify both --restart and --rm"),
        false => Ok(()),
    }
}

fn capability(field: &str, name: &str) -> Checked {
    let upper = name.to_ascii_uppercase();
    let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    if upper == "ALL" || upper == "CAP_ALL" || !is_number && name.parse::<Capability>().is_ok() {
        return Ok(());
    }
    let with_prefix = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    invalid(format!("invalid {field}: unknown capability: {with_prefix:?}"))
}

/// `NAME:ADDRESS`; an IPv6 address may have brackets, and `=` may stand for the colon.
fn extra_host(line: &str) -> Checked {
    let at = line.find(['=', ':']);
    let Some((name, address)) =
        at.map(|at| (&line[..at], &line[at + 1..])).filter(|(name, _)| !name.is_empty())
    else {
        return invalid(format!("bad format for add-host: {line:?}"));
    };
    if name.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return invalid(format!("bad format for add-host: {line:?}"));
    }
    let address = address.strip_prefix('[').and_then(|address| address.strip_suffix(']')).unwrap_or(address);
    match address == "host-gateway" || address.parse::<IpAddr>().is_ok() {
        true => Ok(()),
        false => invalid(format!("invalid IP address in add-host: {address:?}")),
    }
}

/// The root's size can be limited by project quotas alone, which no driver of ours sets yet.
fn storage(host: &HostConfig) -> Checked {
    match host.storage_opt.keys().next() {
        None => Ok(()),
        Some(key) if key == "size" => {
            invalid("--storage-opt size: the size of a root file system can't be limited on this host")
        }
        Some(key) => invalid(format!("--storage-opt {key}: unknown option")),
    }
}
