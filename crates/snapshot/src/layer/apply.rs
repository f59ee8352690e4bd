//! Applying a layer to an empty directory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, ftruncate, statat};
use rustix::io::Errno;

use super::destination::{self, Before};
use super::metadata::Metadata;
use super::parents::{Parents, in_root};
use super::path::{relative, split};
use super::whiteout::{self, Mark};
use super::{LayerError, XattrNamespace};
use crate::tar::{Entry, Kind, Reader, Segment};

/// How a layer is applied.
#[derive(Clone, Debug)]
pub struct ApplyOptions {
    /// Where overlay's attributes go.
    pub xattrs: XattrNamespace,
    /// What becomes of device nodes.
    pub devices: Devices,
    /// Whether files get the owners that the layer says; without, all are ours.
    pub keep_owner: bool,
    /// The most entries.
    pub max_entries: u64,
    /// The largest file, holes included, in bytes.
    pub max_file_size: u64,
    /// The most bytes that are kept about directories until the end: a compressed layer of a few KiB could
    /// ask for any amount.
    pub max_memory: usize,
    /// Who applies it.
    pub process: Process,
    /// Set for an archive that is no layer, and is unpacked where there are files already.
    pub plain: Option<Plain>,
}

/// How an ordinary archive is unpacked: no name means a whiteout, and a directory that is there stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plain {
    /// The owner of all files, whatever the archive says.
    pub owner: Option<(u32, u32)>,
    /// A directory takes the place of a file, or a file that of a directory; otherwise that is an error.
    pub overwrite: bool,
}

/// What the kernel gives to new files of this process, so that what is right already need not be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
    /// The bits that new files' modes lose.
    pub umask: u32,
}

impl Process {
    /// This process as it is now.
    pub fn current() -> Process {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Process { uid, gid, umask: umask() }
    }

    /// Whether new files belong to these already.
    pub(crate) fn makes(&self, uid: u32, gid: u32) -> bool {
        (self.uid, self.gid) == (uid, gid)
    }
}

/// What becomes of device nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Devices {
    /// They are made.
    Make,
    /// They are left out: nobody can make them in a user namespace.
    Skip,
    /// The layer is refused.
    Refuse,
}

impl ApplyOptions {
    /// The options for this process: as root everything is made, in a user namespace devices are left out.
    pub fn for_this_process(xattrs: XattrNamespace) -> ApplyOptions {
        let process = Process::current();
        let devices = if xattrs == XattrNamespace::Trusted { Devices::Make } else { Devices::Skip };
        ApplyOptions {
            xattrs,
            devices,
            keep_owner: process.uid == 0 && !maps_one_id(),
            max_entries: 10_000_000,
            max_file_size: 1 << 40,
            max_memory: 128 << 20,
            process,
            plain: None,
        }
    }
}

/// Whether the process is in a user namespace with a single id: then everything is its own.
fn maps_one_id() -> bool {
    let one = |path: &str| {
        let map = std::fs::read_to_string(path).unwrap_or_default();
        map.lines().count() == 1 && map.split_ascii_whitespace().nth(2) == Some("1")
    };
    one("/proc/self/uid_map") || one("/proc/self/gid_map")
}

/// The process' umask, read without changing it. Unknown means all bits, which only costs a chmod a file.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let digits = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    digits.and_then(|digits| u32::from_str_radix(digits.trim(), 8).ok()).unwrap_or(0o777)
}

/// What was made of a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries in the archive.
    pub entries: u64,
    /// Bytes of regular files, as stored.
    pub bytes: u64,
    /// Directories that entries are in and that the layer does not have itself, the root (empty) included:
    /// they look as in the layers below.
    pub implied: Vec<Vec<u8>>,
    /// Devices left out.
    pub skipped: u64,
}

/// Applies the layer in `archive` to the empty directory `root`, or unpacks a plain archive there. On an error `root` holds anything.
pub fn apply(
    archive: impl BufRead,
    root: BorrowedFd<'_>,
    options: &ApplyOptions,
) -> Result<Applied, LayerError> {
    let mut reader = Reader::new(archive);
    let mut state = State {
        root,
        options,
        parents: Parents::new(root, options.plain.is_some()),
        directories: BTreeMap::new(),
        implied: BTreeSet::from([Vec::new()]),
        memory: 0,
        applied: Applied::default(),
    };
    while let Some(entry) = reader.next_entry()? {
        state.applied.entries += 1;
        if state.applied.entries > options.max_entries {
            return Err(LayerError::TooManyEntries { limit: options.max_entries });
        }
        state.entry(&mut reader, entry)?;
    }
    reader.drain()?;
    state.finish()
}

struct State<'a> {
    root: BorrowedFd<'a>,
    options: &'a ApplyOptions,
    parents: Parents<'a>,
    /// Metadata of directories, set at the end: until then they must be writable and keep no times, set-group
    /// bits or default ACLs that what is made in them would inherit.
    directories: BTreeMap<Vec<u8>, Metadata>,
    implied: BTreeSet<Vec<u8>>,
    /// What both take, in bytes.
    memory: usize,
    applied: Applied,
}

impl State<'_> {
    fn entry<R: BufRead>(&mut self, reader: &mut Reader<R>, mut entry: Entry) -> Result<(), LayerError> {
        let path = relative(&entry.path)?;
        let metadata = Metadata::of(&mut entry, self.options.plain.and_then(|plain| plain.owner));
        if path.is_empty() {
            return match entry.kind {
                Kind::Directory if self.options.plain.is_some() => Ok(()),
                Kind::Directory => self.remember(path, metadata),
                _ => Err(LayerError::refused(&entry.path, "the root of a layer is a directory")),
            };
        }
        match whiteout::mark(split(&path).1) {
            _ if self.options.plain.is_some() => self.check_overwriting(&path, entry.kind)?,
            Mark::None => {}
            Mark::Aufs => return Ok(()),
            Mark::Malformed => return Err(LayerError::refused(&path, "it is a whiteout of no name")),
            Mark::Opaque => return self.opaque(&path),
            Mark::Removed(name) => return self.removed(&path, name),
        }
        match entry.kind {
            Kind::File => self.file(reader, &entry, &path, &metadata),
            Kind::Directory => self.directory(path, metadata),
            Kind::HardLink => self.hard_link(&entry, &path),
            Kind::Character | Kind::Block if self.options.devices != Devices::Make => {
                match self.options.devices {
                    Devices::Skip => {
                        self.applied.skipped += 1;
                        Ok(())
                    }
                    _ => Err(LayerError::refused(&path, "it is a device")),
                }
            }
            Kind::Character if entry.device == (0, 0) && self.options.plain.is_none() => {
                Err(LayerError::refused(&path, "it is the device 0:0, which stands for a removed file"))
            }
            _ => self.special(&entry, &path, &metadata),
        }
    }

    /// Files don't make way for directories, nor these for files (Docker's `NoOverwriteDirNonDir`).
    fn check_overwriting(&mut self, path: &[u8], kind: Kind) -> Result<(), LayerError> {
        if self.options.plain.is_some_and(|plain| plain.overwrite) {
            return Ok(());
        }
        let parent = self.parent(path)?;
        let there = statat(parent, split(path).1, AtFlags::SYMLINK_NOFOLLOW);
        let there = there.map(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
        match (there, kind == Kind::Directory) {
            (Ok(true), false) => {
                Err(LayerError::refused(path, "cannot overwrite directory with non-directory"))
            }
            (Ok(false), true) => {
                Err(LayerError::refused(path, "cannot overwrite non-directory with directory"))
            }
            _ => Ok(()),
        }
    }

    fn parent(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, LayerError> {
        let State { implied, memory, options, .. } = self;
        if *memory > options.max_memory {
            return Err(LayerError::refused(path, "the layer's directories take too much memory"));
        }
        self.parents.open(split(path).0, &mut |made| {
            *memory += made.len() + 64;
            implied.insert(made.to_vec());
        })
    }

    fn remember(&mut self, path: Vec<u8>, metadata: Metadata) -> Result<(), LayerError> {
        self.memory += path.len() + metadata.memory();
        if self.memory > self.options.max_memory {
            return Err(LayerError::refused(&path, "the layer's directories take too much memory"));
        }
        self.implied.remove(&path);
        self.directories.insert(path, metadata);
        Ok(())
    }

    /// What a new file replaced may have been on the way to directories that are held open.
    fn replaced(&mut self, before: Before) {
        if before == Before::Replaced {
            self.parents.forget();
        }
    }

    fn file<R: BufRead>(
        &mut self,
        reader: &mut Reader<R>,
        entry: &Entry,
        path: &[u8],
        metadata: &Metadata,
    ) -> Result<(), LayerError> {
        if entry.size > self.options.max_file_size {
            return Err(LayerError::refused(path, "it is larger than a layer's file may be"));
        }
        let options = self.options;
        let parent = self.parent(path)?;
        let (file, before) = destination::file(parent, split(path).1, entry.mode, path)?;
        let mut file = std::fs::File::from(file);
        let whole = [Segment { offset: 0, length: entry.size }];
        for segment in entry.sparse.as_deref().unwrap_or(&whole) {
            write(reader, &mut file, segment, entry.sparse.is_some(), path)?;
        }
        if entry.sparse.is_some() {
            ftruncate(&file, entry.size)
                .map_err(|error| LayerError::entry("set the size of", path, error))?;
        }
        metadata.set(file.as_fd(), Some(entry.mode & !options.process.umask), options, path)?;
        self.applied.bytes += entry.size;
        self.replaced(before);
        Ok(())
    }

    fn directory(&mut self, path: Vec<u8>, metadata: Metadata) -> Result<(), LayerError> {
        let xattrs = self.options.xattrs;
        let parent = self.parent(&path)?;
        let before = destination::directory(parent, split(&path).1, &path)?;
        self.replaced(before);
        if before == Before::Whiteout && self.options.plain.is_none() {
            // The whiteout hid what is below; the new directory must go on to.
            let directory = self.parents.open(&path, &mut |_| {})?;
            whiteout::make_opaque(directory, xattrs)
                .map_err(|error| LayerError::entry("make opaque", &path, error))?;
        }
        self.remember(path, metadata)
    }

    fn hard_link(&mut self, entry: &Entry, path: &[u8]) -> Result<(), LayerError> {
        let target = relative(&entry.link)?;
        let (target_parent, target_name) = split(&target);
        let plain = self.options.plain.is_some();
        if target_name.is_empty() || !plain && whiteout::mark(target_name) != Mark::None {
            return Err(LayerError::refused(path, "it is a hard link to the root or to a whiteout"));
        }
        let target_parent = match in_root(self.root, target_parent, plain) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR) => {
                return Err(LayerError::refused(
                    path,
                    "it is a hard link to a file that this layer does not have",
                ));
            }
            Err(error) => return Err(LayerError::entry("look up the target of", path, error)),
        };
        let parent = self.parent(path)?;
        let before = destination::hard_link(target_parent.as_fd(), target_name, parent, split(path).1, path)?;
        self.replaced(before);
        Ok(())
    }

    fn special(&mut self, entry: &Entry, path: &[u8], metadata: &Metadata) -> Result<(), LayerError> {
        let options = self.options;
        let parent = self.parent(path)?;
        let name = split(path).1;
        let before = destination::special(parent, name, entry, path)?;
        metadata.set_at(parent, name, entry.kind, options, path)?;
        self.replaced(before);
        Ok(())
    }

    /// `.wh.NAME`: hides NAME in the layers below, never what this layer itself has, in whatever order the two
    /// come (image-spec, layer.md, "Whiteouts").
    fn removed(&mut self, path: &[u8], name: &[u8]) -> Result<(), LayerError> {
        let xattrs = self.options.xattrs;
        let parent = self.parent(path)?;
        let fail = |error| LayerError::entry("make the whiteout", path, error);
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => whiteout::make(parent, name).map_err(fail),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                let directory = in_root(parent, name, false).map_err(fail)?;
                whiteout::make_opaque(directory.as_fd(), xattrs).map_err(fail)
            }
            Ok(_) => Ok(()),
            Err(error) => Err(fail(error)),
        }
    }

    fn opaque(&mut self, path: &[u8]) -> Result<(), LayerError> {
        let xattrs = self.options.xattrs;
        let directory = self.parent(path)?;
        whiteout::make_opaque(directory, xattrs)
            .map_err(|error| LayerError::entry("make opaque", path, error))
    }

    /// Gives directories their metadata, what is inside before what it is in. One that another entry replaced
    /// by something else is none any more.
    fn finish(mut self) -> Result<Applied, LayerError> {
        self.parents.forget();
        let crossing = self.options.plain.is_some();
        for (path, metadata) in std::mem::take(&mut self.directories).into_iter().rev() {
            let directory = match in_root(self.root, &path, crossing) {
                Ok(directory) => directory,
                Err(Errno::NOTDIR | Errno::NOENT) => continue,
                Err(error) => return Err(LayerError::entry("open the directory", &path, error)),
            };
            metadata.set(directory.as_fd(), None, self.options, &path)?;
        }
        let is_directory = |path: &Vec<u8>| in_root(self.root, path, crossing).is_ok();
        self.applied.implied = self.implied.into_iter().filter(is_directory).collect();
        Ok(self.applied)
    }
}

/// Writes one stretch of content, as large as it comes: a small file is one system call.
fn write<R: BufRead>(
    reader: &mut Reader<R>,
    file: &mut std::fs::File,
    segment: &Segment,
    seek: bool,
    path: &[u8],
) -> Result<(), LayerError> {
    let fail = |error| LayerError::entry("write", path, error);
    if seek {
        std::io::Seek::seek(file, std::io::SeekFrom::Start(segment.offset)).map_err(fail)?;
    }
    let mut remaining = segment.length;
    while remaining > 0 {
        let content = reader.content()?;
        let count = content.len().min(usize::try_from(remaining).unwrap_or(usize::MAX));
        file.write_all(&content[..count]).map_err(fail)?;
        reader.consume(count);
        remaining -= count as u64;
    }
    Ok(())
}
