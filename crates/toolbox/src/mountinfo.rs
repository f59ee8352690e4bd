//! The mounts of a process as /proc/PID/mountinfo lists them; proc_pid_mountinfo(5).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::printable;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its id, unique among those that exist now.
    pub id: u32,
    /// The mount it is on; itself for the root of the mount namespace.
    pub parent: u32,
    /// The device number, `major:minor`.
    pub device: String,
    /// Which directory of the file system is mounted.
    pub root: String,
    /// Where, relative to the root directory of the process.
    pub mount_point: String,
    /// Options of this mount.
    pub options: Vec<String>,
    /// Propagation: `shared`, `master`, `propagate_from` with their peer groups, `unbindable` without.
    pub propagation: BTreeMap<String, Option<u32>>,
    /// The type of the file system, with its subtype.
    pub file_system: String,
    /// What is mounted: a device or a name.
    pub source: String,
    /// Options of the file system.
    pub super_options: Vec<String>,
}

/// Reads a file of this form. Lines that are not are skipped.
pub fn read(path: &Path) -> io::Result<Vec<Mount>> {
    Ok(parse(&std::fs::read(path)?))
}

/// Reads a text of this form.
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|&byte| byte == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ').map(unescape);
    let (id, parent) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let (device, root, mount_point) = (fields.next()?, fields.next()?, fields.next()?);
    let options = list(&fields.next()?);
    let mut propagation = BTreeMap::new();
    for tag in fields.by_ref().take_while(|tag| tag != "-") {
        match tag.split_once(':') {
            Some((name, group)) => propagation.insert(name.to_owned(), group.parse().ok()),
            None => propagation.insert(tag, None),
        };
    }
    let (file_system, source, super_options) = (fields.next()?, fields.next()?, list(&fields.next()?));
    Some(Mount {
        id,
        parent,
        device,
        root,
        mount_point,
        options,
        propagation,
        file_system,
        source,
        super_options,
    })
}

fn list(options: &str) -> Vec<String> {
    options.split(',').map(str::to_owned).collect()
}

/// Undoes the kernel's octal escapes of space, tab, newline, backslash and `#`.
fn unescape(field: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        match (first, octal(tail)) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    printable(&bytes)
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits.get(..3)?).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_read() {
        let text = b"36 35 98:0 /mnt1 /a\\040b rw,noatime shared:7 master:1 unbindable - ext3 /dev/r\\134t rw,errors=continue\n\
            37 36 0:4 net:[4026532281] /run/netns/x rw - nsfs nsfs rw\nbroken\n\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].mount_point, "/a b");
        assert_eq!(mounts[0].source, "/dev/r\\t");
        assert_eq!(mounts[0].options, ["rw", "noatime"]);
        assert_eq!(mounts[0].propagation["shared"], Some(7));
        assert_eq!(mounts[0].propagation["unbindable"], None);
        assert_eq!((mounts[1].root.as_str(), mounts[1].parent), ("net:[4026532281]", 36));
    }

    #[test]
    fn the_kernels_own_text_is_read_whole() {
        let text = std::fs::read("/proc/self/mountinfo").unwrap();
        assert_eq!(parse(&text).len(), text.iter().filter(|&&byte| byte == b'\n').count());
    }
}
