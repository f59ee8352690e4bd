//! `stats`: what a running container uses, read from its control groups and its network namespace.

use std::fs;

use serde::Serialize;

use crate::clock;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// What a container has used up to an instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Usage {
    /// Nanoseconds since 1970.
    pub at: i64,
    /// Nanoseconds of CPU time.
    pub cpu: u64,
    /// CPUs of the host.
    pub online_cpus: u32,
    /// Bytes of memory, without the page cache that the kernel gives up first.
    pub memory: u64,
    /// As much as it may have; the host's memory where there is no limit.
    pub memory_limit: u64,
    /// Bytes received and sent.
    pub network: [u64; 2],
    /// Bytes read and written.
    pub block: [u64; 2],
    /// Tasks.
    pub pids: u64,
    /// The most tasks; 0 is no limit.
    pub pids_limit: u64,
    /// All that the control groups count, with pressure where the kernel tells it.
    pub cgroup: cgroup::Stats,
    /// Counters by network interface.
    pub interfaces: Vec<Interface>,
}

/// Counters of a network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "as the kernel names them")]
pub struct Interface {
    pub name: String,
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

impl Engine {
    /// What a running container uses; zeros for one that does not run, as Docker shows them.
    ///
    /// # Errors
    /// Where its control groups can't be read.
    pub fn stats(&self, container: &Container) -> Result<Usage> {
        let state = self.state(container)?;
        let at = clock::now();
        if !state.status.is_active() || state.pid == 0 {
            return Ok(Usage { at, ..Usage::default() });
        }
        let payload = self.running_payload(container)?;
        let group = payload.cgroup().ok_or_else(|| Error::NotRunning(container.name.clone()))?;
        let counted = if payload.has_cgroup() { group.stats()? } else { of_processes(&payload.pids()?) };
        let interfaces =
            interfaces(&fs::read_to_string(format!("/proc/{}/net/dev", state.pid)).unwrap_or_default());
        let (memory, memory_limit) = memory(&counted.memory);
        Ok(Usage {
            at,
            cpu: counted.cpu.usage.total,
            online_cpus: u32::try_from(std::thread::available_parallelism().map_or(1, usize::from))
                .unwrap_or(1),
            memory,
            memory_limit,
            network: interfaces
                .iter()
                .filter(|interface| interface.name != "lo")
                .fold([0, 0], |sum, interface| [sum[0] + interface.rx_bytes, sum[1] + interface.tx_bytes]),
            block: block(&counted.blkio),
            pids: counted.pids.current,
            pids_limit: counted.pids.limit,
            cgroup: counted,
            interfaces,
        })
    }
}

/// Where there is no control group: what those processes have used that live.
fn of_processes(pids: &[u32]) -> cgroup::Stats {
    const NANOSECONDS_A_TICK: u64 = 10_000_000;
    let mut counted = cgroup::Stats::default();
    for pid in pids {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((_, fields)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // proc_pid_stat(5): 14 and 15 are utime and stime, 20 is num_threads, 24 is rss in pages.
        let number = |index: usize| fields.get(index - 3).and_then(|text| text.parse().ok()).unwrap_or(0u64);
        counted.cpu.usage.total += (number(14) + number(15)) * NANOSECONDS_A_TICK;
        counted.memory.usage.usage += number(24) * rustix::param::page_size() as u64;
        counted.pids.current += number(20);
    }
    counted
}

impl Usage {
    /// Percent of one CPU since an earlier look.
    pub fn cpu_percent(&self, earlier: &Usage) -> f64 {
        let elapsed = self.at - earlier.at;
        let used = self.cpu.saturating_sub(earlier.cpu);
        if elapsed <= 0 { 0.0 } else { used as f64 / elapsed as f64 * 100.0 }
    }

    /// Percent of the memory that it may have.
    pub fn memory_percent(&self) -> f64 {
        if self.memory_limit == 0 { 0.0 } else { self.memory as f64 / self.memory_limit as f64 * 100.0 }
    }
}

/// Docker counts no inactive file cache: `total_inactive_file` of v1, `inactive_file` of v2.
fn memory(memory: &cgroup::stats::Memory) -> (u64, u64) {
    let cache = ["total_inactive_file", "inactive_file"].iter().find_map(|name| memory.raw.get(*name));
    let used = memory.usage.usage.saturating_sub(cache.copied().unwrap_or(0));
    let host = host_memory();
    let limit = memory.usage.limit;
    (used, if limit == 0 || limit > host { host } else { limit })
}

fn host_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn block(counted: &cgroup::stats::Blkio) -> [u64; 2] {
    let sum = |op: &str| {
        let entries = counted.io_service_bytes_recursive.iter();
        entries.filter(|entry| entry.op.eq_ignore_ascii_case(op)).map(|entry| entry.value).sum()
    };
    [sum("read"), sum("write")]
}

/// /proc/PID/net/dev: a name, then eight counters received and eight sent.
fn interfaces(text: &str) -> Vec<Interface> {
    let parsed = text.lines().filter_map(|line| {
        let (name, counters) = line.split_once(':')?;
        let counters: Vec<u64> = counters.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            _,
            _,
            _,
            _,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
            ..,
        ] = *counters.as_slice()
        else {
            return None;
        };
        let name = name.trim().to_owned();
        Some(Interface {
            name,
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
        })
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read() {
        let text = "Inter-|   Receive |  Transmit\n face |bytes packets\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";
        let found = interfaces(text);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].rx_dropped, found[0].tx_bytes), ("lo", 4, 9));
    }

    #[test]
    fn percentages_are_of_one_cpu_and_of_the_limit() {
        let early = Usage { at: 0, cpu: 0, ..Usage::default() };
        let late =
            Usage { at: 1_000_000_000, cpu: 1_500_000_000, memory: 1, memory_limit: 4, ..Usage::default() };
        assert!((late.cpu_percent(&early) - 150.0).abs() < 1e-9);
        assert!((late.memory_percent() - 25.0).abs() < 1e-9);
        assert!(early.cpu_percent(&early).abs() < 1e-9);
    }
}
