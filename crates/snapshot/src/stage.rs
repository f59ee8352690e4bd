//! Directories on their way to a name. Their makers keep them locked, so one that is not locked was left by
//! a process that is no more.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, mkdirat, openat, renameat_with};
use rustix::io::Errno;

use crate::{Result, SnapshotError, Snapshots, tree};

/// A staged directory; dropped without a name it is removed.
#[derive(Debug)]
pub struct Stage {
    path: PathBuf,
    directory: OwnedFd,
    named: bool,
}

impl Snapshots {
    /// A new, empty, locked directory.
    pub(crate) fn stage(&self) -> Result<Stage> {
        let mut random = [0; 16];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| SnapshotError::io("draw a name in", &self.root, error))?;
        let path = self.root.join("stage").join(format!("{:032x}", u128::from_ne_bytes(random)));
        let fail = |error| SnapshotError::io("make directory", &path, error);
        // Nobody collects it between its making and its locking.
        let _lock = self.lock_shared()?;
        mkdirat(CWD, &path, Mode::RWXU).map_err(fail)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, &path, flags, Mode::empty()).map_err(fail)?;
        flock(&directory, FlockOperation::NonBlockingLockExclusive).map_err(fail)?;
        Ok(Stage { path, directory, named: false })
    }

    /// Moves `path` out of sight; [`Snapshots::empty_trash`] removes it. The caller holds the lock exclusively.
    pub(crate) fn discard(&self, path: &Path) -> Result<()> {
        let name = path.file_name().unwrap_or_default();
        let trash = self.root.join("trash");
        for number in 0.. {
            let to = trash.join(format!("{}.{number}", name.to_string_lossy()));
            match renameat_with(CWD, path, CWD, &to, RenameFlags::NOREPLACE) {
                Ok(()) | Err(Errno::NOENT) => break,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(SnapshotError::io("move away", path, error)),
            }
        }
        Ok(())
    }

    /// Removes what was moved out of sight, by us or by a process that was killed then.
    pub(crate) fn empty_trash(&self) -> Result<()> {
        let fail = |error| SnapshotError::io("empty", self.root.join("trash"), error);
        let trash =
            tree::open_directory(self.directory.as_fd(), b"trash").map_err(|error| fail(error.into()))?;
        for (name, _) in tree::list(trash.as_fd()).map_err(|error| fail(error.into()))? {
            tree::remove(trash.as_fd(), &name).map_err(fail)?;
        }
        Ok(())
    }

    /// Moves stages away that nobody alive works on. The caller holds the lock exclusively.
    pub(crate) fn discard_dead_stages(&self) -> Result<()> {
        let fail = |error| SnapshotError::io("list", self.root.join("stage"), error);
        let stages = tree::open_directory(self.directory.as_fd(), b"stage").map_err(fail)?;
        for (name, _) in tree::list(stages.as_fd()).map_err(fail)? {
            let Ok(stage) = tree::open_directory(stages.as_fd(), &name) else { continue };
            if flock(&stage, FlockOperation::NonBlockingLockExclusive).is_ok() {
                self.discard(&self.root.join("stage").join(String::from_utf8_lossy(&name).as_ref()))?;
            }
        }
        Ok(())
    }
}

impl Stage {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Makes a directory in it and opens it.
    pub fn make_directory(&self, name: &str, mode: u32) -> Result<OwnedFd> {
        let fail = |error| SnapshotError::io("make directory", self.path.join(name), error);
        mkdirat(&self.directory, name, Mode::RWXU).map_err(fail)?;
        let directory = tree::open_directory(self.fd(), name.as_bytes()).map_err(fail)?;
        // Beside the umask.
        rustix::fs::fchmod(&directory, Mode::from_raw_mode(mode)).map_err(fail)?;
        Ok(directory)
    }

    /// Writes a record into it.
    pub fn write(&self, name: &str, record: &impl serde::Serialize) -> Result<()> {
        let path = self.path.join(name);
        let text = serde_json::to_vec(record).map_err(std::io::Error::from);
        text.and_then(|text| std::fs::write(&path, text))
            .map_err(|error| SnapshotError::io("write", path, error))
    }

    /// Gives it its name; false, and it is removed, if something has the name already.
    pub fn name(mut self, to: &Path) -> Result<bool> {
        match renameat_with(CWD, &self.path, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => {
                self.named = true;
                Ok(true)
            }
            Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(false),
            Err(error) => Err(SnapshotError::io("rename to", to, error)),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.named {
            return;
        }
        use std::os::unix::ffi::OsStrExt;
        let (Some(parent), Some(name)) = (self.path.parent(), self.path.file_name()) else { return };
        // What this leaves, the next collection removes.
        if let Ok(parent) = tree::open_root(parent) {
            let _ = tree::remove(parent.as_fd(), name.as_bytes());
        }
    }
}

/// Makes the names in a directory durable.
pub fn sync_directory(path: &Path) -> Result<()> {
    let sync = || std::fs::File::open(path)?.sync_all();
    sync().map_err(|error| SnapshotError::io("sync", path, error))
}
