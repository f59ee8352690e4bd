//! The directories that entries are put in, opened once and kept while entries come from below them.
//!
//! Each step is one openat2 below a directory that is held open, with symbolic links and mount points
//! forbidden. Where a component is a symbolic link the whole path is resolved anew by the kernel within the
//! layer's root (RESOLVE_IN_ROOT), which is what Docker's chroot made of it; nothing ever resolves a path in user
//! space, so there is no order of entries that leads out.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;

use super::LayerError;

/// How many directories are held open at most; hostile layers nest more.
const MAX_HELD: usize = 64;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens parents of entries.
#[derive(Debug)]
pub struct Parents<'fd> {
    root: BorrowedFd<'fd>,
    /// The path of the innermost held directory, and each directory's fd with the length of its path.
    path: Vec<u8>,
    held: Vec<(usize, OwnedFd)>,
    crossing: bool,
    /// A directory too deep to be held with all those above it.
    deep: Option<(Vec<u8>, OwnedFd)>,
}

impl<'fd> Parents<'fd> {
    /// Parents below `root`; `crossing` says whether what is mounted there is walked into.
    pub fn new(root: BorrowedFd<'fd>, crossing: bool) -> Parents<'fd> {
        Parents { root, path: Vec::new(), held: Vec::new(), crossing, deep: None }
    }

    /// The directory `path`, relative and clean. Missing ones are made, as layers may leave them out, and
    /// reported to `made`.
    pub fn open(&mut self, path: &[u8], made: &mut dyn FnMut(&[u8])) -> Result<BorrowedFd<'_>, LayerError> {
        let depth = if path.is_empty() { 0 } else { path.split(|&byte| byte == b'/').count() };
        if depth > MAX_HELD {
            return self.open_deep(path, made);
        }
        while !(path.starts_with(&self.path)
            && (self.path.is_empty() || matches!(path.get(self.path.len()), None | Some(b'/'))))
        {
            self.held.pop();
            self.path.truncate(self.held.last().map_or(0, |(length, _)| *length));
        }
        while self.path.len() < path.len() {
            let start = if self.path.is_empty() { 0 } else { self.path.len() + 1 };
            let end = path[start..].iter().position(|&byte| byte == b'/').map_or(path.len(), |at| start + at);
            let directory = self.step(self.innermost(), &path[..end], &path[start..end], made)?;
            self.path = path[..end].to_vec();
            self.held.push((end, directory));
        }
        Ok(self.innermost())
    }

    /// Forgets what is open: a directory or a link was replaced.
    pub fn forget(&mut self) {
        self.path.clear();
        self.held.clear();
        self.deep = None;
    }

    fn innermost(&self) -> BorrowedFd<'_> {
        self.held.last().map_or(self.root, |(_, directory)| directory.as_fd())
    }

    /// Opens `name`, whose whole path is `path`, in `parent`.
    fn step(
        &self,
        parent: BorrowedFd<'_>,
        path: &[u8],
        name: &[u8],
        made: &mut dyn FnMut(&[u8]),
    ) -> Result<OwnedFd, LayerError> {
        let flags = within(ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS, self.crossing);
        match openat2(parent, name, DIRECTORY, Mode::empty(), flags) {
            Ok(directory) => Ok(directory),
            Err(Errno::NOENT) => {
                make(parent, name, path, made)?;
                openat2(parent, name, DIRECTORY, Mode::empty(), flags).map_err(|error| fail(path, error))
            }
            Err(Errno::LOOP) => in_root(self.root, path, self.crossing).map_err(|error| fail(path, error)),
            Err(error) => Err(fail(path, error)),
        }
    }

    /// Opens a directory below the held ones, holding only it.
    fn open_deep(&mut self, path: &[u8], made: &mut dyn FnMut(&[u8])) -> Result<BorrowedFd<'_>, LayerError> {
        if self.deep.as_ref().is_none_or(|(known, _)| known != path) {
            let slashes = (0..path.len()).filter(|&at| path[at] == b'/');
            let ends: Vec<_> = slashes.chain([path.len()]).skip(MAX_HELD - 1).collect();
            let mut directory: Option<OwnedFd> = None;
            self.open(&path[..ends[0]], made)?;
            for pair in ends.windows(2) {
                let parent = directory.as_ref().map_or(self.innermost(), |directory| directory.as_fd());
                directory = Some(self.step(parent, &path[..pair[1]], &path[pair[0] + 1..pair[1]], made)?);
            }
            self.deep = directory.map(|directory| (path.to_vec(), directory));
        }
        Ok(self.deep.as_ref().map_or(self.root, |(_, directory)| directory.as_fd()))
    }
}

/// Makes a directory that the layer left out.
fn make(
    parent: BorrowedFd<'_>,
    name: &[u8],
    path: &[u8],
    made: &mut dyn FnMut(&[u8]),
) -> Result<(), LayerError> {
    match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => {
            made(path);
            Ok(())
        }
        // A symbolic link to nothing.
        Err(Errno::EXIST) => {
            Err(LayerError::refused(path, "it is a symbolic link to nothing, used as a directory"))
        }
        Err(error) => Err(LayerError::entry("make the directory", path, error)),
    }
}

/// The directory `path` as a process with the layer as its root would find it.
pub fn in_root(root: BorrowedFd<'_>, path: &[u8], crossing: bool) -> rustix::io::Result<OwnedFd> {
    let flags = within(ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS, crossing);
    let path = if path.is_empty() { b"." } else { path };
    loop {
        match openat2(root, path, DIRECTORY, Mode::empty(), flags) {
            // The kernel saw a rename somewhere and asks to try again.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// What is removed or written must not be a volume, unless it is what was asked for.
fn within(flags: ResolveFlags, crossing: bool) -> ResolveFlags {
    if crossing { flags } else { flags | ResolveFlags::NO_XDEV }
}

fn fail(path: &[u8], error: Errno) -> LayerError {
    match error {
        Errno::NOTDIR => {
            LayerError::refused(path, "another entry made it a file, and this one uses it as a directory")
        }
        Errno::XDEV => LayerError::refused(path, "a file system is mounted there"),
        Errno::LOOP => LayerError::refused(path, "its symbolic links go round in circles"),
        Errno::NOENT => LayerError::refused(path, "it is a symbolic link to nothing, used as a directory"),
        error => LayerError::entry("open the directory", path, error),
    }
}
