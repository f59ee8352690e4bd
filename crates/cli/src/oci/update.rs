//! `update`.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use oci::spec::resources::{BlockIo, Cpu, LinuxResources, Memory, Pids};
use runtime::Failure;
use runtime::failure::OrFail;

use super::{Global, Outcome};

#[derive(Args)]
pub struct Update {
    /// The container's name
    id: String,
    /// Read limits as JSON from a file, or from stdin with -; other flags are ignored then
    #[arg(short, long, value_name = "FILE")]
    resources: Option<PathBuf>,
    /// Weight of block I/O, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
    /// Period of the CPU quota, microseconds
    #[arg(long, value_name = "USEC")]
    cpu_period: Option<u64>,
    /// CPU time in a period, microseconds; -1 for no limit
    #[arg(long, value_name = "USEC", allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// CPU time saved up from one period to the next, microseconds
    #[arg(long, value_name = "USEC")]
    cpu_burst: Option<u64>,
    /// Weight of CPU time against other groups
    #[arg(long, alias = "cpu-shares", value_name = "SHARES")]
    cpu_share: Option<u64>,
    /// Period of real-time scheduling, microseconds
    #[arg(long, value_name = "USEC")]
    cpu_rt_period: Option<u64>,
    /// Real-time CPU time in a period, microseconds
    #[arg(long, value_name = "USEC", allow_negative_numbers = true)]
    cpu_rt_runtime: Option<i64>,
    /// CPUs to run on
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Run only when nobody else wants to: 1, or 0
    #[arg(long, value_name = "0|1")]
    cpu_idle: Option<i64>,
    /// Memory, bytes
    #[arg(long, value_name = "BYTES", value_parser = bytes, allow_hyphen_values = true)]
    memory: Option<i64>,
    /// Memory to keep under pressure, bytes
    #[arg(long, value_name = "BYTES", value_parser = bytes, allow_hyphen_values = true)]
    memory_reservation: Option<i64>,
    /// Memory and swap together, bytes; -1 for no limit
    #[arg(long, value_name = "BYTES", value_parser = bytes, allow_hyphen_values = true)]
    memory_swap: Option<i64>,
    /// Kernel memory; the kernel has no such limit any more
    #[arg(long, hide = true, value_name = "BYTES", allow_hyphen_values = true)]
    kernel_memory: Option<String>,
    /// Kernel memory for TCP; the kernel has no such limit any more
    #[arg(long, hide = true, value_name = "BYTES", allow_hyphen_values = true)]
    kernel_memory_tcp: Option<String>,
    /// Number of tasks; -1 for no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// L3 cache schema of resctrl
    #[arg(long, value_name = "SCHEMA")]
    l3_cache_schema: Option<String>,
    /// Memory bandwidth schema of resctrl
    #[arg(long, value_name = "SCHEMA")]
    mem_bw_schema: Option<String>,
}

impl Update {
    pub fn run(self, global: &Global) -> Outcome {
        let container = global.open(&self.id)?;
        if self.l3_cache_schema.is_some() || self.mem_bw_schema.is_some() {
            container.update_rdt(self.l3_cache_schema.as_deref(), self.mem_bw_schema.as_deref())?;
        }
        let resources = match &self.resources {
            Some(path) => read(path)?,
            None => self.limits(),
        };
        container.update(&resources)?;
        Ok(0)
    }

    fn limits(&self) -> LinuxResources {
        let cpu = Cpu {
            shares: self.cpu_share,
            quota: self.cpu_quota,
            burst: self.cpu_burst,
            period: self.cpu_period,
            realtime_runtime: self.cpu_rt_runtime,
            realtime_period: self.cpu_rt_period,
            cpus: self.cpuset_cpus.clone().unwrap_or_default(),
            mems: self.cpuset_mems.clone().unwrap_or_default(),
            idle: self.cpu_idle,
        };
        let memory = Memory {
            limit: self.memory,
            reservation: self.memory_reservation,
            swap: self.memory_swap,
            ..Memory::default()
        };
        LinuxResources {
            cpu: Some(cpu),
            memory: Some(memory),
            pids: self.pids_limit.map(|limit| Pids { limit: Some(limit) }),
            block_io: self.blkio_weight.map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() }),
            ..LinuxResources::default()
        }
    }
}

fn read(path: &PathBuf) -> Result<LinuxResources, Failure> {
    let mut text = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut text).or_fail("read", "stdin")?;
    } else {
        text = std::fs::read(path).or_fail_at("read", path)?;
    }
    serde_json::from_slice(&text).map_err(|error| Failure::because("parse", path.display(), error))
}

/// A number of bytes, with `k`, `m`, `g` or `t` for powers of 1024.
fn bytes(text: &str) -> Result<i64, String> {
    let bad = || format!("{text:?} is no number of bytes: write 1048576, 1024k or 1m");
    let lower = text.to_ascii_lowercase();
    let number = lower.trim_end_matches('b').trim_end_matches('i');
    let (digits, shift) = match number.char_indices().last() {
        Some((at, 'k')) => (&number[..at], 10),
        Some((at, 'm')) => (&number[..at], 20),
        Some((at, 'g')) => (&number[..at], 30),
        Some((at, 't')) => (&number[..at], 40),
        _ => (number, 0),
    };
    let number: i64 = digits.trim().parse().map_err(|_| bad())?;
    number.checked_mul(1 << shift).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_take_units() {
        assert_eq!(bytes("1048576"), Ok(1 << 20));
        assert_eq!(bytes("32m"), Ok(32 << 20));
        assert_eq!(bytes("1GiB"), Ok(1 << 30));
        assert_eq!(bytes("-1"), Ok(-1));
        assert!(bytes("9223372036854775807k").is_err());
        assert!(bytes("m").is_err());
    }
}
