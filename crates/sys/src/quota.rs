//! Projects and their quotas: what directories share one, and how much it may hold.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

// include/uapi/linux/fs.h: _IOR('X', 31, struct fsxattr), _IOW('X', 32, struct fsxattr)
const FS_IOC_FSGETXATTR: libc::Ioctl = 0x801c_581f;
const FS_IOC_FSSETXATTR: libc::Ioctl = 0x401c_5820;
const FS_XFLAG_PROJINHERIT: u32 = 0x200;
// include/uapi/linux/quota.h
const PRJQUOTA: u32 = 2;
const Q_GETQUOTA: u32 = 0x80_0007;
const Q_SETQUOTA: u32 = 0x80_0008;
const QIF_BLIMITS: u32 = 1;
/// What a block is to quotactl(2): QIF_DQBLKSIZE.
const BLOCK: u64 = 1024;

/// struct fsxattr
#[repr(C)]
#[derive(Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}

/// What a project may hold, and holds, in bytes; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How much it may hold.
    pub limit: u64,
    /// How much it holds.
    pub used: u64,
}

/// The project of a directory; 0 is none. `ENOTTY` or `EOPNOTSUPP` where the file system has no projects.
pub fn project(directory: impl AsFd) -> io::Result<u32> {
    Ok(attributes(directory.as_fd())?.project)
}

/// Gives a directory, and all that is made in it from now on, to a project.
pub fn set_project(directory: impl AsFd, project: u32) -> io::Result<()> {
    let mut attributes = attributes(directory.as_fd())?;
    attributes.project = project;
    attributes.flags |= FS_XFLAG_PROJINHERIT;
    // SAFETY: FS_IOC_FSSETXATTR reads one struct fsxattr, which the pointer leads to for the call.
    let answer =
        unsafe { libc::ioctl(directory.as_fd().as_raw_fd(), FS_IOC_FSSETXATTR, &raw const attributes) };
    crate::check(answer.into()).map(drop)
}

fn attributes(directory: impl AsFd) -> io::Result<Attributes> {
    let mut attributes = Attributes::default();
    // SAFETY: FS_IOC_FSGETXATTR writes one struct fsxattr to the pointer, which is valid for the call.
    let answer =
        unsafe { libc::ioctl(directory.as_fd().as_raw_fd(), FS_IOC_FSGETXATTR, &raw mut attributes) };
    crate::check(answer.into())?;
    Ok(attributes)
}

/// What a project of the file system that `file` is on may hold, and holds. `ESRCH` or `ENOSYS` where no quotas of
/// projects are in force.
pub fn usage(file: impl AsFd, project: u32) -> io::Result<Usage> {
    // SAFETY: all fields are numbers, of which zero is one.
    let mut quota: libc::dqblk = unsafe { std::mem::zeroed() };
    match control(file, Q_GETQUOTA, project, &mut quota) {
        // XFS has no record of who has neither a limit nor a file.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Usage::default()),
        other => {
            other?;
            Ok(Usage { limit: quota.dqb_bhardlimit.saturating_mul(BLOCK), used: quota.dqb_curspace })
        }
    }
}

/// Sets how many bytes a project may hold, rounded up to whole KiB; 0 lifts the limit.
pub fn limit(file: impl AsFd, project: u32, bytes: u64) -> io::Result<()> {
    // SAFETY: all fields are numbers, of which zero is one.
    let mut quota: libc::dqblk = unsafe { std::mem::zeroed() };
    quota.dqb_bhardlimit = bytes.div_ceil(BLOCK);
    quota.dqb_bsoftlimit = quota.dqb_bhardlimit;
    quota.dqb_valid = QIF_BLIMITS;
    control(file, Q_SETQUOTA, project, &mut quota)
}

fn control(file: impl AsFd, command: u32, project: u32, quota: &mut libc::dqblk) -> io::Result<()> {
    let command = command << 8 | PRJQUOTA;
    // SAFETY: both commands read or write one struct if_dqblk, which the pointer leads to for the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_quotactl_fd,
            file.as_fd().as_raw_fd(),
            command,
            project,
            std::ptr::from_mut(quota),
        )
    };
    crate::check(answer).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_projects_says_so() {
        let proc = std::fs::File::open("/proc").unwrap();
        let error = project(&proc).unwrap_err().raw_os_error();
        assert!(matches!(error, Some(libc::ENOTTY | libc::EOPNOTSUPP)), "{error:?}");
        let error = usage(&proc, 1).unwrap_err().raw_os_error();
        assert!(matches!(error, Some(libc::ENOSYS | libc::ESRCH | libc::ENOTBLK)), "{error:?}");
    }
}
