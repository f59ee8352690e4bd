//! `cgroup show`: what a process's cgroups use, what limits them, and how much they wait.

use std::path::{Path, PathBuf};

use rustix::process::Pid;
use serde::Serialize;

use super::{Membership, directories};
use crate::process::{self, ProcessError};
use crate::{Align, Table};

/// The cgroups of a process, hierarchy by hierarchy.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Usage {
    pub pid: i32,
    pub command: String,
    pub hierarchies: Vec<Hierarchy>,
}

/// One hierarchy.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Hierarchy {
    pub version: u8,
    /// Those of the cgroup, which in version 2 its parent switched on.
    pub controllers: Vec<String>,
    pub path: String,
    pub directory: PathBuf,
    pub figures: Vec<Figure>,
}

/// One figure of a cgroup.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Figure {
    pub name: &'static str,
    /// What is used, as the kernel writes it.
    pub used: Option<String>,
    /// The limit of this cgroup.
    pub limit: Option<String>,
    /// The lowest limit on the way to the root, where that is a lower one, and the cgroup that sets it.
    pub inherited: Option<(u64, PathBuf)>,
    /// Share of the last ten seconds, in percent, in which something waited for it.
    pub pressure: Option<f64>,
    #[serde(skip)]
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Bytes,
    Count,
    Microseconds,
    Nanoseconds,
    Text,
}

/// A figure and the files that it is in.
struct Source {
    controller: &'static str,
    name: &'static str,
    used: &'static str,
    limit: &'static str,
    pressure: &'static str,
    unit: Unit,
}

const fn source(
    controller: &'static str,
    name: &'static str,
    used: &'static str,
    limit: &'static str,
    pressure: &'static str,
    unit: Unit,
) -> Source {
    Source { controller, name, used, limit, pressure, unit }
}

/// Documentation/admin-guide/cgroup-v2.rst. A field after a colon is a line of a flat keyed file.
const UNIFIED: &[Source] = &[
    source("cpu", "cpu time", "cpu.stat:usage_usec", "cpu.max", "cpu.pressure", Unit::Microseconds),
    source("cpu", "throttled", "cpu.stat:throttled_usec", "", "", Unit::Microseconds),
    source("cpu", "cpu weight", "cpu.weight", "", "", Unit::Text),
    source("cpuset", "cpus", "cpuset.cpus.effective", "cpuset.cpus", "", Unit::Text),
    source("memory", "memory", "memory.current", "memory.max", "memory.pressure", Unit::Bytes),
    source("memory", "memory peak", "memory.peak", "memory.high", "", Unit::Bytes),
    source("memory", "swap", "memory.swap.current", "memory.swap.max", "", Unit::Bytes),
    source("memory", "killed for memory", "memory.events:oom_kill", "", "", Unit::Count),
    source("pids", "processes", "pids.current", "pids.max", "", Unit::Count),
    source("io", "io", "", "io.max", "io.pressure", Unit::Text),
];

/// Documentation/admin-guide/cgroup-v1.
const LEGACY: &[Source] = &[
    source("cpuacct", "cpu time", "cpuacct.usage", "", "", Unit::Nanoseconds),
    source("cpu", "cpu quota", "", "cpu.cfs_quota_us", "", Unit::Microseconds),
    source("cpu", "throttled", "cpu.stat:throttled_time", "", "", Unit::Nanoseconds),
    source("cpu", "cpu shares", "cpu.shares", "", "", Unit::Text),
    source("cpuset", "cpus", "cpuset.effective_cpus", "cpuset.cpus", "", Unit::Text),
    source("memory", "memory", "memory.usage_in_bytes", "memory.limit_in_bytes", "", Unit::Bytes),
    source(
        "memory",
        "memory peak",
        "memory.max_usage_in_bytes",
        "memory.soft_limit_in_bytes",
        "",
        Unit::Bytes,
    ),
    source(
        "memory",
        "memory and swap",
        "memory.memsw.usage_in_bytes",
        "memory.memsw.limit_in_bytes",
        "",
        Unit::Bytes,
    ),
    source("memory", "killed for memory", "memory.oom_control:oom_kill", "", "", Unit::Count),
    source("pids", "processes", "pids.current", "pids.max", "", Unit::Count),
    source("freezer", "freezer", "freezer.state", "", "", Unit::Text),
];

impl Usage {
    /// Reads the cgroups of a process.
    pub fn of_process(pid: Pid) -> Result<Self, ProcessError> {
        let memberships = process::read_file(pid, "cgroup")?;
        let memberships = directories(&String::from_utf8_lossy(&memberships))
            .map_err(|source| process::read_error(pid, "cgroup", source))?;
        Ok(Self {
            pid: pid.as_raw_pid(),
            command: process::command_line(pid)?,
            hierarchies: memberships.iter().map(Hierarchy::read).collect(),
        })
    }

    /// The figure with this name in whichever hierarchy has it.
    pub fn figure(&self, name: &str) -> Option<&Figure> {
        self.hierarchies.iter().flat_map(|hierarchy| &hierarchy.figures).find(|figure| figure.name == name)
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut cgroups =
            Table::new(&[("VERSION", Align::Right), ("CONTROLLERS", Align::Left), ("CGROUP", Align::Left)]);
        let mut figures = Table::new(&[
            ("", Align::Left),
            ("USED", Align::Right),
            ("LIMIT", Align::Right),
            ("WAITED", Align::Right),
            ("LOWER LIMIT ABOVE", Align::Left),
        ]);
        for hierarchy in &self.hierarchies {
            let controllers = match hierarchy.controllers.as_slice() {
                [] => "none".to_owned(),
                controllers => controllers.join(","),
            };
            cgroups.row(vec![hierarchy.version.to_string(), controllers, hierarchy.path.clone()]);
            for figure in &hierarchy.figures {
                figures.row(figure.cells());
            }
        }
        format!("{} {}\n\n{cgroups}\n{figures}", self.pid, self.command)
    }
}

impl Hierarchy {
    fn read(membership: &Membership) -> Self {
        let unified = membership.is_unified();
        let controllers = if unified {
            let list = read(&membership.directory, "cgroup.controllers").unwrap_or_default();
            list.split_whitespace().map(str::to_owned).collect()
        } else {
            membership.controllers.clone()
        };
        let sources = if unified { UNIFIED } else { LEGACY };
        // The files tell: version 2 has cpu.stat and pressure without the controllers, too.
        let figure = |source: &Source| {
            let wanted = unified || controllers.iter().any(|controller| controller == source.controller);
            if wanted { Figure::read(source, &membership.directory) } else { None }
        };
        Self {
            version: if unified { 2 } else { 1 },
            figures: sources.iter().filter_map(figure).collect(),
            controllers,
            path: membership.path.clone(),
            directory: membership.directory.clone(),
        }
    }
}

impl Figure {
    fn read(source: &Source, directory: &Path) -> Option<Self> {
        let used = read(directory, source.used);
        let limit = read(directory, source.limit);
        if used.is_none() && limit.is_none() {
            return None;
        }
        let own = limit.as_deref().and_then(amount);
        Some(Self {
            name: source.name,
            inherited: match source.unit {
                Unit::Bytes | Unit::Count => lower_above(directory, source.limit, own),
                _ => None,
            },
            used,
            limit,
            pressure: read(directory, source.pressure).and_then(|text| pressure(&text)),
            unit: source.unit,
        })
    }

    /// How much of the limit is used, from 0 to 1, where there is one.
    pub fn fraction(&self) -> Option<f64> {
        let limit = match (&self.inherited, &self.limit) {
            (Some((limit, _)), _) => *limit,
            (None, limit) => amount(limit.as_deref()?)?,
        };
        let used: u64 = self.used.as_ref()?.parse().ok()?;
        (limit > 0).then(|| used as f64 / limit as f64)
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.to_owned(),
            self.used.as_deref().map_or_else(String::new, |text| self.unit.show(text)),
            self.limit.as_deref().map_or_else(String::new, |text| self.unit.show_limit(text)),
            self.pressure.map_or_else(String::new, |percent| format!("{percent:.1}%")),
            self.inherited.as_ref().map_or_else(String::new, |(limit, directory)| {
                format!("{} by {}", self.unit.show(&limit.to_string()), directory.display())
            }),
        ]
    }
}

impl Unit {
    fn show(self, text: &str) -> String {
        let Ok(number) = text.parse::<u64>() else { return text.to_owned() };
        match self {
            Self::Bytes => bytes(number),
            Self::Microseconds => format!("{:.3} s", number as f64 / 1e6),
            Self::Nanoseconds => format!("{:.3} s", number as f64 / 1e9),
            Self::Count | Self::Text => number.to_string(),
        }
    }

    fn show_limit(self, text: &str) -> String {
        match (self, amount(text)) {
            (Self::Bytes | Self::Count, Some(number)) => self.show(&number.to_string()),
            (Self::Bytes | Self::Count, None) => "none".to_owned(),
            // Quota and period, or -1 for none.
            _ if text.starts_with("max") || text == "-1" => "none".to_owned(),
            _ => text.to_owned(),
        }
    }
}

/// Bytes in the largest unit that leaves at least 1.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let mut value = number as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A limit as a number; none for `max` and for version 1's largest number of whole pages.
fn amount(text: &str) -> Option<u64> {
    let number: u64 = text.trim().parse().ok()?;
    (number < 0x7fff_ffff_ffff_0000).then_some(number)
}

/// The lowest limit among the ancestors, if it is below the own one.
fn lower_above(directory: &Path, file: &str, own: Option<u64>) -> Option<(u64, PathBuf)> {
    let limit = |directory: &Path| Some((amount(&read(directory, file)?)?, directory.to_owned()));
    let lowest = directory.ancestors().skip(1).filter_map(limit).min_by_key(|(limit, _)| *limit)?;
    (own.is_none_or(|own| lowest.0 < own)).then_some(lowest)
}

/// The `avg10` of the line `some`.
fn pressure(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("some "))?;
    line.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?.parse().ok()
}

/// Reads `file`, or after a colon one line of it by its first word.
fn read(directory: &Path, file: &str) -> Option<String> {
    let (file, key) = file.split_once(':').map_or((file, None), |(file, key)| (file, Some(key)));
    if file.is_empty() {
        return None;
    }
    let text = std::fs::read_to_string(directory.join(file)).ok()?;
    match key {
        None => Some(text.trim_end().to_owned()),
        Some(key) => {
            let mut values = text.lines().filter_map(|line| line.split_once(' '));
            values.find(|(name, _)| *name == key).map(|(_, value)| value.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_or_none() {
        assert_eq!(amount("max"), None);
        assert_eq!(amount("9223372036854771712"), None);
        assert_eq!(amount("4096\n"), Some(4096));
        assert_eq!(Unit::Bytes.show_limit("9223372036854771712"), "none");
        assert_eq!(Unit::Microseconds.show_limit("max 100000"), "none");
        assert_eq!(Unit::Microseconds.show_limit("50000 100000"), "50000 100000");
        assert_eq!(Unit::Nanoseconds.show("1500000000"), "1.500 s");
    }

    #[test]
    fn bytes_are_readable() {
        assert_eq!([0, 1023, 1024, 1 << 30].map(bytes), ["0 B", "1023 B", "1.0 KiB", "1.0 GiB"]);
        assert_eq!(bytes(u64::MAX), "16384.0 PiB");
    }

    #[test]
    fn pressure_is_that_of_some() {
        assert_eq!(pressure("some avg10=1.50 avg60=0 avg300=0 total=0\nfull avg10=9 …\n"), Some(1.5));
        assert_eq!(pressure(""), None);
    }
}
