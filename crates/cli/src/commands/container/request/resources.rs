//! Flags of limits, and of devices.

use super::{Request, RequestFlag};
use crate::commands::container::device;
use crate::commands::flags::Section;
use crate::commands::values::{bytes, cpus, integer};

/// Limits that `update` can change as well.
pub const SECTION: Section<Request> = Section {
    heading: "Limits",
    flags: &[
        RequestFlag::value("memory", "BYTES", "Memory", |request, value| {
            request.create.host_config.resources.memory = bytes(value)?;
            Ok(())
        })
        .short('m'),
        RequestFlag::value(
            "memory-reservation",
            "BYTES",
            "Memory that it is pushed back to when there is little",
            |request, value| {
                request.create.host_config.resources.memory_reservation = bytes(value)?;
                Ok(())
            },
        ),
        RequestFlag::value(
            "memory-swap",
            "BYTES",
            "Memory and swap together; -1 for unlimited swap",
            |request, value| {
                request.create.host_config.resources.memory_swap = swap(value)?;
                Ok(())
            },
        ),
        RequestFlag::value("cpus", "N", "CPUs, as a decimal number", |request, value| {
            request.create.host_config.resources.nano_cpus = cpus(value)?;
            Ok(())
        }),
        RequestFlag::value("cpu-shares", "N", "Relative weight of CPU time", |request, value| {
            request.create.host_config.resources.cpu_shares = integer(value)?;
            Ok(())
        })
        .short('c'),
        RequestFlag::value(
            "cpu-period",
            "MICROSECONDS",
            "Period of the CPU scheduler's quota",
            |request, value| {
                request.create.host_config.resources.cpu_period = integer(value)?;
                Ok(())
            },
        ),
        RequestFlag::value("cpu-quota", "MICROSECONDS", "CPU time in a period", |request, value| {
            request.create.host_config.resources.cpu_quota = integer(value)?;
            Ok(())
        }),
        RequestFlag::value(
            "cpu-rt-period",
            "MICROSECONDS",
            "Period of real-time scheduling",
            |request, value| {
                request.create.host_config.resources.cpu_realtime_period = integer(value)?;
                Ok(())
            },
        ),
        RequestFlag::value(
            "cpu-rt-runtime",
            "MICROSECONDS",
            "Real-time CPU time in a period",
            |request, value| {
                request.create.host_config.resources.cpu_realtime_runtime = integer(value)?;
                Ok(())
            },
        ),
        RequestFlag::value("cpuset-cpus", "CPUS", "The CPUs to run on (0-3, 0,1)", |request, value| {
            value.clone_into(&mut request.create.host_config.resources.cpuset_cpus);
            Ok(())
        }),
        RequestFlag::value("cpuset-mems", "NODES", "The memory nodes to use (0-3, 0,1)", |request, value| {
            value.clone_into(&mut request.create.host_config.resources.cpuset_mems);
            Ok(())
        }),
        RequestFlag::value("pids-limit", "N", "Processes; -1 for no limit", |request, value| {
            request.create.host_config.resources.pids_limit = Some(integer(value)?);
            Ok(())
        }),
        RequestFlag::value(
            "blkio-weight",
            "10-1000",
            "Relative weight of block I/O, or 0",
            |request, value| {
                let weight = integer(value)?;
                if !matches!(weight, 0 | 10..=1000) {
                    return Err("range of blkio weight is from 10 to 1000".to_owned());
                }
                request.create.host_config.resources.blkio_weight = weight;
                Ok(())
            },
        ),
    ],
};

/// Limits that are there from the beginning.
pub const AT_CREATION: Section<Request> = Section {
    heading: "Limits",
    flags: &[
        RequestFlag::value("memory-swappiness", "0-100", "Readiness to swap", |request, value| {
            let swappiness = integer(value)?;
            if !(-1..=100).contains(&swappiness) {
                return Err(format!("invalid value: {swappiness}. Valid memory swappiness range is 0-100"));
            }
            request.create.host_config.resources.memory_swappiness = Some(swappiness).filter(|it| *it >= 0);
            Ok(())
        }),
        RequestFlag::switch("oom-kill-disable", "Don't let the OOM killer end it", |request, on| {
            request.create.host_config.resources.oom_kill_disable = Some(on);
        }),
        RequestFlag::value(
            "oom-score-adj",
            "N",
            "How readily the OOM killer ends it, -1000 to 1000",
            |request, value| {
                let adjustment = integer(value)?;
                if !(-1000..=1000).contains(&adjustment) {
                    return Err(format!(
                        "invalid value {adjustment}, range for oom score adj is [-1000, 1000]"
                    ));
                }
                request.create.host_config.oom_score_adj = adjustment;
                Ok(())
            },
        ),
    ],
};

pub const DEVICES: Section<Request> = Section {
    heading: "Devices",
    flags: &[
        RequestFlag::value(
            "device",
            "PATH[:PATH][:rwm]",
            "Give it a device of the host, or a CDI device",
            |request, value| device::add(&mut request.create.host_config.resources, value),
        ),
        RequestFlag::value(
            "device-cgroup-rule",
            "RULE",
            "Allow devices, as `c 10:200 rwm`",
            |request, value| {
                device::check_rule(value)?;
                request.create.host_config.resources.device_cgroup_rules.push(value.to_owned());
                Ok(())
            },
        ),
        RequestFlag::value(
            "gpus",
            "REQUEST",
            "Give it GPUs: all, a number, or fields as device=0",
            |request, value| {
                request.create.host_config.resources.device_requests.push(device::gpus(value)?);
                Ok(())
            },
        ),
        RequestFlag::value(
            "blkio-weight-device",
            "PATH:WEIGHT",
            "Relative weight of a device's I/O",
            |request, value| {
                request.create.host_config.resources.blkio_weight_device.push(device::weight(value)?);
                Ok(())
            },
        ),
        RequestFlag::value(
            "device-read-bps",
            "PATH:RATE",
            "Bytes a second read from a device",
            |request, value| {
                let rate = device::bytes_a_second(value)?;
                request.create.host_config.resources.blkio_device_read_bps.push(rate);
                Ok(())
            },
        ),
        RequestFlag::value(
            "device-write-bps",
            "PATH:RATE",
            "Bytes a second written to a device",
            |request, value| {
                let rate = device::bytes_a_second(value)?;
                request.create.host_config.resources.blkio_device_write_bps.push(rate);
                Ok(())
            },
        ),
        RequestFlag::value(
            "device-read-iops",
            "PATH:RATE",
            "Reads a second from a device",
            |request, value| {
                let rate = device::operations_a_second(value)?;
                request.create.host_config.resources.blkio_device_read_iops.push(rate);
                Ok(())
            },
        ),
        RequestFlag::value(
            "device-write-iops",
            "PATH:RATE",
            "Writes a second to a device",
            |request, value| {
                let rate = device::operations_a_second(value)?;
                request.create.host_config.resources.blkio_device_write_iops.push(rate);
                Ok(())
            },
        ),
    ],
};

/// Bytes, or -1 for no limit.
fn swap(text: &str) -> Result<i64, String> {
    if text == "-1" { Ok(-1) } else { bytes(text) }
}
