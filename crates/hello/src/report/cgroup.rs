//! The cgroup and its limits, of version 2 or 1.

use core::ffi::CStr;
use core::fmt::{self, Write};

use super::{System, label, text};

/// What version 1 says where there is no limit: the largest multiple of a page.
const NO_LIMIT: u64 = 1 << 62;

pub fn print(system: &impl System, out: &mut impl Write) -> fmt::Result {
    let mut buffer = [0; 4096];
    let file = system.read(c"/proc/self/cgroup", &mut buffer).unwrap_or_default();
    label(out, "cgroup")?;
    // "0::/path" is version 2; of version 1, the controller of memory stands for all.
    let path = |wanted: &str| {
        text::lines(file).find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|controller| controller == wanted).then_some(path)
        })
    };
    match (path("memory"), path("")) {
        (Some(path), _) => write!(out, "{path} (version 1)")?,
        (None, Some(path)) => write!(out, "{path}")?,
        (None, None) => write!(out, "not known")?,
    }
    let first = |paths: [&CStr; 2], buffer: &mut [u8]| -> Option<[u64; 2]> {
        paths.iter().find_map(|path| pair(text::first_line(system.read(path, buffer))))
    };
    let memory =
        first([c"/sys/fs/cgroup/memory.max", c"/sys/fs/cgroup/memory/memory.limit_in_bytes"], &mut buffer);
    match memory {
        Some([bytes, _]) if bytes < NO_LIMIT => write!(out, "; memory {} MiB", bytes >> 20)?,
        Some(_) => write!(out, "; memory unlimited")?,
        None => {}
    }
    let quota = first([c"/sys/fs/cgroup/cpu.max", c"/sys/fs/cgroup/cpu/cpu.cfs_quota_us"], &mut buffer);
    let mut other = [0; 32];
    let period =
        text::number(text::first_line(system.read(c"/sys/fs/cgroup/cpu/cpu.cfs_period_us", &mut other)));
    match quota {
        Some([quota, own]) if quota < NO_LIMIT => {
            let period = if own == 0 { period.unwrap_or(100_000) } else { own }.max(1);
            let hundredths = quota.saturating_mul(100) / period;
            write!(out, "; CPUs {}.{:02}", hundredths / 100, hundredths % 100)?;
        }
        Some(_) => write!(out, "; CPUs unlimited")?,
        None => {}
    }
    match first([c"/sys/fs/cgroup/pids.max", c"/sys/fs/cgroup/pids/pids.max"], &mut buffer) {
        Some([count, _]) if count < NO_LIMIT => write!(out, "; processes {count}")?,
        Some(_) => write!(out, "; processes unlimited")?,
        None => {}
    }
    writeln!(out)
}

/// "max 100000", "max", "-1", "50000 100000" or "4096".
fn pair(text: &str) -> Option<[u64; 2]> {
    let mut words = text.split_ascii_whitespace();
    let first = match words.next()? {
        "max" | "-1" => u64::MAX,
        word => text::number(word)?,
    };
    Some([first, words.next().and_then(text::number).unwrap_or(0)])
}
