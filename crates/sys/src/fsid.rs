//! The ids that a thread acts as on file systems.

use std::io;

use rustix::thread::{CapabilitySets, capabilities, set_capabilities};

/// Runs `body` with the calling thread's file system ids set to `uid` and `gid`, and its capabilities kept: the
/// kernel takes those over files away from whoever stops being root to file systems (capabilities(7), "Effect of
/// user ID changes on capabilities"), but not from the permitted set.
///
/// # Errors
/// EPERM without CAP_SETUID and CAP_SETGID; then `body` does not run.
pub fn with_fs_ids<T>(uid: u32, gid: u32, body: impl FnOnce() -> T) -> io::Result<T> {
    let before = capabilities(None)?;
    let _guard = Guard { uid: set_uid(uid), gid: set_gid(gid), capabilities: before };
    // The calls report the ids of before whether they work or not; an impossible id only asks.
    if (set_uid(u32::MAX), set_gid(u32::MAX)) != (uid, gid) {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    set_capabilities(None, CapabilitySets { effective: before.permitted, ..before })?;
    Ok(body())
}

/// Puts things back, also when `body` panics.
struct Guard {
    uid: u32,
    gid: u32,
    capabilities: CapabilitySets,
}

impl Drop for Guard {
    fn drop(&mut self) {
        set_uid(self.uid);
        set_gid(self.gid);
        // Going back to what one had is always allowed.
        let _ = set_capabilities(None, self.capabilities);
    }
}

fn set_uid(uid: u32) -> u32 {
    // SAFETY: the call takes a number and touches no memory; by syscall(2) it acts on this thread alone.
    unsafe { libc::syscall(libc::SYS_setfsuid, uid) as u32 }
}

fn set_gid(gid: u32) -> u32 {
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_setfsgid, gid) as u32 }
}
