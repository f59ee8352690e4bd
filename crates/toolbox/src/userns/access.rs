//! May a process open a file, and if not, why: the rules of fs/namei.c and kernel/capability.c.

use std::io;
use std::path::{Path, PathBuf};

use capability::{CapSet, Capability};
use namespace::IdKind;
use rustix::fs::{FileType, StatVfsMountFlags};
use serde::Serialize;

use super::levels::Levels;
use crate::process::Process;

/// Who asks, in the caller's ids.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Subject {
    pub uid: Option<u32>,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub effective: CapSet,
}

/// What is asked for, in the caller's ids.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Object {
    pub uid: u32,
    pub gid: u32,
    /// The permission bits.
    pub mode: u32,
    pub directory: bool,
    pub read_only: bool,
    pub has_acl: bool,
    /// Whether owner and group have an id in the user namespace of the subject.
    pub mapped: bool,
}

/// The answer, with the reasons in the order in which the kernel finds them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Verdict {
    pub read: bool,
    pub write: bool,
    pub execute: bool,
    pub reasons: Vec<String>,
}

/// Why no answer could be given.
#[derive(Debug, thiserror::Error)]
#[error("look at {}: {source}", path.display())]
#[allow(missing_docs)]
pub struct AccessError {
    pub path: PathBuf,
    pub source: io::Error,
}

const READ: u32 = 4;
const WRITE: u32 = 2;
const EXECUTE: u32 = 1;

/// Looks at `path` as the process sees it, and decides for its credentials, or for `uid` in their place.
pub fn explain(
    process: &Process,
    levels: &Levels,
    uid: Option<u32>,
    path: &Path,
) -> Result<Verdict, AccessError> {
    let inside = path.strip_prefix("/").unwrap_or(path);
    let path = Path::new(&format!("/proc/{}/root", process.pid)).join(inside);
    let object =
        object(&path, levels).map_err(|errno| AccessError { path: path.clone(), source: errno.into() })?;
    let subject = Subject {
        uid: match uid {
            Some(uid) => levels.trace(IdKind::User, uid).at_caller(),
            None => Some(process.uids[3]),
        },
        gid: process.gids[3],
        groups: process.groups.clone(),
        effective: process.capabilities.effective,
    };
    Ok(decide(&subject, &object))
}

fn object(path: &Path, levels: &Levels) -> rustix::io::Result<Object> {
    let stat = rustix::fs::stat(path)?;
    let read_only = rustix::fs::statvfs(path)?.f_flag.contains(StatVfsMountFlags::RDONLY);
    let maps = |kind, id| {
        levels.levels.first().and_then(|level| level.map(kind)).is_some_and(|map| map.to_inside(id).is_some())
    };
    Ok(Object {
        uid: stat.st_uid,
        gid: stat.st_gid,
        mode: stat.st_mode & 0o7777,
        directory: FileType::from_raw_mode(stat.st_mode) == FileType::Directory,
        read_only,
        has_acl: rustix::fs::getxattr(path, "system.posix_acl_access", &mut [0u8; 1024][..]).is_ok(),
        // For the caller's own namespace everything has an id.
        mapped: levels.levels.len() == 1
            || (maps(IdKind::User, stat.st_uid) && maps(IdKind::Group, stat.st_gid)),
    })
}

/// The rules, without asking the kernel.
pub fn decide(subject: &Subject, object: &Object) -> Verdict {
    let mut reasons = Vec::new();
    let class_bits = class(subject, object, &mut reasons);
    let granted = class_bits | by_capability(subject, object, class_bits, &mut reasons);
    if object.has_acl {
        reasons.push("the file has an access control list, which may say otherwise".to_owned());
    }
    let mut write = granted & WRITE != 0;
    if object.read_only && write {
        write = false;
        reasons.push("it is on a mount or file system that is read-only".to_owned());
    }
    Verdict { read: granted & READ != 0, write, execute: granted & EXECUTE != 0, reasons }
}

/// The permission bits of the one class that counts: owner, group or others.
fn class(subject: &Subject, object: &Object, reasons: &mut Vec<String>) -> u32 {
    let mode = object.mode & 0o777;
    let owner = subject.uid == Some(object.uid);
    let member = subject.gid == object.gid || subject.groups.contains(&object.gid);
    let (who, bits) = match (owner, member) {
        (true, _) => (format!("user {} owns the file", object.uid), mode >> 6),
        (false, true) => (format!("group {} is the file's", object.gid), mode >> 3 & 7),
        (false, false) => {
            (format!("neither user {} nor group {} is the process's", object.uid, object.gid), mode & 7)
        }
    };
    reasons.push(format!("{who}: mode {mode:03o} gives {}", letters(bits)));
    bits
}

/// What CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH add: capable_wrt_inode_uidgid().
fn by_capability(subject: &Subject, object: &Object, have: u32, reasons: &mut Vec<String>) -> u32 {
    let has = |capability| subject.effective.contains(capability);
    // Executing needs an x for somebody, except to search a directory.
    let executable = if object.directory || object.mode & 0o111 != 0 { EXECUTE } else { 0 };
    let (name, bits) = if has(Capability::DAC_OVERRIDE) {
        ("CAP_DAC_OVERRIDE", READ | WRITE | executable)
    } else if has(Capability::DAC_READ_SEARCH) {
        ("CAP_DAC_READ_SEARCH", READ | if object.directory { EXECUTE } else { 0 })
    } else {
        return 0;
    };
    if bits & !have == 0 {
        return 0;
    }
    if !object.mapped {
        reasons.push(format!(
            "{name} does not count: owner {} or group {} has no id in the process's user namespace",
            object.uid, object.gid
        ));
        return 0;
    }
    reasons.push(format!("{name} adds {}", letters(bits & !have)));
    bits
}

fn letters(bits: u32) -> String {
    match bits & 7 {
        0 => "nothing".to_owned(),
        bits => [(READ, 'r'), (WRITE, 'w'), (EXECUTE, 'x')]
            .into_iter()
            .filter(|(bit, _)| bits & bit != 0)
            .map(|(_, letter)| letter)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(uid: u32) -> Subject {
        Subject { uid: Some(uid), gid: uid, groups: vec![50], effective: CapSet::EMPTY }
    }

    fn object(mode: u32) -> Object {
        Object { uid: 10, gid: 50, mode, directory: false, read_only: false, has_acl: false, mapped: true }
    }

    #[test]
    fn only_the_first_class_that_fits_counts() {
        let owner = decide(&subject(10), &object(0o077));
        assert!(!owner.read && !owner.write, "{owner:?}");
        assert!(decide(&subject(11), &object(0o020)).write);
        let other = Subject { groups: vec![], ..subject(11) };
        let verdict = decide(&other, &object(0o770));
        assert_eq!(
            verdict.reasons,
            ["neither user 10 nor group 50 is the process's: mode 770 gives nothing"]
        );
    }

    #[test]
    fn root_of_a_namespace_has_no_power_over_unmapped_files() {
        let root = Subject { effective: CapSet::all(), groups: vec![], ..subject(0) };
        assert!(decide(&root, &object(0o000)).write);
        assert!(!decide(&root, &object(0o600)).execute);
        let unmapped = decide(&root, &Object { mapped: false, ..object(0o600) });
        assert!(!unmapped.write);
        assert!(unmapped.reasons[1].starts_with("CAP_DAC_OVERRIDE does not count"), "{unmapped:?}");
    }

    #[test]
    fn read_only_beats_everything() {
        let verdict = decide(&subject(10), &Object { read_only: true, ..object(0o600) });
        assert!(verdict.read && !verdict.write);
    }
}
