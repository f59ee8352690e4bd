//! Open namespaces whose type is verified.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::Kind;

/// A namespace, held open; nobody can replace it under its path any more.
#[derive(Debug)]
pub struct NamespaceFile {
    kind: Kind,
    fd: OwnedFd,
}

/// What tells one namespace from every other: nsfs's device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceId {
    /// The device number of nsfs.
    pub device: u64,
    /// The inode, which is what /proc/PID/ns shows.
    pub inode: u64,
}

impl fmt::Display for NamespaceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inode, formatter)
    }
}

/// Why a namespace could not be opened, asked or entered.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum FileError {
    #[error("open namespace {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("{} is not a namespace", path.display())]
    NotANamespace { path: PathBuf },
    #[error("{} is a namespace of type {found}, not {expected}", path.display())]
    WrongKind { path: PathBuf, found: Kind, expected: Kind },
    #[error("{} is a namespace of a type that this program does not know (flag {flag:#x})", path.display())]
    UnknownKind { path: PathBuf, flag: u32 },
    #[error("ask a {kind} namespace for its {what}: {source}")]
    Ask { kind: Kind, what: &'static str, source: io::Error },
    #[error("enter the {kind} namespace {id}: {source}")]
    Enter { kind: Kind, id: NamespaceId, source: io::Error },
}

impl NamespaceFile {
    /// Opens a namespace of whatever type is at `path`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        // NONBLOCK: a FIFO at this path must not make us wait for its other end.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| FileError::Open { path: path.to_owned(), source: errno.into() })?;
        Self::from_fd(fd, path)
    }

    /// Opens the namespace at `path`, which must be of type `expected`.
    pub fn open_kind(path: impl AsRef<Path>, expected: Kind) -> Result<Self, FileError> {
        let path = path.as_ref();
        let file = Self::open(path)?;
        if file.kind == expected {
            Ok(file)
        } else {
            Err(FileError::WrongKind { path: path.to_owned(), found: file.kind, expected })
        }
    }

    /// Opens a namespace of a process.
    pub fn of_process(pid: Pid, kind: Kind) -> Result<Self, FileError> {
        Self::open_kind(format!("/proc/{pid}/ns/{kind}"), kind)
    }

    /// Opens a namespace of the calling thread.
    pub fn of_self(kind: Kind) -> Result<Self, FileError> {
        Self::open_kind(format!("/proc/thread-self/ns/{kind}"), kind)
    }

    /// Takes an open file for a namespace after asking the kernel what it is; `path` is for messages.
    pub fn from_fd(fd: OwnedFd, path: &Path) -> Result<Self, FileError> {
        match sys::nsfs::namespace_type(&fd) {
            Ok(flag) => match Kind::from_clone_flag(flag) {
                Some(kind) => Ok(Self { kind, fd }),
                None => Err(FileError::UnknownKind { path: path.to_owned(), flag }),
            },
            // Other file systems answer with ENOTTY, some devices with EINVAL.
            Err(_) => Err(FileError::NotANamespace { path: path.to_owned() }),
        }
    }

    /// Its type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its identity.
    pub fn id(&self) -> Result<NamespaceId, FileError> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|errno| self.asked("inode", errno.into()))?;
        Ok(NamespaceId { device: stat.st_dev, inode: stat.st_ino })
    }

    /// The user namespace that owns it; none if that one is not the caller's or below.
    pub fn owning_user_namespace(&self) -> Result<Option<Self>, FileError> {
        self.related(Kind::User, "owning user namespace", sys::nsfs::owning_user_namespace(&self.fd))
    }

    /// The parent of a user or pid namespace; none if that one is not the caller's or below.
    pub fn parent(&self) -> Result<Option<Self>, FileError> {
        self.related(self.kind, "parent", sys::nsfs::parent_namespace(&self.fd))
    }

    /// The user, as the caller's user namespace counts, who made this user namespace.
    pub fn owner_uid(&self) -> Result<u32, FileError> {
        sys::nsfs::owner_uid(&self.fd).map_err(|source| self.asked("owner", source))
    }

    /// Moves the calling thread into it. A pid or time namespace takes effect for children only.
    pub fn enter(&self) -> Result<(), FileError> {
        rustix::thread::move_into_link_name_space(self.fd.as_fd(), Some(self.kind.setns_type())).map_err(
            |errno| match self.id() {
                Ok(id) => FileError::Enter { kind: self.kind, id, source: errno.into() },
                Err(error) => error,
            },
        )
    }

    fn related(
        &self,
        kind: Kind,
        what: &'static str,
        answer: io::Result<OwnedFd>,
    ) -> Result<Option<Self>, FileError> {
        match answer {
            Ok(fd) => Ok(Some(Self { kind, fd })),
            Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => Ok(None),
            Err(source) => Err(self.asked(what, source)),
        }
    }

    fn asked(&self, what: &'static str, source: io::Error) -> FileError {
        FileError::Ask { kind: self.kind, what, source }
    }
}

impl AsFd for NamespaceFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<NamespaceFile> for OwnedFd {
    fn from(file: NamespaceFile) -> Self {
        file.fd
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn own_namespaces_have_the_types_that_their_names_say() {
        for kind in Kind::ALL {
            let file = NamespaceFile::of_self(kind).unwrap();
            assert_eq!(file.kind(), kind);
            let metadata = std::fs::metadata(format!("/proc/thread-self/ns/{kind}")).unwrap();
            assert_eq!(file.id().unwrap(), NamespaceId { device: metadata.dev(), inode: metadata.ino() });
        }
    }

    #[test]
    fn other_files_are_not_namespaces() {
        for path in ["/proc/self/status", "/dev/null", "/", "/proc/self/ns"] {
            let error = NamespaceFile::open(path).unwrap_err();
            assert!(matches!(error, FileError::NotANamespace { .. }), "{path}: {error}");
        }
    }

    #[test]
    fn another_type_is_refused_with_both_names() {
        let error = NamespaceFile::open_kind("/proc/self/ns/net", Kind::User).unwrap_err();
        assert_eq!(error.to_string(), "/proc/self/ns/net is a namespace of type net, not user");
    }

    #[test]
    fn what_lies_above_the_caller_is_none() {
        let user = NamespaceFile::of_self(Kind::User).unwrap();
        assert!(user.parent().unwrap().is_none());
        let net = NamespaceFile::of_self(Kind::Net).unwrap();
        let owner = net.owning_user_namespace().unwrap().expect("this test runs where its network is from");
        assert_eq!(owner.id().unwrap(), user.id().unwrap());
        assert!(matches!(net.parent(), Err(FileError::Ask { what: "parent", .. })));
    }
}
