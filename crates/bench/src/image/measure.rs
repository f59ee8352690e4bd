//! What commands take: time, CPU time of them and of their daemon, memory.

use std::fs;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Pid;

/// One run of one tool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// From before its start to after its end.
    pub wall: Duration,
    /// CPU time, user and system, its daemon's included.
    pub cpu: Duration,
    /// The most memory resident, in bytes; a daemon's where it has one.
    pub peak: u64,
}

/// Runs commands one after the other; what `daemon` takes meanwhile counts, too.
pub fn sample(commands: Vec<Command>, daemon: Option<u32>, log: &Path) -> Result<Sample, String> {
    let mut total = Sample::default();
    let before = daemon.map(cpu_of).transpose()?.unwrap_or_default();
    for mut command in commands {
        let failed = |error: std::io::Error| format!("{:?}: {error}", command.get_program());
        let stderr = File::create(log).map_err(failed)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let start = Instant::now();
        let child = command.spawn().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
        let spent =
            sys::process::wait_for_spent(Pid::from_child(&child)).map_err(|error| error.to_string())?;
        total.wall += start.elapsed();
        total.cpu += spent.cpu;
        total.peak = total.peak.max(spent.peak_memory);
        if spent.status != 0 {
            let said = fs::read_to_string(log).unwrap_or_default();
            let last: Vec<&str> = said.lines().rev().take(3).collect();
            return Err(format!("{:?}: {}", command.get_args(), last.join(" | ")));
        }
    }
    if let Some(daemon) = daemon {
        total.cpu += cpu_of(daemon)?.saturating_sub(before);
        total.peak = total.peak.max(peak_of(daemon).unwrap_or(0));
    }
    Ok(total)
}

/// The CPU time of a process and of the children that it waited for (proc_pid_stat(5)).
fn cpu_of(pid: u32) -> Result<Duration, String> {
    let text =
        fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|error| format!("the daemon: {error}"))?;
    let (_, fields) = text.rsplit_once(") ").ok_or("a malformed /proc/PID/stat")?;
    let ticks: u64 = fields.split(' ').skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

fn peak_of(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// The middle of some durations.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
