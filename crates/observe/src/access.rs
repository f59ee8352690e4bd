//! Permission bits: what a process may do to a file without any capability. Access control lists are not looked at.

use std::path::{Path, PathBuf};

use capability::{CapSet, Capability};
use rustix::fs::Stat;

use crate::call::{Call, Place};
use crate::status::Status;
use crate::view::View;

const READ: u32 = 4;
const WRITE: u32 = 2;
const EXECUTE: u32 = 1;

/// A file or directory whose permission bits refuse a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which.
    pub path: PathBuf,
    /// Whose it is, as the observer's user namespace counts.
    pub owner: u32,
    /// Its permission bits.
    pub mode: u32,
    wanted: u32,
    directory: bool,
}

impl Refusal {
    /// The capability that makes the kernel look away. Of the two that do for reading it is the one that the process
    /// has; one that has neither is told of the less dangerous.
    pub fn capability(&self, effective: CapSet) -> Capability {
        let only_reads = self.wanted & WRITE == 0 && (self.directory || self.wanted == READ);
        let has = |capability| effective.contains(capability);
        if only_reads && has(Capability::DAC_READ_SEARCH) && !has(Capability::DAC_OVERRIDE) {
            Capability::DAC_READ_SEARCH
        } else {
            Capability::DAC_OVERRIDE
        }
    }

    /// What was wanted of it, in a word.
    pub fn wish(&self) -> &'static str {
        match (self.wanted & WRITE != 0, self.wanted & READ != 0, self.directory) {
            (true, ..) => "write",
            (false, true, _) => "read",
            (false, false, true) => "search",
            (false, false, false) => "execute",
        }
    }
}

/// Whether permission bits decide about a call.
pub fn is_checked(call: &Call) -> bool {
    matches!(
        call.name,
        "open"
            | "openat"
            | "openat2"
            | "creat"
            | "stat"
            | "lstat"
            | "newfstatat"
            | "statx"
            | "chdir"
            | "execve"
            | "execveat"
            | "mkdir"
            | "mkdirat"
            | "rmdir"
            | "unlink"
            | "unlinkat"
            | "rename"
            | "renameat"
            | "renameat2"
            | "link"
            | "linkat"
            | "symlink"
            | "symlinkat"
            | "mknod"
            | "mknodat"
            | "truncate"
            | "readlink"
            | "readlinkat"
            | "chmod"
            | "fchmodat"
            | "chown"
            | "lchown"
            | "fchownat"
            | "access"
            | "faccessat"
            | "faccessat2"
    )
}

/// The flags of an open.
pub fn open_flags(view: View, call: &Call) -> Option<i32> {
    match call.name {
        "open" => Some(call.int(1)),
        "openat" => Some(call.int(2)),
        "openat2" => view.word(call.arguments[2]).map(|flags| flags as i32),
        "creat" => Some(libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC),
        _ => None,
    }
}

/// The first file on a call's way whose permission bits refuse it.
pub fn refusal(view: View, status: &Status, call: &Call, place: Place) -> Option<Refusal> {
    place.path?;
    let path = view.path(call, place)?;
    on_the_way(view, status, &path).or_else(|| at_the_end(view, status, call, &path))
}

fn judge(status: &Status, path: &Path, stat: &Stat, wanted: u32) -> Option<Refusal> {
    let bits = match () {
        () if stat.st_uid == status.fs_uid() => stat.st_mode >> 6,
        () if status.is_in(stat.st_gid) => stat.st_mode >> 3,
        () => stat.st_mode,
    };
    let directory = stat.st_mode & libc::S_IFMT == libc::S_IFDIR;
    (bits & wanted != wanted).then(|| Refusal {
        path: path.to_owned(),
        owner: stat.st_uid,
        mode: stat.st_mode & 0o7777,
        wanted,
        directory,
    })
}

/// Every directory that leads there must be searchable.
fn on_the_way(view: View, status: &Status, path: &Path) -> Option<Refusal> {
    let above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.into_iter().rev().find_map(|directory| {
        let file = view.open(directory, true).ok()?;
        judge(status, directory, &file.stat, EXECUTE)
    })
}

fn at_the_end(view: View, status: &Status, call: &Call, path: &Path) -> Option<Refusal> {
    let parent_is_writable = || {
        let parent = path.parent()?;
        judge(status, parent, &view.open(parent, true).ok()?.stat, WRITE | EXECUTE)
    };
    let of_the_file = |wanted| judge(status, path, &view.open(path, true).ok()?.stat, wanted);
    match call.name {
        "open" | "openat" | "openat2" | "creat" => {
            let flags = open_flags(view, call)?;
            if flags & libc::O_PATH != 0 {
                return None;
            }
            if flags & libc::O_TMPFILE == libc::O_TMPFILE {
                return of_the_file(WRITE | EXECUTE);
            }
            if view.open(path, true).is_err() {
                return if flags & libc::O_CREAT != 0 { parent_is_writable() } else { None };
            }
            let wanted = match flags & libc::O_ACCMODE {
                libc::O_WRONLY => WRITE,
                libc::O_RDWR => READ | WRITE,
                _ if flags & libc::O_TRUNC != 0 => READ | WRITE,
                _ => READ,
            };
            of_the_file(wanted)
        }
        "truncate" => of_the_file(WRITE),
        "execve" | "execveat" | "chdir" => of_the_file(EXECUTE),
        "mkdir" | "mkdirat" | "rmdir" | "unlink" | "unlinkat" | "rename" | "renameat" | "renameat2"
        | "symlink" | "symlinkat" | "mknod" | "mknodat" => parent_is_writable(),
        _ => None,
    }
}
