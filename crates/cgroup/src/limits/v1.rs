//! Limits of cgroup v1. Kernel memory limits are ignored: the kernel dropped them in 5.4.

use oci::spec::resources::{BlockIo, Cpu, LinuxResources, Memory, Network, ThrottleDevice};

use super::{Write, check_page_sizes, hugepages, invalid, nonzero, pids_max, rdma};
use crate::{Controller, Error};

pub(crate) const MEMORY_LIMIT: &str = "memory.limit_in_bytes";

/// All writes that `resources` asks for, devices aside.
pub(crate) fn writes(resources: &LinuxResources) -> Result<Vec<Write>, Error> {
    check_page_sizes(resources)?;
    let mut writes = Vec::new();
    if let Some(cpu) = &resources.cpu {
        cpuset(&mut writes, cpu);
    }
    if let Some(memory) = &resources.memory {
        self::memory(&mut writes, memory)?;
    }
    if let Some(cpu) = &resources.cpu {
        self::cpu(&mut writes, cpu)?;
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        writes.push(Write::new(Controller::Pids, "pids.max", pids_max(limit)));
    }
    if let Some(block_io) = &resources.block_io {
        self::block_io(&mut writes, block_io);
    }
    writes.extend(hugepages(resources, "limit_in_bytes"));
    if let Some(network) = &resources.network {
        self::network(&mut writes, network);
    }
    writes.extend(rdma(resources));
    Ok(writes)
}

fn cpuset(writes: &mut Vec<Write>, cpu: &Cpu) {
    for (file, value) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
        if !value.is_empty() {
            writes.push(Write::new(Controller::Cpuset, file, value));
        }
    }
}

fn memory(writes: &mut Vec<Write>, memory: &Memory) -> Result<(), Error> {
    const SWAP: &str = "memory.memsw.limit_in_bytes";
    let limit = nonzero(memory.limit);
    let swap = nonzero(memory.swap);
    if let Some(limit) = limit {
        writes.push(Write::new(Controller::Memory, MEMORY_LIMIT, limit));
    }
    match swap {
        Some(swap) => writes.push(Write::new(Controller::Memory, SWAP, swap)),
        // Unlimited memory with limited memory+swap would be no change at all.
        None if limit == Some(-1) => writes.push(Write::new(Controller::Memory, SWAP, -1).optional()),
        None => {}
    }
    if let Some(reservation) = nonzero(memory.reservation) {
        writes.push(Write::new(Controller::Memory, "memory.soft_limit_in_bytes", reservation));
    }
    if memory.disable_oom_killer == Some(true) {
        writes.push(Write::new(Controller::Memory, "memory.oom_control", 1));
    }
    match memory.swappiness {
        // -1 as an unsigned number: what callers send for "default".
        None | Some(u64::MAX) => {}
        Some(swappiness @ 0..=100) => {
            writes.push(Write::new(Controller::Memory, "memory.swappiness", swappiness));
        }
        Some(other) => {
            let reason = format!("invalid memory swappiness value: {other} (valid range is 0-100)");
            return Err(invalid("memory.swappiness", reason));
        }
    }
    Ok(())
}

fn cpu(writes: &mut Vec<Write>, cpu: &Cpu) -> Result<(), Error> {
    let mut put = |file, value: Option<String>| {
        writes.extend(value.map(|value| Write::new(Controller::Cpu, file, value)));
    };
    // Out of this range the kernel clamps without a word.
    match nonzero(cpu.shares) {
        Some(..2) => return Err(invalid("cpu.shares", "the minimum allowed cpu-shares is 2")),
        Some(262_145..) => return Err(invalid("cpu.shares", "the maximum allowed cpu-shares is 262144")),
        shares => put("cpu.shares", shares.map(|n| n.to_string())),
    }
    // Real-time bandwidth comes before the process joins: a SCHED_RR process cannot enter without any.
    put("cpu.rt_period_us", nonzero(cpu.realtime_period).map(|n| n.to_string()));
    put("cpu.rt_runtime_us", nonzero(cpu.realtime_runtime).map(|n| n.to_string()));
    put("cpu.cfs_period_us", nonzero(cpu.period).map(|n| n.to_string()));
    put("cpu.cfs_quota_us", nonzero(cpu.quota).map(|n| n.to_string()));
    put("cpu.idle", cpu.idle.map(|n| n.to_string()));
    let burst = cpu.burst.map(|burst| Write::new(Controller::Cpu, "cpu.cfs_burst_us", burst).optional());
    writes.extend(burst);
    Ok(())
}

fn block_io(writes: &mut Vec<Write>, block_io: &BlockIo) {
    const CONTROLLER: Controller = Controller::Blkio;
    if let Some(weight) = nonzero(block_io.weight) {
        writes.push(Write::new(CONTROLLER, "blkio.weight", weight).or("blkio.bfq.weight", weight));
    }
    if let Some(weight) = nonzero(block_io.leaf_weight) {
        writes.push(Write::new(CONTROLLER, "blkio.leaf_weight", weight));
    }
    for device in &block_io.weight_device {
        let line = |weight| format!("{}:{} {weight}", device.major, device.minor);
        if let Some(weight) = nonzero(device.weight) {
            let write = Write::new(CONTROLLER, "blkio.weight_device", line(weight));
            writes.push(write.or("blkio.bfq.weight_device", line(weight)));
        }
        if let Some(weight) = nonzero(device.leaf_weight) {
            writes.push(Write::new(CONTROLLER, "blkio.leaf_weight_device", line(weight)));
        }
    }
    let mut throttle = |file, devices: &[ThrottleDevice]| {
        let line = |d: &ThrottleDevice| format!("{}:{} {}", d.major, d.minor, d.rate);
        writes.extend(devices.iter().map(|device| Write::new(CONTROLLER, file, line(device))));
    };
    throttle("blkio.throttle.read_bps_device", &block_io.throttle_read_bps_device);
    throttle("blkio.throttle.write_bps_device", &block_io.throttle_write_bps_device);
    throttle("blkio.throttle.read_iops_device", &block_io.throttle_read_iops_device);
    throttle("blkio.throttle.write_iops_device", &block_io.throttle_write_iops_device);
}

fn network(writes: &mut Vec<Write>, network: &Network) {
    if let Some(class) = nonzero(network.class_id) {
        writes.push(Write::new(Controller::NetCls, "net_cls.classid", class));
    }
    for priority in &network.priorities {
        let line = format!("{} {}", priority.name, priority.priority);
        writes.push(Write::new(Controller::NetPrio, "net_prio.ifpriomap", line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(json: &str) -> Vec<String> {
        let writes = writes(&serde_json::from_str(json).unwrap()).unwrap();
        writes.into_iter().map(|write| format!("{}={}", write.choices[0].0, write.choices[0].1)).collect()
    }

    fn refused(json: &str) -> String {
        writes(&serde_json::from_str(json).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn unset_and_zero_write_nothing() {
        assert!(planned("{}").is_empty());
        let zeros = r#"{"memory":{"limit":0,"swap":0,"kernel":99},"cpu":{"shares":0,"quota":0,"period":0}}"#;
        assert!(planned(zeros).is_empty());
    }

    #[test]
    fn unlimited_memory_takes_swap_along() {
        let both = ["memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=-1"];
        assert_eq!(planned(r#"{"memory":{"limit":-1}}"#), both);
        assert_eq!(planned(r#"{"memory":{"limit":5,"swap":9}}"#)[1], "memory.memsw.limit_in_bytes=9");
    }

    #[test]
    fn values_that_the_kernel_would_bend_are_refused() {
        assert!(refused(r#"{"cpu":{"shares":1}}"#).ends_with("the minimum allowed cpu-shares is 2"));
        assert!(refused(r#"{"cpu":{"shares":262145}}"#).contains("maximum"));
        assert!(refused(r#"{"memory":{"swappiness":101}}"#).contains("valid range"));
        assert_eq!(planned(r#"{"memory":{"swappiness":0}}"#), ["memory.swappiness=0"]);
    }

    #[test]
    fn pids_of_zero_mean_one_and_negative_mean_all() {
        assert_eq!(planned(r#"{"pids":{"limit":0}}"#), ["pids.max=1"]);
        assert_eq!(planned(r#"{"pids":{"limit":-1}}"#), ["pids.max=max"]);
        assert_eq!(planned(r#"{"pids":{"limit":7}}"#), ["pids.max=7"]);
    }

    #[test]
    fn everything_else_has_its_file() {
        let json = r#"{"cpu":{"cpus":"0","realtimePeriod":5,"realtimeRuntime":4,"burst":0,"idle":1},
            "blockIO":{"leafWeight":20,"weightDevice":[{"major":8,"minor":0,"weight":30}],
            "throttleReadIOPSDevice":[{"major":8,"minor":16,"rate":60}]},
            "hugepageLimits":[{"pageSize":"2MB","limit":1}],
            "network":{"classID":1048577,"priorities":[{"name":"lo","priority":3}]},
            "rdma":{"mlx5_1":{"hcaHandles":3}}}"#;
        let expected = [
            "cpuset.cpus=0",
            "cpu.rt_period_us=5",
            "cpu.rt_runtime_us=4",
            "cpu.idle=1",
            "cpu.cfs_burst_us=0",
            "blkio.leaf_weight=20",
            "blkio.weight_device=8:0 30",
            "blkio.throttle.read_iops_device=8:16 60",
            "hugetlb.2MB.limit_in_bytes=1",
            "hugetlb.2MB.rsvd.limit_in_bytes=1",
            "net_cls.classid=1048577",
            "net_prio.ifpriomap=lo 3",
            "rdma.max=mlx5_1 hca_handle=3",
        ];
        assert_eq!(planned(json), expected);
    }
}
