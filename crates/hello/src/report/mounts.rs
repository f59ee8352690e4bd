//! The root and what it is made of, and the other mounts.

use core::fmt::{self, Write};

use super::{System, indent, label, text};

/// How many mounts are listed.
const LISTED: usize = 100;

/// A line of mountinfo.
struct Mount<'a> {
    target: &'a str,
    attributes: &'a str,
    kind: &'a str,
    source: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue" (proc_pid_mountinfo(5))
    fn parse(line: &'a str) -> Option<Mount<'a>> {
        let (mount, of_file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(4);
        let (target, attributes) = (fields.next()?, fields.next()?);
        let mut fields = of_file_system.splitn(3, ' ');
        let (kind, source) = (fields.next()?, fields.next()?);
        Some(Mount { target, attributes, kind, source, options: fields.next().unwrap_or_default() })
    }

    fn is_read_only(&self) -> bool {
        [self.attributes, self.options].iter().any(|list| list.split(',').any(|option| option == "ro"))
    }
}

pub fn print(system: &impl System, buffer: &mut [u8], out: &mut impl Write) -> fmt::Result {
    let file = system.read(c"/proc/self/mountinfo", buffer).unwrap_or_default();
    let mounts = || text::lines(file).filter_map(Mount::parse);
    // What was mounted last is what is seen.
    if let Some(root) = mounts().filter(|mount| mount.target == "/").last() {
        print_root(&root, out)?;
    }
    let others = || mounts().filter(|mount| mount.target != "/");
    let width = others().take(LISTED).map(|mount| mount.target.len()).max().unwrap_or(0).min(40);
    for (at, mount) in others().enumerate() {
        label(out, if at == 0 { "mounts" } else { "" })?;
        if at == LISTED {
            writeln!(out, "and {} more", others().count() - LISTED)?;
            break;
        }
        writeln!(out, "{:<width$}  {}  {}", mount.target, mount.kind, mount.attributes)?;
    }
    Ok(())
}

/// The root, and the directories that it is made of where the kernel tells: an overlay's, topmost first.
fn print_root(root: &Mount<'_>, out: &mut impl Write) -> fmt::Result {
    label(out, "root")?;
    let access = if root.is_read_only() { "read-only" } else { "writable" };
    match root.kind {
        "overlay" => writeln!(out, "overlay, {access}")?,
        kind => writeln!(out, "{kind} of {}, {access}", root.source)?,
    }
    for option in root.options.split(',') {
        match option.split_once('=') {
            Some(("upperdir", path)) => part(out, "changes", path)?,
            Some(("lowerdir+", path)) => part(out, "layer", path)?,
            Some(("lowerdir", paths)) => paths.split(':').try_for_each(|path| part(out, "layer", path))?,
            _ => {}
        }
    }
    Ok(())
}

fn part(out: &mut impl Write, name: &str, path: &str) -> fmt::Result {
    indent(out)?;
    writeln!(out, "{name:<8} {path}")
}
