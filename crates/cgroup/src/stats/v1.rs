//! Counters of cgroup v1.

use super::{
    Blkio, BlkioEntry, Controller, Cpu, CpuUsage, Cpuset, Dir, Error, Hugetlb, Memory, MemoryEntry, Pids,
    Stats, Throttling, huge_page_sizes, malformed, number, optional, table,
};

/// cpuacct.stat counts in USER_HZ, which is 100 on every architecture.
const NANOSECONDS_A_TICK: u64 = 10_000_000;

/// All counters; `dir` yields the directory of a controller if the group has one.
pub(super) fn stats(dir: impl Fn(Controller) -> Result<Option<Dir>, Error>) -> Result<Stats, Error> {
    fn each<T: Default>(
        dir: Result<Option<Dir>, Error>,
        read: impl Fn(&Dir) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match dir {
            Ok(Some(dir)) => read(&dir),
            Ok(None) => Ok(T::default()),
            Err(e) if e.is_gone() => Ok(T::default()),
            Err(e) => Err(e),
        }
    }
    let mut stats = Stats {
        cpu: Cpu {
            usage: each(dir(Controller::Cpuacct), cpu_usage)?,
            throttling: each(dir(Controller::Cpu), throttling)?,
            psi: None,
        },
        cpuset: each(dir(Controller::Cpuset), cpuset)?,
        memory: each(dir(Controller::Memory), memory)?,
        pids: each(dir(Controller::Pids), pids)?,
        blkio: each(dir(Controller::Blkio), blkio)?,
        ..Stats::default()
    };
    if let Some(dir) = dir(Controller::Hugetlb)? {
        for size in huge_page_sizes() {
            let counters = hugetlb(&dir, &size)?;
            stats.hugetlb.insert(size, counters);
        }
    }
    Ok(stats)
}

fn cpu_usage(dir: &Dir) -> Result<CpuUsage, Error> {
    let ticks = table(dir, "cpuacct.stat")?;
    let time = |key| ticks.get(key).copied().unwrap_or(0) * NANOSECONDS_A_TICK;
    let percpu = optional(dir, "cpuacct.usage_percpu")?;
    let all = optional(dir, "cpuacct.usage_all")?;
    // A header, then "CPU USER SYSTEM" lines.
    let column = |index: usize| {
        all.lines().skip(1).filter_map(move |line| line.split(' ').nth(index)?.parse().ok()).collect()
    };
    Ok(CpuUsage {
        total: number(dir, "cpuacct.usage")?.unwrap_or(0),
        percpu: percpu.split_whitespace().filter_map(|time| time.parse().ok()).collect(),
        percpu_kernel: column(2),
        percpu_user: column(1),
        kernel: time("system"),
        user: time("user"),
    })
}

fn throttling(dir: &Dir) -> Result<Throttling, Error> {
    let stat = table(dir, "cpu.stat")?;
    let value = |key| stat.get(key).copied().unwrap_or(0);
    Ok(Throttling {
        periods: value("nr_periods"),
        throttled_periods: value("nr_throttled"),
        throttled_time: value("throttled_time"),
    })
}

fn cpuset(dir: &Dir) -> Result<Cpuset, Error> {
    let value = |name| Ok::<_, Error>(number(dir, name)?.unwrap_or(0));
    let list =
        |file| ranges(optional(dir, file)?.trim()).ok_or_else(|| malformed(dir, file, "no list of ranges"));
    let level = optional(dir, "cpuset.sched_relax_domain_level")?;
    Ok(Cpuset {
        cpus: list("cpuset.cpus")?,
        cpu_exclusive: value("cpuset.cpu_exclusive")?,
        mems: list("cpuset.mems")?,
        mem_hardwall: value("cpuset.mem_hardwall")?,
        mem_exclusive: value("cpuset.mem_exclusive")?,
        memory_migrate: value("cpuset.memory_migrate")?,
        memory_spread_page: value("cpuset.memory_spread_page")?,
        memory_spread_slab: value("cpuset.memory_spread_slab")?,
        memory_pressure: value("cpuset.memory_pressure")?,
        sched_load_balance: value("cpuset.sched_load_balance")?,
        sched_relax_domain_level: level.trim().parse().unwrap_or(0),
    })
}

/// `0-2,5` as its members.
fn ranges(list: &str) -> Option<Vec<u16>> {
    let mut members = Vec::new();
    for range in list.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        members.extend(first.parse().ok()?..=last.parse::<u16>().ok()?);
    }
    Some(members)
}

fn memory(dir: &Dir) -> Result<Memory, Error> {
    let raw = table(dir, "memory.stat")?;
    Ok(Memory {
        cache: raw.get("cache").copied().unwrap_or(0),
        usage: memory_entry(dir, "memory")?,
        swap: memory_entry(dir, "memory.memsw")?,
        kernel: memory_entry(dir, "memory.kmem")?,
        kernel_tcp: memory_entry(dir, "memory.kmem.tcp")?,
        raw,
        psi: None,
    })
}

/// Swap and kernel memory are options of the kernel; so are single files of theirs.
fn memory_entry(dir: &Dir, prefix: &str) -> Result<MemoryEntry, Error> {
    let value = |name| Ok::<_, Error>(number(dir, &format!("{prefix}.{name}"))?.unwrap_or(0));
    Ok(MemoryEntry {
        limit: value("limit_in_bytes")?,
        usage: value("usage_in_bytes")?,
        max: value("max_usage_in_bytes")?,
        failcnt: value("failcnt")?,
    })
}

fn pids(dir: &Dir) -> Result<Pids, Error> {
    let limit = number(dir, "pids.max")?.filter(|limit| *limit != u64::MAX).unwrap_or(0);
    Ok(Pids { current: number(dir, "pids.current")?.unwrap_or(0), limit })
}

fn hugetlb(dir: &Dir, size: &str) -> Result<Hugetlb, Error> {
    // Reservations are what the limit is about where the kernel counts them (since 5.7).
    let kind = if dir.has(&format!("hugetlb.{size}.rsvd.usage_in_bytes")) { ".rsvd" } else { "" };
    let value = |name| Ok::<_, Error>(number(dir, &format!("hugetlb.{size}{kind}.{name}"))?.unwrap_or(0));
    Ok(Hugetlb {
        usage: value("usage_in_bytes")?,
        max: value("max_usage_in_bytes")?,
        failcnt: value("failcnt")?,
    })
}

/// The schedulers count in files of their own. The first family that has something to tell is taken.
fn blkio(dir: &Dir) -> Result<Blkio, Error> {
    for prefix in ["blkio.bfq.", "blkio.", "blkio.throttle."] {
        let counter = |name: &str| entries(dir, &format!("{prefix}{name}_recursive"));
        let blkio = Blkio {
            io_service_bytes_recursive: counter("io_service_bytes")?,
            io_serviced_recursive: counter("io_serviced")?,
            io_queued_recursive: counter("io_queued")?,
            io_service_time_recursive: counter("io_service_time")?,
            io_wait_time_recursive: counter("io_wait_time")?,
            io_merged_recursive: counter("io_merged")?,
            io_time_recursive: counter("time")?,
            sectors_recursive: counter("sectors")?,
            psi: None,
        };
        if blkio != Blkio::default() {
            return Ok(blkio);
        }
    }
    Ok(Blkio {
        io_service_bytes_recursive: entries(dir, "blkio.throttle.io_service_bytes")?,
        io_serviced_recursive: entries(dir, "blkio.throttle.io_serviced")?,
        ..Blkio::default()
    })
}

/// Lines `MAJOR:MINOR [OPERATION] VALUE`, and a sum `Total VALUE`, which is left out.
fn entries(dir: &Dir, file: &str) -> Result<Vec<BlkioEntry>, Error> {
    let content = optional(dir, file)?;
    let lines = content.lines().filter(|line| !line.starts_with("Total "));
    lines.map(|line| entry(line).ok_or_else(|| malformed(dir, file, line))).collect()
}

fn entry(line: &str) -> Option<BlkioEntry> {
    let (device, rest) = line.split_once(' ')?;
    let (major, minor) = device.split_once(':')?;
    let (op, value) = rest.split_once(' ').unwrap_or(("", rest));
    Some(BlkioEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        op: op.to_owned(),
        value: value.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_lines_are_parsed() {
        assert_eq!(ranges("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(ranges(""), Some(vec![]));
        assert_eq!(ranges("a-2"), None);
        let read = BlkioEntry { major: 8, minor: 16, op: "Read".to_owned(), value: 7 };
        assert_eq!(entry("8:16 Read 7"), Some(read.clone()));
        assert_eq!(entry("8:16 7"), Some(BlkioEntry { op: String::new(), ..read }));
        assert_eq!(entry("8 Read 7"), None);
    }
}
