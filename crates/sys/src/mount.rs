//! What the mount API needs beyond rustix.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use bitflags::bitflags;
use rustix::fs::CWD;
use rustix::mount::MountPropagationFlags;

use crate::check;
use crate::process::{NamespaceFlags, unshare};

bitflags! {
    /// `MOUNT_ATTR_…` of mount_setattr(2).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MountAttr: u64 {
        /// Read-only.
        const RDONLY = 0x1;
        /// Set-user-id and file capabilities mean nothing.
        const NOSUID = 0x2;
        /// Device nodes can't be opened.
        const NODEV = 0x4;
        /// Programs can't be executed.
        const NOEXEC = 0x8;
        /// The field of the three access time modes.
        const ATIME = 0x70;
        /// Never update access times.
        const NOATIME = 0x10;
        /// Always update access times.
        const STRICTATIME = 0x20;
        /// Directories' access times are not updated.
        const NODIRATIME = 0x80;
        /// Id-mapped.
        const IDMAP = 0x10_0000;
        /// Symbolic links are not followed.
        const NOSYMFOLLOW = 0x20_0000;
    }
}

/// A change for mount_setattr(2).
#[derive(Clone, Copy, Debug, Default)]
pub struct MountChange<'fd> {
    /// To set.
    pub set: MountAttr,
    /// To clear, before setting.
    pub clear: MountAttr,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE`, or 0 to keep.
    pub propagation: u64,
    /// The user namespace of an id-mapped mount, together with [`MountAttr::IDMAP`].
    pub user_namespace: Option<BorrowedFd<'fd>>,
    /// Change the whole tree below too.
    pub recursive: bool,
}

#[repr(C)]
struct RawAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// mount_setattr(2) on `path` below `dir`; an empty path means the mount that `dir` itself is.
///
/// # Errors
/// Those of mount_setattr(2).
pub fn mount_setattr(dir: BorrowedFd<'_>, path: &CStr, change: &MountChange<'_>) -> io::Result<()> {
    let attr = RawAttr {
        set: change.set.bits(),
        clear: change.clear.bits(),
        propagation: change.propagation,
        user_namespace: change.user_namespace.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    let mut flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW;
    if change.recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: the structure has the size that is passed with it and outlives the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            dir.as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const attr,
            size_of::<RawAttr>(),
        )
    })
    .map(drop)
}

/// Runs `work` in a thread with a mount namespace of its own: what it mounts nobody else sees, and its working directory
/// is its own, too. What it opens stays open when the namespace is gone.
///
/// # Errors
/// Where no thread or namespace can be made (EPERM without CAP_SYS_ADMIN).
pub fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let alone = || {
        unshare(NamespaceFlags::MOUNT)?;
        let downstream = MountPropagationFlags::DOWNSTREAM.bits().into();
        let change = MountChange { propagation: downstream, recursive: true, ..MountChange::default() };
        mount_setattr(CWD, c"/", &change)?;
        Ok(work())
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, alone)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
