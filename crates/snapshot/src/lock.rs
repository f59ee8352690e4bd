//! The lock of a snapshot directory: held for a few system calls, dropped by the kernel when its holder dies.

use std::os::fd::OwnedFd;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;

use crate::{Result, SnapshotError, Snapshots};

/// A held lock.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its flock")] OwnedFd);

impl Snapshots {
    /// While held, nothing is removed.
    pub(crate) fn lock_shared(&self) -> Result<Lock> {
        self.lock(FlockOperation::LockShared)
    }

    /// While held, nothing is built on anything.
    pub(crate) fn lock_exclusive(&self) -> Result<Lock> {
        self.lock(FlockOperation::LockExclusive)
    }

    fn lock(&self, operation: FlockOperation) -> Result<Lock> {
        let fail = |error| SnapshotError::io("lock", self.root.join("lock"), error);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = openat(&self.directory, "lock", flags, Mode::from_raw_mode(0o600)).map_err(fail)?;
        loop {
            match flock(&file, operation) {
                Ok(()) => return Ok(Lock(file)),
                Err(Errno::INTR) => {}
                Err(error) => return Err(fail(error)),
            }
        }
    }
}
