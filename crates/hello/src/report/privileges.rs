//! Capabilities, seccomp, and what else takes privileges away.

use core::fmt::{self, Write};

use super::{System, indent, label, text};

/// The names of capabilities, by number, as in capabilities(7).
pub const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// How wide a list of names gets.
const WIDTH: usize = 90;

pub fn print(system: &impl System, status: &[u8], out: &mut impl Write) -> fmt::Result {
    let set = |name| text::field(status, name).and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let (effective, bounding) = (set("CapEff").unwrap_or(0), set("CapBnd").unwrap_or(0));
    let mut buffer = [0; 32];
    let last = text::number(text::first_line(system.read(c"/proc/sys/kernel/cap_last_cap", &mut buffer)));
    let known = last.unwrap_or(NAMES.len() as u64 - 1) + 1;
    label(out, "capabilities")?;
    write!(out, "{} of {known}", effective.count_ones())?;
    names(effective, out)?;
    if bounding != effective {
        label(out, "  could gain")?;
        let more = bounding & !effective;
        write!(out, "{}", more.count_ones())?;
        names(more, out)?;
    }
    label(out, "seccomp")?;
    let filters = text::field(status, "Seccomp_filters").and_then(text::number).unwrap_or(1);
    match text::field(status, "Seccomp") {
        Some("0") => write!(out, "off")?,
        Some("1") => write!(out, "strict: read, write, exit and no other system call")?,
        Some("2") => write!(out, "{filters} filter{}", if filters == 1 { "" } else { "s" })?,
        _ => write!(out, "not known to this kernel")?,
    }
    let is_sealed = text::field(status, "NoNewPrivs") == Some("1");
    writeln!(out, "; new privileges by exec: {}", if is_sealed { "never" } else { "possible" })?;
    let mut buffer = [0; 256];
    let confined = system.read(c"/proc/self/attr/current", &mut buffer);
    let profile = confined.map(|file| text::first_line(Some(file)).trim_end_matches('\0'));
    if let Some(profile) = profile.filter(|profile| !matches!(*profile, "" | "?")) {
        label(out, "label")?;
        writeln!(out, "{profile}")?;
    }
    Ok(())
}

/// The names of a set, in lines of bounded width.
fn names(set: u64, out: &mut impl Write) -> fmt::Result {
    let mut column = WIDTH;
    for number in (0..64u8).filter(|number| set & (1 << number) != 0) {
        let name = NAMES.get(usize::from(number)).copied();
        let width = name.map_or(2, str::len) + 1;
        if column + width > WIDTH {
            writeln!(out)?;
            indent(out)?;
            column = 0;
        } else {
            out.write_char(' ')?;
        }
        column += width;
        match name {
            Some(name) => out.write_str(name)?,
            None => write!(out, "{number}")?,
        }
    }
    writeln!(out)
}
