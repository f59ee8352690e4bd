//! From a directory in overlay's form to a layer's archive: the inverse of applying. The same directory gives the
//! same bytes.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Stat, fstat, major, minor, readlinkat, statat};
use rustix::io::Errno;

use super::whiteout::{is_opaque, is_whiteout};
use crate::tar::{Entry, Kind, Segment, Time, Writer};
use crate::{attributes, tree};

/// Holes of fewer bytes than these together are written as zeros, which every reader understands.
const WORTHWHILE_HOLES: u64 = 1 << 20;

/// Writes what `directory` holds as a layer. Sockets are left out: no archive can hold them.
pub fn diff(directory: BorrowedFd<'_>, out: impl Write) -> io::Result<()> {
    diff_without(directory, &BTreeSet::new(), out)
}

/// The same, but for the paths `without`.
pub fn diff_without(
    directory: BorrowedFd<'_>,
    without: &BTreeSet<Vec<u8>>,
    out: impl Write,
) -> io::Result<()> {
    let mut diff = Diff { without: without.clone(), ..Diff::new(out, None) };
    diff.directory(directory, b"")?;
    diff.writer.finish()?.flush()
}

/// How files are packed that are no layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packing<'a> {
    /// With what is mounted in directories.
    pub mounts: bool,
    /// The owner of all files in the archive.
    pub owner: Option<(u32, u32)>,
    /// Whom owners are in the archive, after that.
    pub ids: Option<IdRanges<'a>>,
}

/// Ranges of ids: the first on one side, the first on the other, and how many. Ids in none stay as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdRanges<'a> {
    /// Of users.
    pub uids: &'a [(u32, u32, u32)],
    /// Of groups.
    pub gids: &'a [(u32, u32, u32)],
}

fn mapped(ranges: &[(u32, u32, u32)], id: u32) -> u32 {
    let target = |&(from, to, count): &(u32, u32, u32)| {
        id.checked_sub(from).filter(|at| *at < count).and_then(|at| to.checked_add(at))
    };
    ranges.iter().find_map(target).unwrap_or(id)
}

/// Writes the file `name` in `parent`, a directory with all in it, as an ordinary archive whose names begin with `shown`.
/// Links are packed, not followed; sockets are left out. With an empty `shown`, what is in the directory is packed alone.
///
/// # Errors
/// Those of the system calls and of `out`.
pub fn pack(
    parent: BorrowedFd<'_>,
    name: &[u8],
    shown: &[u8],
    out: impl Write,
    packing: Packing<'_>,
) -> io::Result<()> {
    let mut diff = Diff::new(out, Some(packing));
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match shown.is_empty() {
        true => diff.directory(tree::open_directory_in(parent, name, packing.mounts)?.as_fd(), b"")?,
        false => diff.any(parent, name, shown.to_vec(), &stat)?,
    }
    diff.writer.finish()?.flush()
}

struct Diff<'a, W> {
    writer: Writer<W>,
    /// Set for what is no layer.
    packing: Option<Packing<'a>>,
    /// Paths that are left out, with all below them.
    without: BTreeSet<Vec<u8>>,
    /// Files with several names, by device and inode, and the name that was written first.
    linked: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
}

impl<'a, W: Write> Diff<'a, W> {
    fn new(out: W, packing: Option<Packing<'a>>) -> Diff<'a, W> {
        let (writer, buffer) = (Writer::new(out), vec![0; 256 << 10]);
        Diff { writer, packing, without: BTreeSet::new(), linked: HashMap::new(), buffer }
    }

    fn directory(&mut self, directory: BorrowedFd<'_>, path: &[u8]) -> io::Result<()> {
        let mut names = tree::list(directory)?;
        names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        if self.packing.is_none() && !path.is_empty() && is_opaque(directory)? {
            self.writer.entry(&mark(join(path, b".wh..wh..opq")))?;
        }
        for (name, _) in names {
            let stat = match statat(directory, &name[..], AtFlags::SYMLINK_NOFOLLOW) {
                // Others may be at work there.
                Err(Errno::NOENT) if self.packing.is_some() => continue,
                other => other?,
            };
            if self.packing.is_none() && is_whiteout(&stat) {
                self.writer.entry(&mark(join(path, &[b".wh.", &name[..]].concat())))?;
                continue;
            }
            let path = join(path, &name);
            if !self.without.contains(&path) {
                self.any(directory, &name, path, &stat)?;
            }
        }
        Ok(())
    }

    fn any(&mut self, parent: BorrowedFd<'_>, name: &[u8], path: Vec<u8>, stat: &Stat) -> io::Result<()> {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Socket => Ok(()),
            FileType::Directory => {
                let mounts = self.packing.is_some_and(|packing| packing.mounts);
                let below = match tree::open_directory_in(parent, name, mounts) {
                    Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::XDEV)
                        if self.packing.is_some() =>
                    {
                        return Ok(());
                    }
                    other => other?,
                };
                let mut entry = self.described([&path[..], b"/"].concat(), Kind::Directory, stat);
                entry.xattrs = attributes::xattrs(below.as_fd())?;
                self.writer.entry(&entry)?;
                self.directory(below.as_fd(), &path)
            }
            kind => self.leaf(parent, name, path, kind, stat),
        }
    }

    fn described(&self, path: Vec<u8>, kind: Kind, stat: &Stat) -> Entry {
        let mut entry = described(path, kind, stat);
        if let Some((uid, gid)) = self.packing.and_then(|packing| packing.owner) {
            (entry.uid, entry.gid) = (uid, gid);
        }
        if let Some(ids) = self.packing.and_then(|packing| packing.ids) {
            (entry.uid, entry.gid) = (mapped(ids.uids, entry.uid), mapped(ids.gids, entry.gid));
        }
        entry
    }

    fn leaf(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: Vec<u8>,
        kind: FileType,
        stat: &Stat,
    ) -> io::Result<()> {
        if stat.st_nlink > 1 {
            let inode = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.linked.get(&inode) {
                return self
                    .writer
                    .entry(&Entry { link: first.clone(), ..self.described(path, Kind::HardLink, stat) });
            }
            self.linked.insert(inode, path.clone());
        }
        match kind {
            FileType::RegularFile => self.file(parent, name, path),
            FileType::Symlink => {
                let link = readlinkat(parent, name, Vec::new())?.into_bytes();
                self.writer.entry(&Entry { link, ..self.described(path, Kind::Symlink, stat) })
            }
            FileType::CharacterDevice => self.writer.entry(&self.described(path, Kind::Character, stat)),
            FileType::BlockDevice => self.writer.entry(&self.described(path, Kind::Block, stat)),
            _ => self.writer.entry(&self.described(path, Kind::Fifo, stat)),
        }
    }

    fn file(&mut self, parent: BorrowedFd<'_>, name: &[u8], path: Vec<u8>) -> io::Result<()> {
        let opened = match self.packing {
            None => tree::open_file(parent, name),
            Some(_) => match tree::open_regular(parent, name) {
                // It was exchanged or removed since it was looked at.
                Err(Errno::NOENT | Errno::LOOP | Errno::INVAL) => return Ok(()),
                other => other,
            },
        };
        let mut file = std::fs::File::from(opened?);
        let stat = fstat(&file)?;
        let mut entry = self.described(path, Kind::File, &stat);
        entry.size = stat.st_size as u64;
        entry.xattrs = attributes::xattrs(file.as_fd())?;
        let segments = tree::segments(file.as_fd(), entry.size)?;
        let stored: u64 = segments.iter().map(|segment| segment.length).sum();
        io::Seek::rewind(&mut file)?;
        if entry.size - stored < WORTHWHILE_HOLES {
            self.writer.entry(&entry)?;
            return self.content(&mut file, entry.size);
        }
        // GNU tar takes the end of the last part for the end of the file, so a hole there needs an empty part.
        let end = Segment { offset: entry.size, length: 0 };
        entry.sparse = Some(segments.iter().copied().chain([end]).collect());
        self.writer.entry(&entry)?;
        for segment in segments {
            io::Seek::seek(&mut file, io::SeekFrom::Start(segment.offset))?;
            self.content(&mut file, segment.length)?;
        }
        Ok(())
    }

    fn content(&mut self, file: &mut std::fs::File, length: u64) -> io::Result<()> {
        let mut remaining = length;
        while remaining > 0 {
            let wanted = self.buffer.len().min(usize::try_from(remaining).unwrap_or(usize::MAX));
            let read = file.read(&mut self.buffer[..wanted])?;
            if read == 0 {
                if self.packing.is_none() {
                    let shrank = "a file shrank while it was read";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, shrank));
                }
                // A running container writes when it likes: the rest is zeros, as with tar(1).
                self.buffer.fill(0);
                self.writer.content(&self.buffer[..wanted])?;
                remaining -= wanted as u64;
                continue;
            }
            self.writer.content(&self.buffer[..read])?;
            remaining -= read as u64;
        }
        Ok(())
    }
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

/// A whiteout's entry: an empty file of no time, as when it was made means nothing.
fn mark(path: Vec<u8>) -> Entry {
    plain(path, Kind::File)
}

fn described(path: Vec<u8>, kind: Kind, stat: &Stat) -> Entry {
    let is_device = matches!(kind, Kind::Character | Kind::Block);
    Entry {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as i64 },
        device: if is_device { (major(stat.st_rdev), minor(stat.st_rdev)) } else { (0, 0) },
        ..plain(path, kind)
    }
}

fn plain(path: Vec<u8>, kind: Kind) -> Entry {
    Entry {
        path,
        link: Vec::new(),
        kind,
        mode: 0,
        uid: 0,
        gid: 0,
        mtime: Time::default(),
        atime: None,
        device: (0, 0),
        size: 0,
        xattrs: Vec::new(),
        sparse: None,
    }
}
