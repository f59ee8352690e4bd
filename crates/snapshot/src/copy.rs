//! The copy driver: the files of a chain of layers put together in one directory, with shared blocks where the
//! file system can.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, chownat, copy_file_range, fstat, ioctl_ficlone, linkat, mkdirat,
    mknodat, openat, readlinkat, statat, symlinkat, utimensat,
};
use rustix::io::Errno;

use crate::layer::{is_opaque, is_whiteout};
use crate::{Result, SnapshotError, attributes, tree};

/// Copies what shows through the layers `lower` (topmost first) into the empty directory `to`.
pub fn materialize(lower: &[PathBuf], to: BorrowedFd<'_>, path: &Path) -> Result<()> {
    Copy::new(to)
        .directory(&open_all(lower)?, to, b"")
        .map_err(|error| SnapshotError::io("copy layers to", path, error))
}

/// Copies all that is in one directory into an empty one, and gives it the attributes of the first: owners, modes, times,
/// extended attributes, links between files and holes stay. What is mounted below the first is an error.
///
/// # Errors
/// Those of the system calls.
pub fn copy_directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    Copy::new(to).directory(&[from.try_clone_to_owned()?], to, b"")?;
    Ok(attributes::copy(from, to)?)
}

/// Opens the directories of layers.
pub fn open_all(layers: &[PathBuf]) -> Result<Vec<OwnedFd>> {
    let open =
        |layer: &PathBuf| tree::open_root(layer).map_err(|error| SnapshotError::io("open", layer, error));
    layers.iter().map(open).collect()
}

/// Copies files to places below a root.
pub struct Copy<'fd> {
    root: BorrowedFd<'fd>,
    /// Files with several names, by device and inode, and where their first copy is.
    linked: BTreeMap<(u64, u64), Vec<u8>>,
}

impl<'fd> Copy<'fd> {
    /// Copies to places below `root`.
    pub fn new(root: BorrowedFd<'fd>) -> Copy<'fd> {
        Copy { root, linked: BTreeMap::new() }
    }

    /// Copies the directory that `layers` (topmost first) make together.
    fn directory(&mut self, layers: &[OwnedFd], to: BorrowedFd<'_>, path: &[u8]) -> io::Result<()> {
        for (name, found) in merge(layers)? {
            let path = [path, if path.is_empty() { b"" } else { b"/" }, &name].concat();
            match found {
                Found::Directory(parts) => {
                    mkdirat(to, &name[..], Mode::RWXU)?;
                    let own = tree::open_directory(to, &name)?;
                    self.directory(&parts, own.as_fd(), &path)?;
                    attributes::copy(parts[0].as_fd(), own.as_fd())?;
                }
                Found::Other(layer, stat) => self.other(layers[layer].as_fd(), to, &name, &stat, &path)?,
            }
        }
        Ok(())
    }

    /// Copies what is no directory, or links it to its first copy.
    pub fn other(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &[u8],
        stat: &Stat,
        path: &[u8],
    ) -> io::Result<()> {
        if stat.st_nlink > 1 {
            let key = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.linked.get(&key) {
                return Ok(linkat(self.root, &first[..], to, name, AtFlags::empty())?);
            }
            self.linked.insert(key, path.to_vec());
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => return file(from, to, name),
            FileType::Symlink => symlinkat(readlinkat(from, name, Vec::new())?, to, name)?,
            kind => mknodat(to, name, kind, Mode::from_raw_mode(stat.st_mode), stat.st_rdev)?,
        }
        let (uid, gid) = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
        chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            rustix::fs::chmodat(to, name, Mode::from_raw_mode(stat.st_mode), AtFlags::empty())?;
        }
        Ok(utimensat(to, name, &attributes::times(stat), AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// What a name means in the topmost layer that has it.
pub enum Found {
    /// A directory, and the same directory in each layer that it is merged with.
    Directory(Vec<OwnedFd>),
    /// Anything else, in the layer with this number.
    Other(usize, Box<Stat>),
}

/// The names that show through `layers`, one directory in each, topmost first.
pub fn merge(layers: &[OwnedFd]) -> io::Result<BTreeMap<Vec<u8>, Found>> {
    let mut found: BTreeMap<Vec<u8>, Option<Found>> = BTreeMap::new();
    // Directories that a layer below can no longer add to.
    let mut closed = std::collections::BTreeSet::new();
    for (number, layer) in layers.iter().enumerate() {
        for (name, _) in tree::list(layer.as_fd())? {
            let stat = statat(layer, &name[..], AtFlags::SYMLINK_NOFOLLOW)?;
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let part = |name: &[u8]| tree::open_directory(layer.as_fd(), name);
            match found.get_mut(&name) {
                None if is_whiteout(&stat) => drop(found.insert(name, None)),
                None if is_directory => {
                    let directory = part(&name)?;
                    if is_opaque(directory.as_fd())? {
                        closed.insert(name.clone());
                    }
                    found.insert(name, Some(Found::Directory(vec![directory])));
                }
                None => drop(found.insert(name, Some(Found::Other(number, Box::new(stat))))),
                Some(Some(Found::Directory(parts))) if !closed.contains(&name) => match is_directory {
                    true => {
                        let directory = part(&name)?;
                        if is_opaque(directory.as_fd())? {
                            closed.insert(name.clone());
                        }
                        parts.push(directory);
                    }
                    false => drop(closed.insert(name)),
                },
                Some(_) => {}
            }
        }
    }
    Ok(found.into_iter().filter_map(|(name, found)| Some((name, found?))).collect())
}

/// Copies a regular file: by sharing its blocks, or else its data without its holes.
fn file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let source = tree::open_file(from, name)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
    match ioctl_ficlone(&target, &source) {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS) => {
            data(&source, &target)?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(attributes::copy(source.as_fd(), target.as_fd())?)
}

/// Copies the parts of a file that are no holes.
fn data(source: &OwnedFd, target: &OwnedFd) -> io::Result<()> {
    let size = fstat(source)?.st_size as u64;
    for segment in tree::segments(source.as_fd(), size)? {
        let (mut at, end) = (segment.offset, segment.offset + segment.length);
        while at < end {
            let (mut read_at, mut write_at) = (at, at);
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(1 << 30);
            match copy_file_range(source, Some(&mut read_at), target, Some(&mut write_at), wanted) {
                Ok(0) => break,
                Ok(copied) => at += copied as u64,
                // From one kind of file system to another the kernel leaves it to us.
                Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                    through_memory(source, target, at, end)?;
                    at = end;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(rustix::fs::ftruncate(target, size)?)
}

fn through_memory(source: &OwnedFd, target: &OwnedFd, mut at: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; 128 << 10];
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let read = rustix::io::pread(source, &mut buffer[..wanted], at)?;
        if read == 0 {
            return Ok(());
        }
        let mut written = 0;
        while written < read {
            written += rustix::io::pwrite(target, &buffer[written..read], at + written as u64)?;
        }
        at += read as u64;
    }
    Ok(())
}
