//! flock, as the store uses it. The kernel drops it when its holder dies, however it dies.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::{Result, Store, StoreError, durable};

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its flock")] File);

impl Store {
    /// Waits until nobody replaces the index or collects.
    pub(crate) fn lock_shared(&self) -> Result<Lock> {
        self.lock(FlockOperation::LockShared)
    }

    /// Waits until nobody else has the lock.
    pub(crate) fn lock_exclusive(&self) -> Result<Lock> {
        self.lock(FlockOperation::LockExclusive)
    }

    fn lock(&self, operation: FlockOperation) -> Result<Lock> {
        let path = self.root.join("lock");
        let file = durable::open_or_create(&path)?;
        wait(&file, &path, operation)?;
        Ok(Lock(file))
    }
}

/// Takes the lock of `file`, however long that takes.
pub fn wait(file: &File, path: &Path, operation: FlockOperation) -> Result<()> {
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(StoreError::io("lock", path, error)),
        }
    }
}

/// Takes the lock of `file` if nobody alive has it.
pub fn try_exclusive(file: &File, path: &Path) -> Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(StoreError::io("lock", path, error)),
    }
}
