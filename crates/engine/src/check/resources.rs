//! Limits: dockerd's rules.

use std::collections::BTreeMap;

use oci::spec::resources::LinuxResources;

use crate::config::{HostConfig, Resources};
use crate::spec::{GROUPS_OF_USERS, Host};

use super::{Checked, Invalid, invalid};

/// Docker's least memory.
const LEAST_MEMORY: i64 = 6 << 20;

pub(super) fn check(own: &HostConfig, host: &Host) -> Result<Vec<String>, Invalid> {
    let limits = &own.resources;
    memory(limits)?;
    cpu(limits)?;
    cpusets(limits)?;
    block_io(limits)?;
    if !limits.cgroup_parent.is_empty() && host.systemd {
        let parent = &limits.cgroup_parent;
        if parent.contains('/') || !parent.ends_with(".slice") {
            return Err(Invalid(format!(
                "cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\", not {parent:?}"
            )));
        }
    }
    Ok(warnings(own, host))
}

fn memory(limits: &Resources) -> Checked {
    let Resources { memory, memory_swap: swap, memory_reservation: reservation, .. } = *limits;
    if memory < 0 {
        return invalid("memory limit must not be negative (--memory)");
    }
    if memory != 0 && memory < LEAST_MEMORY {
        return invalid("Minimum memory limit allowed is 6MB");
    }
    if memory > 0 && swap > 0 && swap < memory {
        return invalid(
            "Minimum memoryswap limit should be larger than memory limit, see usage (--memory-swap and --memory)",
        );
    }
    if memory == 0 && swap > 0 {
        return invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage (--memory-swap and --memory)",
        );
    }
    if swap < -1 {
        return invalid(format!("invalid memory-swap limit {swap}: use -1 for no limit (--memory-swap)"));
    }
    if let Some(swappiness) = limits.memory_swappiness
        && !(-1..=100).contains(&swappiness)
    {
        return invalid(format!("Invalid value: {swappiness}, valid memory swappiness range is 0-100"));
    }
    if reservation != 0 && reservation < LEAST_MEMORY {
        return invalid("Minimum memory reservation allowed is 6MB");
    }
    if memory > 0 && reservation > memory {
        return invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage (--memory and \
             --memory-reservation)",
        );
    }
    Ok(())
}

fn cpu(limits: &Resources) -> Checked {
    let conflict = |one, flag| {
        invalid(format!("Conflicting options: Nano CPUs and {one} cannot both be set. (--cpus and {flag})"))
    };
    if limits.nano_cpus > 0 {
        if limits.cpu_period > 0 {
            return conflict("CPU Period", "--cpu-period");
        }
        if limits.cpu_quota > 0 {
            return conflict("CPU Quota", "--cpu-quota");
        }
    }
    let cpus = std::thread::available_parallelism().map_or(1, |count| count.get() as i64);
    let online = online_cpus().unwrap_or(cpus);
    let most = online.saturating_mul(1_000_000_000);
    if limits.nano_cpus < 0 || limits.nano_cpus > most || (1..10_000_000).contains(&limits.nano_cpus) {
        return invalid(format!(
            "range of CPUs is from 0.01 to {online}.00, as there are only {online} CPUs available"
        ));
    }
    if limits.cpu_shares < 0 {
        return invalid(format!(
            "invalid CPU shares ({}): value must be a positive integer",
            limits.cpu_shares
        ));
    }
    if limits.cpu_period != 0 && !(1000..=1_000_000).contains(&limits.cpu_period) {
        return invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        );
    }
    if limits.cpu_quota > 0 && limits.cpu_quota < 1000 {
        return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    if limits.cpu_realtime_runtime > limits.cpu_realtime_period && limits.cpu_realtime_period > 0 {
        return invalid("cpu real-time runtime cannot be higher than cpu real-time period");
    }
    Ok(())
}

/// The machine's CPUs, not only those that this process may use.
fn online_cpus() -> Option<i64> {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    Some(numbers(list.trim())?.len() as i64)
}

fn cpusets(limits: &Resources) -> Checked {
    for (value, what, words, available) in [
        (&limits.cpuset_cpus, "cpuset cpus", "CPUs", "/sys/devices/system/cpu/online"),
        (&limits.cpuset_mems, "cpuset mems", "memory nodes", "/sys/devices/system/node/online"),
    ] {
        if value.is_empty() {
            continue;
        }
        let Some(asked) = numbers(value) else {
            return invalid(format!("Invalid value {value} for {what}"));
        };
        let Ok(list) = std::fs::read_to_string(available) else { continue };
        let list = list.trim();
        let there = numbers(list).unwrap_or_default();
        if asked.iter().any(|number| !there.contains(number)) {
            return invalid(format!(
                "Requested {words} are not available - requested {value}, available: {list}"
            ));
        }
    }
    Ok(())
}

/// The numbers of a list as `0-3,7`.
fn numbers(list: &str) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= 8192 {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

fn block_io(limits: &Resources) -> Checked {
    let sound = |weight: u16| weight == 0 || (10..=1000).contains(&weight);
    if !sound(limits.blkio_weight) || limits.blkio_weight_device.iter().any(|device| !sound(device.weight)) {
        return invalid("Range of blkio weight is from 10 to 1000");
    }
    Ok(())
}

/// What Docker warns of and leaves out.
fn warnings(own: &HostConfig, host: &Host) -> Vec<String> {
    let limits = &own.resources;
    let mut warnings = Vec::new();
    let mut warn = |given: bool, text: &str| {
        if given {
            warnings.push(text.to_owned());
        }
    };
    let v2 = host.unified;
    let limited = crate::spec::limits(limits, &BTreeMap::new());
    warn(
        !host.has_groups && !limited.is_ok_and(|limits| limits == LinuxResources::default()),
        &format!("Limits of resources discarded, for the container has no control group: {GROUPS_OF_USERS}."),
    );
    warn(
        v2 && limits.memory_swappiness.is_some_and(|value| value != -1),
        "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness \
         discarded.",
    );
    warn(
        v2 && limits.oom_kill_disable == Some(true),
        "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    );
    warn(
        v2 && (limits.cpu_realtime_period != 0 || limits.cpu_realtime_runtime != 0),
        "Your kernel does not support CPU real-time scheduling. CPU real-time discarded.",
    );
    warn(
        !v2 && limits.oom_kill_disable == Some(true) && limits.memory == 0,
        "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running \
         out of resources.",
    );
    warn(
        own.privileged && !limits.devices.is_empty(),
        "the devices of a privileged container are all devices of the host: permissions of --device are ignored",
    );
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        assert_eq!(numbers("0-2,5"), Some(vec![0, 1, 2, 5]));
        for bad in ["", "2-1", "a", "0-4294967295", "1,"] {
            assert_eq!(numbers(bad), None, "{bad}");
        }
    }
}
