//! Size limits by project quotas, which ext4 and XFS have: a volume's directory is a project of its own.
//!
//! The number is random, and one that nobody uses: projects have no registry that all would keep to. It is written on the
//! directory before the limit is set, so whoever removes what a killed maker left finds there which limit to lift.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::rand::{GetRandomFlags, getrandom};
use sys::quota;

use super::{Result, VolumeError};

/// How many numbers are tried.
const ATTEMPTS: u32 = 64;

/// Gives the directory `data` a project of its own that may hold `size` bytes; the project's number.
pub(super) fn limit(data: &Path, size: u64) -> Result<u32> {
    let refuse = |error: io::Error| VolumeError::Quota(explain(data, &error));
    let directory = File::open(data).map_err(|error| VolumeError::io("open", data, error))?;
    let project = free(&directory).map_err(refuse)?;
    quota::set_project(&directory, project).map_err(refuse)?;
    quota::limit(&directory, project, size).map_err(refuse)?;
    Ok(project)
}

/// Lifts the limit of a directory that is about to be removed. Without projects there is none.
pub(super) fn lift(data: &Path) {
    let lifted = File::open(data).and_then(|directory| match quota::project(&directory)? {
        0 => Ok(()),
        project => quota::limit(&directory, project, 0),
    });
    // A limit that stays is one of a number that nobody has.
    drop(lifted);
}

fn free(directory: &File) -> io::Result<u32> {
    for _ in 0..ATTEMPTS {
        let mut bytes = [0; 4];
        getrandom(&mut bytes, GetRandomFlags::empty())?;
        // Low numbers are what people give by hand, in projid(5); the highest one is none.
        let project = u32::from_ne_bytes(bytes) >> 1 | 1 << 24;
        if quota::usage(directory, project)? == quota::Usage::default() {
            return Ok(project);
        }
    }
    Err(io::Error::other("no number that is free was found"))
}

fn explain(data: &Path, error: &io::Error) -> String {
    // The volume has no name yet: what is told of is the directory of all.
    let volumes = data.ancestors().nth(2).unwrap_or(data);
    match error.raw_os_error() {
        Some(libc::ENOTTY | libc::EOPNOTSUPP | libc::ENOSYS | libc::ESRCH | libc::EINVAL) => format!(
            "the file system of {} has no project quotas: put the root on XFS, or on ext4 made with -O quota,project, \
             and mount it with -o prjquota",
            volumes.display()
        ),
        Some(libc::EPERM) => "only root, outside of a user namespace, may give a volume a quota".to_owned(),
        _ => format!("{}: {error}", data.display()),
    }
}
