//! Limits of cgroup v2, converted from what the specification words for v1.

use oci::spec::resources::{BlockIo, Cpu, LinuxResources, Memory, ThrottleDevice};

use super::{Write, check_page_sizes, hugepages, invalid, nonzero, pids_max, rdma};
use crate::dir::Dir;
use crate::{Controller, Error};

/// All writes that `resources` asks for, devices and `unified` aside.
///
/// Two limits need a second value that an update may leave out (quota and period share a file; swap is
/// given together with memory): `now` gives the present content of a file.
pub(crate) fn writes(
    resources: &LinuxResources,
    now: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Write>, Error> {
    check_page_sizes(resources)?;
    let mut writes = Vec::new();
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        writes.push(Write::new(Controller::Pids, "pids.max", pids_max(limit)));
    }
    if let Some(memory) = &resources.memory {
        self::memory(&mut writes, memory, &now)?;
    }
    if let Some(block_io) = &resources.block_io {
        self::block_io(&mut writes, block_io)?;
    }
    if let Some(cpu) = &resources.cpu {
        self::cpu(&mut writes, cpu, &now);
    }
    writes.extend(hugepages(resources, "max"));
    writes.extend(rdma(resources));
    Ok(writes)
}

fn memory(
    writes: &mut Vec<Write>,
    memory: &Memory,
    now: &impl Fn(&str) -> Option<String>,
) -> Result<(), Error> {
    const CONTROLLER: Controller = Controller::Memory;
    let limit = nonzero(memory.limit);
    let in_force = || now("memory.max").map(|max| max.trim().parse().unwrap_or(-1));
    let known = limit.or_else(|| nonzero(memory.swap).and_then(|_| in_force()));
    if let Some(swap) = swap_max(nonzero(memory.swap), known)? {
        let write = Write::new(CONTROLLER, "memory.swap.max", max_or(swap));
        // Without swap accounting there is nothing to limit or to switch off.
        writes.push(write.optional_if(swap <= 0));
    }
    if let Some(limit) = limit {
        writes.push(Write::new(CONTROLLER, "memory.max", max_or(limit)));
    }
    if let Some(reservation) = nonzero(memory.reservation) {
        writes.push(Write::new(CONTROLLER, "memory.low", max_or(reservation)));
    }
    Ok(())
}

/// `memory.swap.max`, in which the specification's memory+swap has to become swap alone; -1 is unlimited.
pub(crate) fn swap_max(swap: Option<i64>, limit: Option<i64>) -> Result<Option<i64>, Error> {
    match (swap, limit) {
        // Unlimited memory takes swap along, as in v1.
        (None, Some(-1)) | (Some(-1), _) => Ok(Some(-1)),
        (None, _) => Ok(None),
        (swap, Some(-1)) => Ok(swap),
        (Some(_), None) => Err(invalid("memory.swap", "unable to set swap limit without memory limit")),
        (Some(_), Some(limit @ ..0)) => {
            Err(invalid("memory.limit", format!("invalid memory value: {limit}")))
        }
        (Some(swap), Some(limit)) if swap < limit => {
            Err(invalid("memory.swap", "memory+swap limit should be >= memory limit"))
        }
        (Some(swap), Some(limit)) => Ok(Some(swap - limit)),
    }
}

fn max_or(value: i64) -> String {
    if value == -1 { "max".to_owned() } else { value.to_string() }
}

fn block_io(writes: &mut Vec<Write>, block_io: &BlockIo) -> Result<(), Error> {
    const CONTROLLER: Controller = Controller::Blkio;
    if let Some(weight) = nonzero(block_io.weight) {
        let converted = io_weight(weight)
            .ok_or_else(|| invalid("blockIO.weight", format!("{weight} is not in the range 10-1000")))?;
        writes.push(Write::new(CONTROLLER, "io.bfq.weight", weight).or("io.weight", converted));
    }
    for device in &block_io.weight_device {
        if let Some(weight) = nonzero(device.weight) {
            let line = format!("{}:{} {weight}", device.major, device.minor);
            writes.push(Write::new(CONTROLLER, "io.bfq.weight", line).optional());
        }
    }
    let mut throttle = |key, devices: &[ThrottleDevice]| {
        let line = |d: &ThrottleDevice| format!("{}:{} {key}={}", d.major, d.minor, d.rate);
        writes.extend(devices.iter().map(|device| Write::new(CONTROLLER, "io.max", line(device))));
    };
    throttle("rbps", &block_io.throttle_read_bps_device);
    throttle("wbps", &block_io.throttle_write_bps_device);
    throttle("riops", &block_io.throttle_read_iops_device);
    throttle("wiops", &block_io.throttle_write_iops_device);
    Ok(())
}

/// v1's weight, 10 to 1000, on v2's scale of 1 to 10000, linearly.
fn io_weight(weight: u16) -> Option<u64> {
    Some(1 + u64::from(weight).checked_sub(10)? * 9999 / 990).filter(|weight| *weight <= 10_000)
}

fn cpu(writes: &mut Vec<Write>, cpu: &Cpu, now: &impl Fn(&str) -> Option<String>) {
    const CONTROLLER: Controller = Controller::Cpu;
    if let Some(idle) = cpu.idle {
        writes.push(Write::new(CONTROLLER, "cpu.idle", idle));
    }
    if let Some(shares) = nonzero(cpu.shares) {
        writes.push(Write::new(CONTROLLER, "cpu.weight", cpu_weight(shares)));
    }
    if let Some(burst) = cpu.burst {
        writes.push(Write::new(CONTROLLER, "cpu.max.burst", burst));
    }
    let (quota, period) = (nonzero(cpu.quota), nonzero(cpu.period));
    if quota.is_some() || period.is_some() {
        let in_force = || if quota.is_some() && period.is_some() { None } else { now("cpu.max") };
        let in_force = in_force().unwrap_or_default();
        let (quota_now, period_now) = in_force.trim().split_once(' ').unwrap_or(("max", "100000"));
        let quota = match quota {
            Some(quota @ 1..) => quota.to_string(),
            Some(_) => "max".to_owned(),
            None => quota_now.to_owned(),
        };
        let period = period.map_or_else(|| period_now.to_owned(), |period| period.to_string());
        writes.push(Write::new(CONTROLLER, "cpu.max", format!("{quota} {period}")));
    }
    for (file, value) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
        if !value.is_empty() {
            writes.push(Write::new(Controller::Cpuset, file, value));
        }
    }
}

/// v1's shares (2 to 262144, default 1024) on v2's scale (1 to 10000, default 100), by the quadratic that
/// runc and crun have agreed on: it meets both ends and the default.
pub(crate) fn cpu_weight(shares: u64) -> u64 {
    match shares {
        0 => 0,
        1..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let l = (shares as f64).log2();
            let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
}

/// `memory.checkBeforeUpdate`: refuses limits at or below the present usage, before anything is written.
/// A usage that cannot be read is no reason to fail.
pub(crate) fn check_usage(memory: &Memory, dir: &Dir) -> Result<(), Error> {
    if memory.check_before_update != Some(true) {
        return Ok(());
    }
    let Some(usage) = dir.read("memory.current").ok().and_then(|usage| usage.trim().parse::<u64>().ok())
    else {
        return Ok(());
    };
    for (what, limit) in [("memory+swap", memory.swap), ("memory", memory.limit)] {
        let limit = limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0);
        if let Some(limit) = limit.filter(|limit| *limit <= usage) {
            return Err(Error::BelowUsage { what, limit, usage });
        }
    }
    Ok(())
}

/// Checks the names in `linux.resources.unified`: each has to be one file's.
pub(crate) fn check_unified(resources: &LinuxResources) -> Result<(), Error> {
    for name in resources.unified.keys() {
        let reason = if name.contains('/') {
            "must be a file name (no slashes)"
        } else if !name.contains('.') || name.starts_with('.') || name.contains('\0') {
            "must be in the form CONTROLLER.PARAMETER"
        } else {
            continue;
        };
        return Err(invalid("unified", format!("unified resource {name:?} {reason}")));
    }
    Ok(())
}

/// Writes the files of `linux.resources.unified`, several lines one by one as the kernel takes them.
pub(crate) fn apply_unified(resources: &LinuxResources, dir: &Dir) -> Result<(), Error> {
    for (name, value) in &resources.unified {
        for line in value.trim_end_matches('\n').split('\n') {
            dir.write(name, line).map_err(|e| unified_error(name, e, dir))?;
        }
    }
    Ok(())
}

fn unified_error(name: &str, error: Error, dir: &Dir) -> Error {
    let controller = name.split('.').next().unwrap_or(name);
    let missing = (error.is_gone() || error.is_permission())
        && controller != "cgroup"
        && dir.read("cgroup.controllers").is_ok_and(|list| !list.split_whitespace().any(|c| c == controller));
    let reason = if missing {
        format!("unified resource {name:?} can't be set: controller {controller:?} not available")
    } else {
        format!("unable to set unified resource {name:?}: {error}")
    };
    invalid("unified", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned_with(json: &str, now: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let writes = writes(&serde_json::from_str(json).unwrap(), now).unwrap();
        writes.into_iter().map(|write| format!("{}={}", write.choices[0].0, write.choices[0].1)).collect()
    }

    fn planned(json: &str) -> Vec<String> {
        planned_with(json, |_| None)
    }

    #[test]
    fn shares_become_weights_by_runcs_formula() {
        let weights = [(0, 0), (1, 1), (2, 1), (100, 17), (1024, 100), (3333, 256), (262_144, 10_000)];
        for (shares, weight) in weights {
            assert_eq!(cpu_weight(shares), weight, "{shares}");
        }
        assert_eq!(cpu_weight(u64::MAX), 10_000);
    }

    #[test]
    fn swap_is_what_exceeds_memory() {
        let swap = |swap, limit| swap_max(swap, limit).map_err(|e| e.to_string());
        assert_eq!(swap(Some(30), Some(10)), Ok(Some(20)));
        assert_eq!(swap(Some(10), Some(10)), Ok(Some(0)));
        assert_eq!(swap(None, Some(-1)), Ok(Some(-1)));
        assert_eq!(swap(Some(-1), Some(5)), Ok(Some(-1)));
        assert_eq!(swap(Some(7), Some(-1)), Ok(Some(7)));
        assert_eq!(swap(None, Some(5)), Ok(None));
        assert!(swap(Some(9), Some(10)).unwrap_err().contains(">= memory limit"));
        assert!(swap(Some(9), None).unwrap_err().contains("without memory limit"));
        assert!(swap(Some(9), Some(-7)).unwrap_err().contains("invalid memory value"));
    }

    #[test]
    fn an_update_of_half_a_value_keeps_the_other_half() {
        let now = |file: &str| match file {
            "cpu.max" => Some("5000 20000\n".to_owned()),
            "memory.max" => Some("1000\n".to_owned()),
            _ => None,
        };
        assert_eq!(planned_with(r#"{"cpu":{"quota":7000}}"#, now), ["cpu.max=7000 20000"]);
        assert_eq!(planned_with(r#"{"cpu":{"period":50000}}"#, now), ["cpu.max=5000 50000"]);
        assert_eq!(planned_with(r#"{"memory":{"swap":1500}}"#, now), ["memory.swap.max=500"]);
        assert_eq!(planned(r#"{"cpu":{"period":50000}}"#), ["cpu.max=max 50000"]);
        assert_eq!(planned(r#"{"cpu":{"quota":-1}}"#), ["cpu.max=max 100000"]);
    }

    #[test]
    fn block_weights_are_scaled_unless_bfq_takes_them() {
        let weights = [10, 500, 750, 1000, 9, 1001].map(io_weight);
        assert_eq!(weights, [Some(1), Some(4950), Some(7475), Some(10_000), None, None]);
    }

    #[test]
    fn unified_names_are_files_of_the_group() {
        let check = |name: &str| {
            let unified = [(name.to_owned(), "1".to_owned())].into();
            check_unified(&LinuxResources { unified, ..Default::default() })
        };
        check("memory.high").unwrap();
        for bad in ["../x/memory.high", "memory", "", "..", "memory.\0"] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
