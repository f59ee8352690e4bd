//! Becoming another user.

use std::io;

use capability::{ApplyError, CapSet, ReadError, Sets};
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::thread;

/// Whom to become; what is none stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Credentials {
    /// Real, effective and saved user.
    pub uid: Option<u32>,
    /// Real, effective and saved group. Supplementary groups are dropped with it.
    pub gid: Option<u32>,
}

/// Why the calling thread could not become someone else.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum CredentialsError {
    #[error("drop the supplementary groups: {0}; it needs CAP_SETGID")]
    Groups(#[source] io::Error),
    #[error("become group {gid}: {source}{}", unmapped(source))]
    Group { gid: u32, source: io::Error },
    #[error("become user {uid}: {source}{}", unmapped(source))]
    User { uid: u32, source: io::Error },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Capabilities(#[from] ApplyError),
}

fn unmapped(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::INVAL) => "; the user namespace does not map this id",
        _ => "",
    }
}

impl Credentials {
    /// Makes the calling thread, the only one of the program, this user and group.
    pub fn apply(self) -> Result<(), CredentialsError> {
        if let Some(gid) = self.gid {
            drop_groups()?;
            let group = Gid::from_raw(gid);
            thread::set_thread_res_gid(group, group, group)
                .map_err(|errno| CredentialsError::Group { gid, source: errno.into() })?;
        }
        if let Some(uid) = self.uid {
            let user = Uid::from_raw(uid);
            thread::set_thread_res_uid(user, user, user)
                .map_err(|errno| CredentialsError::User { uid, source: errno.into() })?;
        }
        Ok(())
    }
}

fn drop_groups() -> Result<(), CredentialsError> {
    match thread::set_thread_groups(&[]) {
        Ok(()) => Ok(()),
        // A user namespace whose groups were mapped by an ordinary user: user_namespaces(7), /proc/PID/setgroups.
        Err(Errno::PERM) if std::fs::read("/proc/self/setgroups").is_ok_and(|text| text == b"deny\n") => {
            Ok(())
        }
        Err(errno) => Err(CredentialsError::Groups(errno.into())),
    }
}

/// Passes every permitted capability on through exec.
pub fn keep_capabilities() -> Result<(), CredentialsError> {
    let own = Sets::of_self()?;
    capability::set_process_sets(own.effective, own.permitted, own.permitted)?;
    let refused = capability::raise_ambient(own.permitted)?;
    debug_assert_eq!(refused, CapSet::EMPTY);
    Ok(())
}
