//! Namespaces and id maps.

use core::ffi::CStr;
use core::fmt::{self, Write};

use super::{System, indent, label, text};

/// A kind of namespace, and the number that the kernel gives to the first one (include/uapi/linux/nsfs.h).
struct Kind {
    name: &'static str,
    link: &'static CStr,
    first: u64,
}

const KINDS: [Kind; 8] = [
    Kind { name: "mnt", link: c"/proc/self/ns/mnt", first: 0xeffffff8 },
    Kind { name: "net", link: c"/proc/self/ns/net", first: 0xeffffff9 },
    Kind { name: "pid", link: c"/proc/self/ns/pid", first: 0xeffffffc },
    Kind { name: "user", link: c"/proc/self/ns/user", first: 0xeffffffd },
    Kind { name: "uts", link: c"/proc/self/ns/uts", first: 0xeffffffe },
    Kind { name: "ipc", link: c"/proc/self/ns/ipc", first: 0xefffffff },
    Kind { name: "cgroup", link: c"/proc/self/ns/cgroup", first: 0xeffffffb },
    Kind { name: "time", link: c"/proc/self/ns/time", first: 0xeffffffa },
];

pub fn print(system: &impl System, out: &mut impl Write) -> fmt::Result {
    let mut buffer = [0; 128];
    let release = text::first_line(system.read(c"/proc/sys/kernel/osrelease", &mut buffer));
    let is_numbered = fixes_all_numbers(release);
    for (at, kind) in KINDS.iter().enumerate() {
        let mut buffer = [0; 64];
        label(out, if at == 0 { "namespaces" } else { "" })?;
        let Some(own) = system.link(kind.link, &mut buffer).and_then(number) else {
            writeln!(out, "{:<7} not known to this kernel, or /proc is missing", kind.name)?;
            continue;
        };
        write!(out, "{:<7} {own}  ", kind.name)?;
        match own == kind.first {
            true => writeln!(out, "the host's")?,
            // Before Linux 6.18 these two were numbered as they came.
            false if matches!(kind.name, "mnt" | "net") && !is_numbered => {
                writeln!(out, "(this kernel does not tell the host's)")?;
            }
            false => writeln!(out, "its own (the host's is {})", kind.first)?,
        }
    }
    Ok(())
}

/// `mnt:[4026531832]`
fn number(link: &[u8]) -> Option<u64> {
    let text = str::from_utf8(link).ok()?;
    text.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

fn fixes_all_numbers(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(text::number);
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (6, 18)
}

/// Whose ids those in here are outside.
pub fn print_maps(system: &impl System, out: &mut impl Write) -> fmt::Result {
    for (name, path) in [("uid map", c"/proc/self/uid_map"), ("gid map", c"/proc/self/gid_map")] {
        let mut buffer = [0; 4096];
        let map = system.read(path, &mut buffer).unwrap_or_default();
        label(out, name)?;
        let mut first = true;
        for line in text::lines(map) {
            let mut numbers = line.split_ascii_whitespace().filter_map(text::number);
            let (Some(inside), Some(outside), Some(count)) = (numbers.next(), numbers.next(), numbers.next())
            else {
                continue;
            };
            if !first {
                indent(out)?;
            }
            first = false;
            match (inside, outside, count) {
                (0, 0, 0xffff_ffff) => writeln!(out, "none: 0 in here is 0 outside")?,
                (_, _, 1) => writeln!(out, "{inside} is {outside} outside")?,
                _ => {
                    let (last, end) = (inside + count - 1, outside + count - 1);
                    writeln!(out, "{inside} to {last} are {outside} to {end} outside")?;
                }
            }
        }
        if first {
            writeln!(out, "empty: nobody in here is anybody outside")?;
        }
    }
    Ok(())
}
