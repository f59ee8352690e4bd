//! Volumes come and go by a rename.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use serde::Serialize;

use super::{Result, VolumeError, Volumes, name, quota};

const NEW: &str = ".new-";
const GONE: &str = ".gone-";

/// A flock(2), until it is dropped.
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code, reason = "held for its flock")] OwnedFd);

/// A volume on its way to a name; what is dropped without one is removed.
#[derive(Debug)]
pub(super) struct Stage {
    path: PathBuf,
    #[allow(dead_code, reason = "held for its flock")]
    lock: Lock,
}

impl Volumes {
    /// The lock of all volumes.
    pub(super) fn lock(&self, operation: FlockOperation) -> Result<Lock> {
        self.make_root()?;
        let path = self.root.join("lock");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600));
        let file = file.map_err(|errno| VolumeError::io("open", &path, errno))?;
        locked(file, operation).map_err(|errno| VolumeError::io("lock", path, errno))
    }

    fn make_root(&self) -> Result<()> {
        // Only the engine walks in: modes of volumes are the containers' affair.
        let made = fs::DirBuilder::new().recursive(true).mode(0o711).create(&self.root);
        made.map_err(|error| VolumeError::io("make directory", &self.root, error))
    }

    pub(super) fn stage(&self) -> Result<Stage> {
        self.make_root()?;
        let path = self.root.join(format!("{NEW}{}", name::random()?));
        let made = fs::DirBuilder::new().mode(0o711).create(&path);
        made.map_err(|error| VolumeError::io("make directory", &path, error))?;
        let lock = lock_directory(&path, FlockOperation::NonBlockingLockExclusive);
        let lock = lock.map_err(|errno| VolumeError::io("lock", &path, errno))?;
        Ok(Stage { path, lock })
    }

    /// Takes a volume out of sight and removes it.
    pub(super) fn discard(&self, name: &str) -> Result<()> {
        let gone = self.root.join(format!("{GONE}{}", name::random()?));
        let path = self.root.join(name);
        match fs::rename(&path, &gone) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(VolumeError::NotFound(name.to_owned()));
            }
            other => other.map_err(|error| VolumeError::io("rename", &path, error))?,
        }
        self.tell("destroy", name);
        destroy(&gone).map_err(|error| VolumeError::io("remove", gone, error))
    }

    /// Removes what makers and removers that were killed left.
    pub(super) fn sweep(&self) -> Result<()> {
        for entry in self.entries()? {
            let path = self.root.join(&entry);
            let abandoned = entry.starts_with(GONE)
                || entry.starts_with(NEW)
                    && lock_directory(&path, FlockOperation::NonBlockingLockExclusive).is_ok();
            if abandoned {
                match destroy(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(VolumeError::io("remove", path, error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The names in the directory of volumes.
    pub(super) fn entries(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|error| VolumeError::io("list", &self.root, error))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| VolumeError::io("list", &self.root, error))?;
            names.extend(entry.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Removes a volume's directory, and what limits its size.
fn destroy(path: &Path) -> std::io::Result<()> {
    quota::lift(&path.join("_data"));
    fs::remove_dir_all(path)
}

fn locked(file: OwnedFd, operation: FlockOperation) -> rustix::io::Result<Lock> {
    loop {
        match flock(&file, operation) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
            Ok(()) => return Ok(Lock(file)),
        }
    }
}

/// The flock of a directory.
pub(super) fn lock_directory(path: &Path, operation: FlockOperation) -> rustix::io::Result<Lock> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    locked(rustix::fs::open(path, flags, Mode::empty())?, operation)
}

impl Stage {
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        let made = fs::DirBuilder::new().mode(0o755).create(&path);
        made.map_err(|error| VolumeError::io("make directory", &path, error))?;
        Ok(path)
    }

    pub fn write(&self, name: &str, record: &impl Serialize) -> Result<()> {
        let path = self.path.join(name);
        let text = serde_json::to_vec(record)
            .map_err(|source| VolumeError::Damaged { path: path.clone(), source })?;
        // A volume is there to outlive a power cut, so its record is synced before it has its name.
        let written =
            fs::File::create(&path).and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()));
        written.map_err(|error| VolumeError::io("write", path, error))
    }

    /// Gives it its name; false where another has it.
    pub fn name(self, path: &Path) -> Result<bool> {
        match renameat_with(CWD, &self.path, CWD, path, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(false),
            Err(errno) => Err(VolumeError::io("rename", path, errno)),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // After a rename there is nothing.
        let _ = destroy(&self.path);
    }
}
