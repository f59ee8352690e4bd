//! Files of state: written beside and renamed, so that a reader sees one or the other; locks; symbolic links as the
//! smallest records there are, made by one system call that fails where there is one already.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Makes a directory with its parents unless it is there.
pub(crate) fn make_directory(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|error| Error::file("make directory", path, error))
}

/// Replaces a file, or makes it, with its directory. Those who do this at once don't get into each other's way.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let staged = path.with_file_name(format!(".{name}.{}", rustix::thread::gettid().as_raw_nonzero()));
    let write = || std::fs::write(&staged, content).and_then(|()| std::fs::rename(&staged, path));
    let written = match write() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_directory(path.parent().unwrap_or(Path::new("/")))?;
            write()
        }
        other => other,
    };
    written.map_err(|error| {
        let _ = std::fs::remove_file(&staged);
        Error::file("write", path, error)
    })
}

/// The same with a value as JSON.
pub(crate) fn replace_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text =
        serde_json::to_vec(value).map_err(|error| Error::file("write", path, io::Error::from(error)))?;
    replace(path, &text)
}

/// Removes what was being written when its writer was killed.
pub(crate) fn forget_staged(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let writer = name.strip_prefix('.').and_then(|name| name.rsplit('.').next()?.parse::<u32>().ok());
        let dead = |thread: u32| !Path::new("/proc").join(thread.to_string()).exists();
        if writer.is_some_and(dead) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// A value from a file of JSON; `None` where there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| Error::Malformed { path: path.to_owned(), source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", path, error)),
    }
}

/// Removes a file; one that is gone already is as good.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", path, error)),
        _ => Ok(()),
    }
}

/// Removes a directory with all that is in it; one that is not there is as good.
pub(crate) fn remove_directory(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", path, error)),
        _ => Ok(()),
    }
}

/// Notes `content` under a name that nobody has yet; false where somebody has it. One system call: nobody ever sees a
/// note without its content.
pub(crate) fn note(path: &Path, content: &str) -> Result<bool> {
    for _ in 0..2 {
        match rustix::fs::symlinkat(content, CWD, path) {
            Ok(()) => return Ok(true),
            Err(Errno::EXIST) => return Ok(false),
            Err(Errno::NOENT) => make_directory(path.parent().unwrap_or(Path::new("/")))?,
            Err(errno) => return Err(Error::file("make", path, errno)),
        }
    }
    Err(Error::file("make", path, Errno::NOENT))
}

/// What a note says; `None` where there is none.
pub(crate) fn noted(path: &Path) -> Result<Option<String>> {
    match rustix::fs::readlinkat(CWD, path, Vec::new()) {
        Ok(content) => Ok(Some(content.to_string_lossy().into_owned())),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(Error::file("read", path, errno)),
    }
}

/// The names in a directory, without those that are hidden; none where there is no such directory.
pub(crate) fn names(path: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("list", path, error)),
    };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| !name.starts_with('.')).collect())
}

/// A lock that ends with the value, or with the process.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock on a file, which is made where it is absent.
    pub fn take(path: PathBuf) -> Result<Self> {
        let file = Self::open(&path)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map_err(|errno| Error::file("lock", &path, errno))?;
        Ok(Self { _file: file })
    }

    /// The lock, where nobody holds it.
    pub fn try_take(path: PathBuf) -> Result<Option<Self>> {
        let file = Self::open(&path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(Error::file("lock", &path, errno)),
        }
    }

    fn open(path: &Path) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let open = || rustix::fs::open(path, flags, Mode::from_raw_mode(0o600));
        let file = match open() {
            Err(Errno::NOENT) => {
                make_directory(path.parent().unwrap_or(Path::new("/")))?;
                open()
            }
            other => other,
        };
        Ok(file.map_err(|errno| Error::file("open", path, errno))?.into())
    }
}

/// Removes a directory if nothing is in it.
pub(crate) fn remove_empty(path: &Path) -> Result<()> {
    match rustix::fs::unlinkat(CWD, path, rustix::fs::AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        Err(errno) => Err(Error::file("remove", path, errno)),
    }
}
