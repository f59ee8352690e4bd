//! Names of network namespaces, as ip-netns(8) keeps them: a mount of the namespace on /run/netns/NAME.

use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use namespace::{FileError, Kind, NamespaceFile};
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::process::Pid;
use sys::process::NamespaceFlags;

use crate::launch::{self, Ending, Side};

/// The directory of the names.
pub const DIRECTORY: &str = "/run/netns";

/// Why a name could not be made, found or removed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum NameError {
    #[error("\"{}\" can't be a name: it must be a file name of at most 255 bytes", .0.escape_debug())]
    Invalid(String),
    #[error("{action} {}: {source}{}", path.display(), hint(source))]
    Step { action: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Namespace(#[from] FileError),
    #[error("make a network namespace: {0}")]
    Unshare(#[source] io::Error),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AlreadyExists => "; the name is taken",
        io::ErrorKind::NotFound => "; there is no such name",
        io::ErrorKind::PermissionDenied => "; it needs CAP_SYS_ADMIN",
        _ => "",
    }
}

/// The path of a name, if it can be one.
pub fn path(name: &str) -> Result<PathBuf, NameError> {
    let valid =
        !name.is_empty() && name.len() <= 255 && name != "." && name != ".." && !name.contains(['/', '\0']);
    if valid { Ok(Path::new(DIRECTORY).join(name)) } else { Err(NameError::Invalid(name.to_owned())) }
}

/// Every name, sorted; none if there is no directory.
pub fn all() -> Vec<String> {
    let entries = std::fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Opens the network namespace with this name.
pub fn open(name: &str) -> Result<NamespaceFile, NameError> {
    Ok(NamespaceFile::open_kind(path(name)?, Kind::Net)?)
}

/// Makes a network namespace and names it.
pub fn add(name: &str) -> Result<(), NameError> {
    let path = reserve(name)?;
    let made = match launch::fork().map_err(NameError::Unshare)? {
        Side::Child => {
            let made = sys::process::unshare(NamespaceFlags::NET)
                .and_then(|()| sys::net::loopback_up())
                .and_then(|()| Ok(rustix::mount::mount_bind("/proc/self/ns/net", &path)?));
            std::process::exit(made.err().map_or(0, |error| error.raw_os_error().unwrap_or(1)));
        }
        Side::Parent(child) => launch::wait(child).map_err(NameError::Unshare)?,
    };
    match made {
        Ending::Exited(0) => Ok(()),
        Ending::Exited(errno) | Ending::Killed(errno) => {
            let _ = std::fs::remove_file(&path);
            Err(NameError::Unshare(io::Error::from_raw_os_error(errno)))
        }
    }
}

/// Names the network namespace of a process.
pub fn attach(name: &str, pid: Pid) -> Result<(), NameError> {
    let source = format!("/proc/{pid}/ns/net");
    NamespaceFile::open_kind(&source, Kind::Net)?;
    let path = reserve(name)?;
    rustix::mount::mount_bind(&source, &path).map_err(|errno| {
        let _ = std::fs::remove_file(&path);
        step("mount the namespace on", &path, errno.into())
    })
}

/// Removes a name. The namespace goes with it, unless a process or another mount keeps it.
pub fn delete(name: &str) -> Result<(), NameError> {
    let path = path(name)?;
    match rustix::mount::unmount(&path, UnmountFlags::DETACH) {
        // EINVAL: nothing is mounted there, a name left over.
        Ok(()) | Err(rustix::io::Errno::INVAL) => {}
        Err(errno) => return Err(step("unmount", &path, errno.into())),
    }
    std::fs::remove_file(&path).map_err(|source| step("remove", &path, source))
}

/// Makes the file of a name, and the directory where it is the first.
fn reserve(name: &str) -> Result<PathBuf, NameError> {
    let path = path(name)?;
    let directory = Path::new(DIRECTORY);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .map_err(|source| step("make", directory, source))?;
    share(directory).map_err(|errno| step("make a shared mount of", directory, errno.into()))?;
    let created = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o000).open(&path);
    created.map(|_| path.clone()).map_err(|source| step("make", &path, source))
}

/// Names made or removed in one mount namespace shall be so in all others.
fn share(directory: &Path) -> rustix::io::Result<()> {
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    match rustix::mount::mount_change(directory, shared) {
        // Not a mount yet.
        Err(rustix::io::Errno::INVAL) => {
            rustix::mount::mount_bind_recursive(directory, directory)?;
            rustix::mount::mount_change(directory, shared)
        }
        outcome => outcome,
    }
}

fn step(action: &'static str, path: &Path, source: io::Error) -> NameError {
    NameError::Step { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_file_names() {
        assert_eq!(path("a b").unwrap(), Path::new("/run/netns/a b"));
        for bad in ["", ".", "..", "a/b", "/a", "a\0", &"x".repeat(256)] {
            assert!(matches!(path(bad), Err(NameError::Invalid(_))), "{bad}");
        }
    }
}
