//! Owner, mode, attributes and times, in the order in which they don't undo each other: chown(2) clears set-id
//! bits and file capabilities, and everything changes the times.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown, fsetxattr,
    futimens, openat, setxattr, utimensat,
};
use rustix::io::Errno;

use super::{ApplyOptions, LayerError, XattrNamespace, whiteout};
use crate::tar::{Entry, Kind, Time};

/// What every file has beside its content.
#[derive(Clone, Debug)]
pub struct Metadata {
    uid: u32,
    gid: u32,
    mode: u32,
    times: (Time, Time),
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Metadata {
    /// That of an entry, as far as an archive may say; `owner` has more to say.
    pub fn of(entry: &mut Entry, owner: Option<(u32, u32)>) -> Metadata {
        let mut xattrs = std::mem::take(&mut entry.xattrs);
        xattrs.retain(|(name, _)| !whiteout::is_overlays(name));
        let atime = entry.atime.unwrap_or(entry.mtime);
        let (uid, gid) = owner.unwrap_or((entry.uid, entry.gid));
        Metadata { uid, gid, mode: entry.mode, times: (atime, entry.mtime), xattrs }
    }

    /// Roughly what keeping it for later takes, in bytes.
    pub fn memory(&self) -> usize {
        let xattrs: usize = self.xattrs.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
        size_of::<Metadata>() + xattrs
    }

    fn timestamps(&self) -> Timestamps {
        let spec = |time: Time| Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds };
        Timestamps { last_access: spec(self.times.0), last_modification: spec(self.times.1) }
    }

    fn mode(&self) -> Mode {
        Mode::from_raw_mode(self.mode)
    }

    /// Gives `file` its metadata. `fresh` is the mode that it was made with, if this process made it: then
    /// owner and mode that are right already cost no system call.
    pub fn set(
        &self,
        file: BorrowedFd<'_>,
        fresh: Option<u32>,
        options: &ApplyOptions,
        path: &[u8],
    ) -> Result<(), LayerError> {
        let chowned = options.keep_owner && (fresh.is_none() || !options.process.makes(self.uid, self.gid));
        if chowned {
            let (uid, gid) = self.owner(path)?;
            fchown(file, uid, gid).map_err(|error| unowned(path, error))?;
        }
        // chown(2) takes the set-id bits away, and so does write(2) by who has no CAP_FSETID.
        let lost_set_id = self.mode & 0o6000 != 0;
        if fresh != Some(self.mode) || lost_set_id {
            fchmod(file, self.mode()).map_err(|error| LayerError::entry("set the mode of", path, error))?;
        }
        for (name, value) in &self.xattrs {
            let set = fsetxattr(file, &name[..], value, XattrFlags::empty());
            check_xattr(set, options, path)?;
        }
        futimens(file, &self.timestamps()).map_err(|error| LayerError::entry("set the times of", path, error))
    }

    /// The same for what cannot be opened for writing: links, devices, pipes.
    pub fn set_at(
        &self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        kind: Kind,
        options: &ApplyOptions,
        path: &[u8],
    ) -> Result<(), LayerError> {
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        if options.keep_owner && !options.process.makes(self.uid, self.gid) {
            let (uid, gid) = self.owner(path)?;
            let set = chownat(parent, name, uid, gid, nofollow);
            set.map_err(|error| unowned(path, error))?;
        }
        if kind != Kind::Symlink || !self.xattrs.is_empty() {
            self.set_by_handle(parent, name, kind, options, path)?;
        }
        utimensat(parent, name, &self.timestamps(), nofollow)
            .map_err(|error| LayerError::entry("set the times of", path, error))
    }

    /// Mode and attributes through an O_PATH fd, whose /proc link leads to this very file and nowhere else.
    fn set_by_handle(
        &self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        kind: Kind,
        options: &ApplyOptions,
        path: &[u8],
    ) -> Result<(), LayerError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(parent, name, flags, Mode::empty());
        let file = file.map_err(|error| LayerError::entry("open", path, error))?;
        let handle = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        if kind != Kind::Symlink {
            let set = rustix::fs::chmod(&handle, self.mode());
            set.map_err(|error| LayerError::entry("set the mode of", path, error))?;
        }
        for (name, value) in &self.xattrs {
            check_xattr(setxattr(&handle, &name[..], value, XattrFlags::empty()), options, path)?;
        }
        Ok(())
    }

    fn owner(&self, path: &[u8]) -> Result<(Option<Uid>, Option<Gid>), LayerError> {
        if self.uid == u32::MAX || self.gid == u32::MAX {
            return Err(LayerError::refused(path, "its owner is -1, which is nobody"));
        }
        Ok((Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid))))
    }
}

/// Attributes that cannot be held are left out where Docker leaves them out: on file systems without any, and in
/// a user namespace those for the privileged alone. Root never loses `security.capability` silently.
fn check_xattr(set: rustix::io::Result<()>, options: &ApplyOptions, path: &[u8]) -> Result<(), LayerError> {
    match set {
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(Errno::PERM) if options.xattrs == XattrNamespace::User => Ok(()),
        Err(error) => Err(LayerError::entry("set an extended attribute of", path, error)),
    }
}
/// chown(2) says EINVAL where an id is not in the map of the user namespace.
fn unowned(path: &[u8], error: rustix::io::Errno) -> LayerError {
    let operation = match error {
        rustix::io::Errno::INVAL => {
            "give to its owner, an id that is not mapped here (more of them in /etc/subuid and /etc/subgid help),"
        }
        _ => "set the owner of",
    };
    LayerError::entry(operation, path, error)
}
