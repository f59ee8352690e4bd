//! Containers of an ordinary user: the namespaces that all of his commands and monitors share.
//!
//! Whoever is not root maps his own id to 0 in a user namespace, and the ids that /etc/subuid and /etc/subgid give him
//! from 1 on; with a mount namespace of it, he may there what the engine asks of root. Every command that needs images
//! or containers goes in, and stays. No process is there only to keep the namespaces:
//!
//! ```text
//! command --(takes the lock of DIR/members)--> does one of those in the list live? --yes--> setns(2) to its namespaces
//!                                                 '--no--> clone3(2) a child with new ones, write its maps, setns(2)
//!         --(writes itself down, lets go)--> root
//! ```
//! Who makes another member (the monitor of a container) holds the lock until it is written down. So at any instant
//! there is one such namespace, and whoever is killed leaves a line that the next command takes for what it is: a pid
//! counts only with its start time.

mod advice;
mod make;
mod members;
mod subids;

use std::path::Path;
use std::sync::OnceLock;

use namespace::{FileError, Kind, MapError, NamespaceFile, WriteError};
use rustix::process::{getegid, geteuid};

pub use members::Members;
pub use subids::{Range, SubidError, own_ranges};

/// Who entered, and into which user namespace (by its inode); set once, by the process that did.
static ENTERED: OnceLock<(u64, User)> = OnceLock::new();

/// What says in the environment of a process that it is inside: the namespace's inode, the user and the group outside.
/// It counts only where the inode is that of the process' namespace, so a container's programs are not fooled by it.
const MARK: &str = "_BERTH_ROOTLESS";

/// Why the namespaces can't be made or entered.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error("cannot {operation} {}: {source}", path.display())]
    Io { operation: &'static str, path: std::path::PathBuf, source: std::io::Error },
    #[error("cannot make a user namespace: {source}{advice}")]
    Make { source: std::io::Error, advice: String },
    #[error("cannot map the ids that /etc/subuid and /etc/subgid give this user: {0}")]
    Map(#[source] MapError),
    #[error("cannot map the ids of the user namespace: {source}{advice}")]
    Write { source: WriteError, advice: &'static str },
    #[error(transparent)]
    Subids(#[from] SubidError),
    #[error("cannot enter the namespaces of this user's containers: {source}{advice}")]
    Enter { source: FileError, advice: String },
}

impl Error {
    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<std::path::PathBuf>,
        source: impl Into<std::io::Error>,
    ) -> Self {
        Self::Io { operation, path: path.into(), source: source.into() }
    }
}

/// The user whose namespace the process is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// His id outside, where it is 0 inside.
    pub uid: u32,
    /// His group's.
    pub gid: u32,
}

/// The user whose containers' namespace the process is in; none for root, and for who did not enter.
pub fn current() -> Option<User> {
    if let Some((_, user)) = ENTERED.get() {
        return Some(*user);
    }
    let mark = std::env::var(MARK).ok()?;
    let mut numbers = mark.split(':').map(|number| number.parse::<u64>().ok());
    let (inode, uid, gid) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let own = NamespaceFile::of_self(Kind::User).ok()?.id().ok()?.inode;
    (own == inode).then_some(User { uid: uid.try_into().ok()?, gid: gid.try_into().ok()? })
}

/// What a program that this process becomes or starts must have in its environment to know that it is inside; none where
/// it is not, or has it already.
pub fn variable() -> Option<(String, String)> {
    let (inode, User { uid, gid }) = ENTERED.get()?;
    Some((MARK.to_owned(), format!("{inode}:{uid}:{gid}")))
}

/// Whether the process is root as the host's services are: its files are not those of some user.
pub fn is_root() -> bool {
    geteuid().is_root() && current().is_none()
}

/// Enters the namespaces that this user's containers share, and makes them where there are none. Root, and who is
/// inside already, stays where it is. `dir` is the user's own directory of what is gone after a reboot.
///
/// # Errors
/// What is missing on the host, and how to have it.
pub fn enter(dir: &Path) -> Result<(), Error> {
    if geteuid().is_root() {
        return Ok(());
    }
    let user = User { uid: geteuid().as_raw(), gid: getegid().as_raw() };
    let members = Members::lock(dir)?;
    let namespaces = match members.namespaces()? {
        Some(namespaces) => namespaces,
        None => make::make(user)?,
    };
    let directory = std::env::current_dir();
    let inode = namespaces.enter()?;
    if let Ok(directory) = directory {
        // setns(2) leaves the process at the root of the mount namespace; what it can't go back to it could not use.
        let _ = rustix::process::chdir(&directory);
    }
    members.add(rustix::process::getpid())?;
    // Whoever was root or inside already has returned, so it is set for the first time.
    let _ = ENTERED.set((inode, user));
    Ok(())
}

/// Enters the network namespace that the bridges of this user's containers are in, and makes it where there is none; it
/// goes with the last who is inside. There is no way back, for the host's own is not the user's.
///
/// # Errors
/// Where it can't be made.
pub fn enter_network(dir: &Path) -> Result<(), Error> {
    let place = dir.join("netns");
    let _members = Members::lock(dir)?;
    let opened = NamespaceFile::open_kind(&place, Kind::Net).or_else(|_| {
        make::mount_network(&place)?;
        NamespaceFile::open_kind(&place, Kind::Net)
            .map_err(|source| Error::Enter { source, advice: String::new() })
    })?;
    opened.enter().map_err(|source| Error::Enter { source, advice: String::new() })
}

/// The namespaces, open.
#[derive(Debug)]
pub(crate) struct Namespaces {
    user: NamespaceFile,
    /// None where only containers are left, which have their own: then a new one is made.
    mount: Option<NamespaceFile>,
}

impl Namespaces {
    pub(crate) fn of(pid: rustix::process::Pid, with_mount: bool) -> Result<Namespaces, FileError> {
        let mount = with_mount.then(|| NamespaceFile::of_process(pid, Kind::Mount)).transpose()?;
        Ok(Namespaces { user: NamespaceFile::of_process(pid, Kind::User)?, mount })
    }

    #[cfg(test)]
    pub(crate) fn has_mount(&self) -> bool {
        self.mount.is_some()
    }

    /// Enters them, and gives the inode of the first.
    fn enter(&self) -> Result<u64, Error> {
        let refused = |source| Error::Enter { advice: advice::of_host(), source };
        self.user.enter().map_err(refused)?;
        match &self.mount {
            Some(mount) => mount.enter().map_err(refused)?,
            None => sys::process::unshare(sys::process::NamespaceFlags::MOUNT)
                .map_err(|source| Error::Make { advice: advice::of_host(), source })?,
        }
        Ok(self.user.id().map_err(refused)?.inode)
    }
}
