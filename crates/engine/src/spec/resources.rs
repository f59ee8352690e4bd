//! `linux.resources`: limits, by Docker's names for them.

use std::collections::BTreeMap;

use oci::spec::resources::{
    BlockIo, Cpu, DeviceRule, LinuxResources, Memory, Pids, ThrottleDevice, WeightDevice,
};

use super::{Request, SpecError};
use crate::config::{Resources, ThrottleDevice as Throttle};

/// Major and minor number.
pub type Numbers = (u32, u32);

/// Microseconds of a period where only a share of it was asked for.
const PERIOD: u64 = 100_000;

pub(super) fn resources(request: &Request<'_>) -> Result<LinuxResources, SpecError> {
    if !request.host.has_groups {
        return Ok(LinuxResources::default());
    }
    let asked = &request.config.host_config.resources;
    let mut resources = limits(asked, &request.found.block_devices)?;
    resources.devices = devices(request);
    if request.host.unified {
        for_v2(&mut resources);
    }
    Ok(resources)
}

/// All but devices: also what `update` sets. `numbers` has those of each device that is named.
///
/// # Errors
/// A device whose numbers are not known.
pub fn limits(asked: &Resources, numbers: &BTreeMap<String, Numbers>) -> Result<LinuxResources, SpecError> {
    Ok(LinuxResources {
        memory: memory(asked),
        cpu: cpu(asked),
        pids: asked.pids_limit.map(|limit| Pids { limit: Some(if limit > 0 { limit } else { -1 }) }),
        block_io: block_io(asked, numbers)?,
        ..LinuxResources::default()
    })
}

fn memory(asked: &Resources) -> Option<Memory> {
    let given = |value: i64| (value != 0).then_some(value);
    let memory = Memory {
        limit: given(asked.memory),
        reservation: given(asked.memory_reservation),
        swap: given(asked.memory_swap),
        swappiness: asked.memory_swappiness.and_then(|value| u64::try_from(value).ok()),
        disable_oom_killer: asked.oom_kill_disable.filter(|disable| *disable),
        ..Memory::default()
    };
    (memory != Memory::default()).then_some(memory)
}

fn cpu(asked: &Resources) -> Option<Cpu> {
    let natural = |value: i64| u64::try_from(value).ok().filter(|value| *value != 0);
    let mut cpu = Cpu {
        shares: natural(asked.cpu_shares),
        period: natural(asked.cpu_period),
        quota: (asked.cpu_quota != 0).then_some(asked.cpu_quota),
        realtime_period: natural(asked.cpu_realtime_period),
        realtime_runtime: (asked.cpu_realtime_runtime != 0).then_some(asked.cpu_realtime_runtime),
        cpus: asked.cpuset_cpus.clone(),
        mems: asked.cpuset_mems.clone(),
        ..Cpu::default()
    };
    if asked.nano_cpus > 0 {
        cpu.period = Some(PERIOD);
        cpu.quota = Some((i128::from(asked.nano_cpus) * i128::from(PERIOD) / 1_000_000_000) as i64);
    }
    (cpu != Cpu::default()).then_some(cpu)
}

fn block_io(asked: &Resources, numbers: &BTreeMap<String, Numbers>) -> Result<Option<BlockIo>, SpecError> {
    let find = |path: &String| {
        let (major, minor) = numbers.get(path).ok_or_else(|| SpecError::NoDevice(path.clone()))?;
        Ok((i64::from(*major), i64::from(*minor)))
    };
    let throttle = |list: &[Throttle]| -> Result<Vec<ThrottleDevice>, SpecError> {
        let one = |device: &Throttle| {
            let (major, minor) = find(&device.path)?;
            Ok(ThrottleDevice { major, minor, rate: device.rate })
        };
        list.iter().map(one).collect()
    };
    let weight = |device: &crate::config::WeightDevice| -> Result<WeightDevice, SpecError> {
        let (major, minor) = find(&device.path)?;
        Ok(WeightDevice { major, minor, weight: Some(device.weight), leaf_weight: None })
    };
    let block_io = BlockIo {
        weight: (asked.blkio_weight != 0).then_some(asked.blkio_weight),
        weight_device: asked.blkio_weight_device.iter().map(weight).collect::<Result<_, _>>()?,
        throttle_read_bps_device: throttle(&asked.blkio_device_read_bps)?,
        throttle_write_bps_device: throttle(&asked.blkio_device_write_bps)?,
        throttle_read_iops_device: throttle(&asked.blkio_device_read_iops)?,
        throttle_write_iops_device: throttle(&asked.blkio_device_write_iops)?,
        ..BlockIo::default()
    };
    Ok((block_io != BlockIo::default()).then_some(block_io))
}

/// What only v1 has would be an error of the kernel's or of the runtime's: Docker warns and leaves it out.
fn for_v2(resources: &mut LinuxResources) {
    if let Some(memory) = &mut resources.memory {
        memory.swappiness = None;
        memory.disable_oom_killer = None;
    }
    if let Some(cpu) = &mut resources.cpu {
        cpu.realtime_period = None;
        cpu.realtime_runtime = None;
    }
}

/// Nothing, then what every container has, then what was asked for.
fn devices(request: &Request<'_>) -> Vec<DeviceRule> {
    let rule = |allow, kind: &str, major, minor| DeviceRule {
        allow,
        kind: kind.into(),
        major,
        minor,
        access: "rwm".into(),
    };
    if request.config.host_config.privileged {
        return vec![rule(true, "", None, None)];
    }
    let mut rules = vec![rule(false, "", None, None)];
    for (major, minor) in [(1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1)] {
        rules.push(rule(true, "c", Some(major), Some(minor)));
    }
    rules.push(rule(false, "c", Some(10), Some(229)));
    rules.extend(request.found.devices.rules.iter().cloned());
    rules
}
