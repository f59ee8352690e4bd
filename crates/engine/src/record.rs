//! A container's directory, and the right to change what is in it.
//!
//! ```text
//! containers/ID/           the lock is a flock(2) on the directory itself
//!    container.json        what was asked for
//!    state.json            what is; written last when a container is made and removed first when it goes: a directory
//!                          without it, whose lock is free, is half made or half removed, and is swept away
//!    logs/ etc/ bundle/
//! names/NAME -> ID         made before state.json, removed after it
//! ```
//! Order of locks: a container's lock, then that of snapshots or volumes. Nobody holds two containers' locks, but
//! for `--volumes-from` and its like, which read without one.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, CWD, FlockOperation, Mode, OFlags, flock, openat, renameat};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::container::Container;
use crate::error::{Error, Result};
use crate::state::State;

const CONTAINER: &str = "container.json";
const STATE: &str = "state.json";

/// A container's directory.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    /// Opens a directory; none where there is no such.
    pub fn open(path: PathBuf) -> Result<Option<Dir>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Dir { fd, path })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::io("open", path, errno)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was asked for; none where it was not written, or is gone.
    pub fn container(&self) -> Result<Option<Container>> {
        self.read(CONTAINER)
    }

    /// What is; none in a directory that is no container's yet or any more.
    pub fn state(&self) -> Result<Option<State>> {
        self.read(STATE)
    }

    /// Reads any record beside these.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = || self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = match openat(&self.fd, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.map_err(|errno| Error::io("open", path(), errno))?,
        };
        let text = read_all(&file).map_err(|errno| Error::io("read", path(), errno))?;
        let parsed = serde_json::from_slice(&text);
        parsed.map(Some).map_err(|source| Error::Damaged { path: path(), source })
    }

    /// Takes the lock, waiting for whoever has it.
    pub fn lock(self) -> Result<Lock> {
        loop {
            match flock(&self.fd, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Lock { dir: self }),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::io("lock", &self.path, errno)),
            }
        }
    }

    /// Takes the lock if it is free.
    pub fn try_lock(self) -> Result<Option<Lock>> {
        match flock(&self.fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { dir: self })),
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(None),
            Err(errno) => Err(Error::io("lock", &self.path, errno)),
        }
    }

    /// Whole or not at all: written beside and renamed. Not synced: what a power cut damages is repaired.
    fn write(&self, name: &str, record: &impl Serialize) -> Result<()> {
        let staged = format!(".{name}");
        let fail = |operation, error| Error::io(operation, self.path.join(name), error);
        let text = serde_json::to_vec(record).map_err(|error| fail("encode", error.into()))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = openat(&self.fd, &staged, flags, Mode::from_raw_mode(0o600));
        let mut file = File::from(file.map_err(|errno| fail("create", errno.into()))?);
        file.write_all(&text).map_err(|error| fail("write", error))?;
        renameat(&self.fd, &staged, &self.fd, name).map_err(|errno| fail("rename", errno.into()))
    }
}

/// A container's directory, of which nobody else changes anything: until dropped, or until the last process that it was
/// handed to has let go.
#[derive(Debug)]
pub(crate) struct Lock {
    dir: Dir,
}

impl std::ops::Deref for Lock {
    type Target = Dir;

    fn deref(&self) -> &Dir {
        &self.dir
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.fd.as_fd()
    }
}

impl Lock {
    /// The lock of a container that is being made.
    pub fn reserve(path: &Path) -> Result<Lock> {
        loop {
            match rustix::fs::mkdir(path, Mode::RWXU) {
                Ok(()) => {}
                Err(Errno::NOENT) => {
                    make_directory(path.parent().unwrap_or(path), 0o711)?;
                    continue;
                }
                Err(errno) => return Err(Error::io("make", path, errno)),
            }
            // Whoever came between the two takes an empty directory without a lock for remains, and sweeps it away.
            let Some(dir) = Dir::open(path.to_owned())? else { continue };
            let lock = dir.lock()?;
            if lock.is_there()? {
                return Ok(lock);
            }
        }
    }

    /// Whether the directory still has its name.
    fn is_there(&self) -> Result<bool> {
        let stat = rustix::fs::fstat(&self.dir.fd);
        Ok(stat.map_err(|errno| Error::io("stat", &self.dir.path, errno))?.st_nlink > 0)
    }

    /// A lock that was handed over by number.
    pub fn inherited(fd: OwnedFd, path: PathBuf) -> Lock {
        Lock { dir: Dir { fd, path } }
    }

    /// Lets others in, whoever else has a copy of the descriptor.
    pub fn release(&self) {
        // Fails for no descriptor that is locked.
        let _ = flock(&self.dir.fd, FlockOperation::Unlock);
    }

    pub fn write_container(&self, container: &Container) -> Result<()> {
        self.write(CONTAINER, container)
    }

    pub fn write_state(&self, state: &State) -> Result<()> {
        self.write(STATE, state)
    }

    pub fn write_record(&self, name: &str, record: &impl Serialize) -> Result<()> {
        self.write(name, record)
    }

    /// From here on there is no such container: only remains.
    pub fn remove_state(&self) -> Result<()> {
        match rustix::fs::unlinkat(&self.dir.fd, STATE, rustix::fs::AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::io("remove", self.path.join(STATE), errno)),
        }
    }
}

/// The state in a container's directory, for whoever looks at many: six system calls a container are what `ps` is made of.
pub(crate) fn state_in(path: &Path) -> Result<Option<State>> {
    let path = path.join(STATE);
    let file = match rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => other.map_err(|errno| Error::io("open", &path, errno))?,
    };
    let text = read_all(&file).map_err(|errno| Error::io("read", &path, errno))?;
    serde_json::from_slice(&text).map(Some).map_err(|source| Error::Damaged { path, source })
}

/// A whole record, of which most fit at once: what is shorter than asked for has been read to its end.
fn read_all(file: &OwnedFd) -> rustix::io::Result<Vec<u8>> {
    let mut text = vec![0; 8192];
    let mut length = 0;
    loop {
        let n = rustix::io::retry_on_intr(|| rustix::io::read(file, &mut text[length..]))?;
        length += n;
        if length < text.len() {
            text.truncate(length);
            return Ok(text);
        }
        text.resize(length * 2, 0);
    }
}

/// Whether there is nothing at a path; where the kernel can't tell, there may be something.
pub(crate) fn is_gone(path: &Path) -> bool {
    rustix::fs::access(path, Access::EXISTS) == Err(Errno::NOENT)
}

/// Makes a directory and those above it.
pub(crate) fn make_directory(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(|error| Error::io("make", path, error))
}

/// Gives a container a name. `Ok(Some(id))` says who has it already.
pub(crate) fn take_name(names: &Path, name: &str, id: &str) -> Result<Option<String>> {
    let path = names.join(name);
    loop {
        match rustix::fs::symlinkat(id, CWD, &path) {
            Ok(()) => return Ok(None),
            Err(Errno::NOENT) => make_directory(names, 0o711)?,
            // One that is given back between the two looks is tried again.
            Err(Errno::EXIST) => {
                if let Some(holder) = named(names, name)? {
                    return Ok(Some(holder));
                }
            }
            Err(errno) => return Err(Error::io("make", path, errno)),
        }
    }
}

/// Whose name it is.
pub(crate) fn named(names: &Path, name: &str) -> Result<Option<String>> {
    let path = names.join(name);
    match rustix::fs::readlink(&path, Vec::new()) {
        Ok(id) => Ok(id.into_string().ok()),
        Err(Errno::NOENT | Errno::INVAL) => Ok(None),
        Err(errno) => Err(Error::io("read", path, errno)),
    }
}

/// Gives a name back, if it is this container's.
pub(crate) fn drop_name(names: &Path, name: &str, id: &str) -> Result<()> {
    if name.is_empty() || named(names, name)?.as_deref() != Some(id) {
        return Ok(());
    }
    let path = names.join(name);
    match rustix::fs::unlink(&path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(Error::io("remove", path, errno)),
    }
}
