//! Counters of cgroup v2, in v1's terms where there are such.

use super::{
    Blkio, BlkioEntry, Cpu, CpuUsage, Cpuset, Dir, Error, Hugetlb, Memory, MemoryEntry, Pids, Pressure,
    PressureLine, Stats, Throttling, huge_page_sizes, malformed, number, optional, table,
};

/// All counters of the group `dir`.
pub(super) fn stats(dir: &Dir) -> Result<Stats, Error> {
    let mut stats = Stats {
        cpu: cpu(dir)?,
        cpuset: Cpuset::default(),
        memory: memory(dir)?,
        pids: pids(dir)?,
        blkio: blkio(dir)?,
        ..Stats::default()
    };
    for size in huge_page_sizes() {
        if let Some(counters) = hugetlb(dir, &size)? {
            stats.hugetlb.insert(size, counters);
        }
    }
    Ok(stats)
}

fn cpu(dir: &Dir) -> Result<Cpu, Error> {
    let stat = table(dir, "cpu.stat")?;
    let value = |key| stat.get(key).copied().unwrap_or(0);
    let nanoseconds = |key| value(key) * 1000;
    Ok(Cpu {
        usage: CpuUsage {
            total: nanoseconds("usage_usec"),
            user: nanoseconds("user_usec"),
            kernel: nanoseconds("system_usec"),
            ..CpuUsage::default()
        },
        throttling: Throttling {
            periods: value("nr_periods"),
            throttled_periods: value("nr_throttled"),
            throttled_time: nanoseconds("throttled_usec"),
        },
        psi: pressure(dir, "cpu.pressure")?,
    })
}

fn memory(dir: &Dir) -> Result<Memory, Error> {
    let raw = table(dir, "memory.stat")?;
    let usage = memory_entry(dir, "memory")?;
    let swap = memory_entry(dir, "memory.swap")?;
    let limit = if swap.limit == u64::MAX { u64::MAX } else { swap.limit.saturating_add(usage.limit) };
    Ok(Memory {
        cache: raw.get("file").copied().unwrap_or(0),
        usage,
        // v1 counts memory and swap together; their peaks can't be added up.
        swap: MemoryEntry { limit, usage: swap.usage + usage.usage, max: 0, failcnt: 0 },
        raw,
        psi: pressure(dir, "memory.pressure")?,
        ..Memory::default()
    })
}

fn memory_entry(dir: &Dir, prefix: &str) -> Result<MemoryEntry, Error> {
    let value = |name| Ok::<_, Error>(number(dir, &format!("{prefix}.{name}"))?.unwrap_or(0));
    Ok(MemoryEntry { limit: value("max")?, usage: value("current")?, max: value("peak")?, failcnt: 0 })
}

fn pids(dir: &Dir) -> Result<Pids, Error> {
    let Some(current) = number(dir, "pids.current")? else {
        // Without the controller the list has to do.
        let list = optional(dir, "cgroup.procs")?;
        return Ok(Pids { current: list.lines().count() as u64, limit: 0 });
    };
    let limit = number(dir, "pids.max")?.filter(|limit| *limit != u64::MAX).unwrap_or(0);
    Ok(Pids { current, limit })
}

/// io.stat: a line for each device, `MAJOR:MINOR rbytes=N wbytes=N rios=N wios=N …`.
fn blkio(dir: &Dir) -> Result<Blkio, Error> {
    const FILE: &str = "io.stat";
    let mut blkio = Blkio { psi: pressure(dir, "io.pressure")?, ..Blkio::default() };
    for line in optional(dir, FILE)?.lines() {
        let mut fields = line.split_whitespace();
        let Some((major, minor)) = fields.next().and_then(|device| device.split_once(':')) else { continue };
        let parse = |text: &str| text.parse::<u64>().map_err(|_| malformed(dir, FILE, line));
        let (major, minor) = (parse(major)?, parse(minor)?);
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            let (entries, op) = match key {
                "rbytes" => (&mut blkio.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut blkio.io_service_bytes_recursive, "Write"),
                "rios" => (&mut blkio.io_serviced_recursive, "Read"),
                "wios" => (&mut blkio.io_serviced_recursive, "Write"),
                _ => continue,
            };
            entries.push(BlkioEntry { major, minor, op: op.to_owned(), value: parse(value)? });
        }
    }
    Ok(blkio)
}

fn hugetlb(dir: &Dir, size: &str) -> Result<Option<Hugetlb>, Error> {
    let reserved = number(dir, &format!("hugetlb.{size}.rsvd.current"))?;
    let usage = match reserved {
        Some(usage) => Some(usage),
        None => number(dir, &format!("hugetlb.{size}.current"))?,
    };
    let Some(usage) = usage else { return Ok(None) };
    let events = table(dir, &format!("hugetlb.{size}.events"))?;
    Ok(Some(Hugetlb { usage, max: 0, failcnt: events.get("max").copied().unwrap_or(0) }))
}

/// `None` where the kernel does not count pressure, or not here.
fn pressure(dir: &Dir, file: &str) -> Result<Option<Pressure>, Error> {
    let content = optional(dir, file)?;
    if content.is_empty() {
        return Ok(None);
    }
    let mut pressure = Pressure::default();
    for line in content.lines() {
        let (kind, fields) = line.split_once(' ').unwrap_or((line, ""));
        let parsed = pressure_line(fields).ok_or_else(|| malformed(dir, file, line))?;
        match kind {
            "some" => pressure.some = parsed,
            "full" => pressure.full = parsed,
            _ => {}
        }
    }
    Ok(Some(pressure))
}

/// `avg10=0.00 avg60=0.00 avg300=0.00 total=0`
fn pressure_line(fields: &str) -> Option<PressureLine> {
    let mut line = PressureLine::default();
    for field in fields.split(' ') {
        match field.split_once('=')? {
            ("avg10", value) => line.avg10 = value.parse().ok()?,
            ("avg60", value) => line.avg60 = value.parse().ok()?,
            ("avg300", value) => line.avg300 = value.parse().ok()?,
            ("total", value) => line.total = value.parse().ok()?,
            _ => {}
        }
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_lines_are_parsed() {
        let line = pressure_line("avg10=1.50 avg60=0.25 avg300=0.00 total=777").unwrap();
        assert_eq!(line, PressureLine { avg10: 1.5, avg60: 0.25, avg300: 0.0, total: 777 });
        assert_eq!(pressure_line("avg10=x"), None);
        assert_eq!(pressure_line(""), None);
    }
}
