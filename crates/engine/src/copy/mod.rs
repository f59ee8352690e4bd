//! `cp`: files into and out of containers, running or not, by an archive that one thread packs and another unpacks.

mod file;
mod path;
mod root;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use oci::spec::IdMapping;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use snapshot::layer::{ApplyOptions, IdRanges, LayerError, Packing, Plain, XattrNamespace, apply, pack};

use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};

use crate::mounts::Ids;
use file::{File, follow, look};
use path::{Named, Target, There, target};
use root::in_root;

pub use path::Side;
pub(crate) use root::tree_of_process;

/// Flags of `cp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// Owners are those of the source (`--archive`); else root's in a container, and the caller's on the host.
    pub archive: bool,
    /// A link that is the source is followed (`--follow-link`).
    pub follow_link: bool,
}

/// What the API tells of a path in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathStat {
    /// Its name.
    pub name: String,
    /// Its size.
    pub size: u64,
    /// The mode of stat(2).
    pub mode: u32,
    /// Seconds and nanoseconds since 1970.
    pub mtime: (i64, i64),
    /// Where a link leads.
    pub link_target: String,
}

impl Engine {
    /// Copies from a container to a path of the host. Gives the size of the archive.
    ///
    /// # Errors
    /// What is missing, or does not go together, in Docker's words.
    pub fn copy_from(
        &self,
        container: &Container,
        from: &str,
        to: &Path,
        options: CopyOptions,
    ) -> Result<u64> {
        let from = Named::in_container(from);
        let to = Named::of(&to.to_string_lossy());
        self.with_root(container, |root, ids| {
            let source = find(root, &from, options.follow_link, &container.name)?;
            let (parent, name) = to.split();
            let there = look(CWD, to.path.as_os_str().as_bytes(), AtFlags::empty())
                .map_err(|errno| Error::io("stat", &to.path, errno))?;
            let way =
                target(source.is_directory(), &to, there).map_err(|problem| refused(&to.path, problem))?;
            let (directory, shown) = match way {
                Target::Within => (to.path.clone(), source.shown(&from)),
                Target::As => (parent, name),
            };
            let directory = open_directory(CWD, &directory)?;
            let keep_owner = options.archive && rustix::process::geteuid().is_root();
            let into = Unpacking { directory: directory.as_fd(), keep_owner, ids: None };
            let ids = ids.map(Shift::inward);
            let packing = Packing { mounts: true, owner: None, ids: ids.as_ref().map(Shift::ranges) };
            transfer(&source, &shown, packing, into)
        })
    }

    /// Packs a path of a container as a tar archive, under its own name.
    ///
    /// # Errors
    /// There is no such path, or `out` takes no more.
    pub fn archive_of(
        &self,
        container: &Container,
        from: &str,
        follow_link: bool,
        out: impl Write + Send,
    ) -> Result<()> {
        let from = Named::in_container(from);
        self.with_root(container, |root, ids| {
            let source = find(root, &from, follow_link, &container.name)?;
            let shown = source.shown(&from);
            let ids = ids.map(Shift::inward);
            let packing = Packing { mounts: true, owner: None, ids: ids.as_ref().map(Shift::ranges) };
            pack(source.parent.as_fd(), &source.name, &shown, out, packing)
                .map_err(|error| Error::io("archive", &from.path, error))
        })
    }

    /// Copies a path of the host into a container. Gives the size of the archive.
    ///
    /// # Errors
    /// What is missing, or does not go together, in Docker's words.
    pub fn copy_to(&self, container: &Container, from: &Path, to: &str, options: CopyOptions) -> Result<u64> {
        let from = Named::of(&from.to_string_lossy());
        let to = Named::in_container(to);
        let (parent, name) = from.split();
        let parent = open_directory(CWD, &parent)?;
        let mut source = File::at(parent, name).map_err(|errno| Error::io("stat", &from.path, errno))?;
        if source.is_link() && (options.follow_link || from.is_directory) {
            let whole =
                std::fs::canonicalize(&from.path).map_err(|error| Error::io("follow", &from.path, error))?;
            let (parent, name) = Named::of(&whole.to_string_lossy()).split();
            let found = File::at(open_directory(CWD, &parent)?, name);
            let shown = source.name.clone();
            source = File { shown: Some(shown), ..found.map_err(|errno| Error::io("stat", &whole, errno))? };
        }
        if from.is_directory && !source.is_directory() {
            return Err(refused(&from.path, "not a directory"));
        }
        self.with_root(container, |root, ids| {
            let place = Place::find(root, &to, &container.name)?;
            let way = target(source.is_directory(), &to, place.there)
                .map_err(|problem| refused(&to.path, problem))?;
            let (directory, shown) = match way {
                Target::Within => (place.directory()?, source.shown(&from)),
                Target::As => (place.parent, place.name),
            };
            let owner = (!options.archive).then_some((0, 0));
            let into = Unpacking { directory: directory.as_fd(), keep_owner: true, ids };
            let ids = ids.map(Shift::outward);
            let packing = Packing { mounts: true, owner, ids: ids.as_ref().map(Shift::ranges) };
            transfer(&source, &shown, packing, into)
        })
    }

    /// Unpacks a tar archive, compressed or not, in a directory of a container.
    ///
    /// # Errors
    /// The directory is none, or the archive is damaged or leads out of it.
    pub fn extract_to(
        &self,
        container: &Container,
        to: &str,
        archive: impl Read + Send,
        overwrite: bool,
    ) -> Result<()> {
        let to = Named::in_container(to);
        self.with_root(container, |root, ids| {
            if ids.is_some() {
                let name = &container.name;
                return Err(Error::Conflict(format!(
                    "cannot unpack an archive in container {name} while it runs, for it has a user namespace of its own: \
                     stop it first, or copy files"
                )));
            }
            let place = Place::find(root, &to, &container.name)?;
            if place.there != There::Directory {
                let text =
                    format!("destination \"{}:{}\" must be a directory", container.name, to.path.display());
                return Err(Error::Invalid(text));
            }
            let directory = place.directory()?;
            let plain = Plain { owner: None, overwrite };
            let stream =
                image::decompress(archive).map_err(|error| Error::io("read", "the archive", error))?;
            unpack(BufReader::with_capacity(256 << 10, stream), directory.as_fd(), true, plain)
                .map_err(|error| failed(&error))
        })
    }

    /// What is at a path of a container; a link is not followed.
    ///
    /// # Errors
    /// There is nothing.
    pub fn stat_path(&self, container: &Container, path: &str) -> Result<PathStat> {
        let path = Named::in_container(path);
        self.with_root(container, |root, _| Ok(find(root, &path, false, &container.name)?.stat(&path)))
    }

    /// Packs a container's own file system, without volumes and other mounts.
    ///
    /// # Errors
    /// It can't be mounted, or `out` takes no more.
    pub fn export(&self, container: &Container, out: impl Write) -> Result<()> {
        let (root, ids) = self.bare_root(container)?;
        let ids = ids.map(Shift::inward);
        let packing = Packing { ids: ids.as_ref().map(Shift::ranges), ..Packing::default() };
        pack(root.as_fd(), b".", b"", out, packing)
            .map_err(|error| Error::io("archive the root of", &container.name, error))
    }
}

/// A place in a container to copy to.
struct Place {
    parent: OwnedFd,
    name: Vec<u8>,
    there: There,
}

impl Place {
    fn find(root: BorrowedFd<'_>, to: &Named, container: &str) -> Result<Place> {
        let missing = || no_such_file(&to.path, container);
        // A link is what it leads to, whether that is there or not.
        let (directory, name) = follow(root, &to.path).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR => missing(),
            errno => Error::io("open", &to.path, errno),
        })?;
        let parent = in_root(root, &directory, OFlags::PATH | OFlags::DIRECTORY).map_err(|_| missing())?;
        let there = look(parent.as_fd(), &name, AtFlags::SYMLINK_NOFOLLOW);
        let there = there.map_err(|errno| Error::io("stat", &to.path, errno))?;
        Ok(Place { parent, name, there })
    }

    fn directory(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.parent, &self.name[..], flags, Mode::empty());
        opened.map_err(|errno| Error::io("open", String::from_utf8_lossy(&self.name).into_owned(), errno))
    }
}

/// Finds a source in a container.
fn find(root: BorrowedFd<'_>, from: &Named, follow_link: bool, container: &str) -> Result<File> {
    let fail = |errno| match errno {
        Errno::NOENT | Errno::NOTDIR => no_such_file(&from.path, container),
        errno => Error::io("open", &from.path, errno),
    };
    let at = |directory: &Path, name: Vec<u8>| {
        File::at(in_root(root, directory, OFlags::PATH | OFlags::DIRECTORY)?, name)
    };
    let (directory, name) = from.split();
    let mut file = at(&directory, name).map_err(fail)?;
    if file.is_link() && (follow_link || from.is_directory) {
        let shown = file.name.clone();
        let (directory, name) = follow(root, &from.path).map_err(fail)?;
        file = File { shown: Some(shown), ..at(&directory, name).map_err(fail)? };
    }
    match from.is_directory && !file.is_directory() {
        true => Err(refused(&from.path, "not a directory")),
        false => Ok(file),
    }
}

fn no_such_file(path: &Path, container: &str) -> Error {
    Error::NotFound(format!("Could not find the file {} in container {container}", path.display()))
}

fn refused(path: &Path, problem: &str) -> Error {
    Error::Invalid(format!("copy to {}: {problem}", path.display()))
}

fn failed(error: &LayerError) -> Error {
    Error::Invalid(format!("unpack the archive: {}", crate::attend::sentence(error)))
}

fn open_directory(at: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(at, path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT => Error::NotFound(format!("no such directory: {}", path.display())),
        errno => Error::io("open", path, errno),
    })
}

/// How the owners of a running container's files, which are those of its user namespace, are told.
struct Shift {
    uids: Vec<(u32, u32, u32)>,
    gids: Vec<(u32, u32, u32)>,
}

impl Shift {
    /// As the container sees them.
    fn inward(ids: &Ids) -> Shift {
        let map =
            |map: &[IdMapping]| map.iter().map(|one| (one.host_id, one.container_id, one.size)).collect();
        Shift { uids: map(&ids.uids), gids: map(&ids.gids) }
    }

    /// As they are on the host.
    fn outward(ids: &Ids) -> Shift {
        let map =
            |map: &[IdMapping]| map.iter().map(|one| (one.container_id, one.host_id, one.size)).collect();
        Shift { uids: map(&ids.uids), gids: map(&ids.gids) }
    }

    fn ranges(&self) -> IdRanges<'_> {
        IdRanges { uids: &self.uids, gids: &self.gids }
    }
}

/// Where and how an archive is unpacked.
struct Unpacking<'a> {
    directory: BorrowedFd<'a>,
    keep_owner: bool,
    /// It belongs to a user namespace with these maps.
    ids: Option<&'a Ids>,
}

fn unpack(
    archive: impl BufRead,
    directory: BorrowedFd<'_>,
    keep_owner: bool,
    plain: Plain,
) -> std::result::Result<(), LayerError> {
    let options = ApplyOptions::for_this_process(XattrNamespace::Trusted);
    apply(archive, directory, &ApplyOptions { plain: Some(plain), keep_owner, ..options }).map(drop)
}

/// Packs and unpacks at once.
fn transfer(source: &File, shown: &[u8], packing: Packing<'_>, into: Unpacking<'_>) -> Result<u64> {
    let (reader, writer) = io::pipe().map_err(|error| Error::io("make", "a pipe", error))?;
    let plain = Plain::default();
    std::thread::scope(|scope| {
        let packing = move || {
            let mut counted = Counted { out: writer, bytes: 0 };
            pack(source.parent.as_fd(), &source.name, shown, &mut counted, packing).map(|()| counted.bytes)
        };
        let packing = std::thread::Builder::new().spawn_scoped(scope, packing);
        let packing = packing.map_err(|error| Error::io("make", "a thread", error))?;
        let reader = BufReader::with_capacity(256 << 10, reader);
        let unpacking = || unpack(reader, into.directory, into.keep_owner, plain);
        let unpacked = match into.ids.map(|ids| ids.outside(0, 0)) {
            // Whoever has no id in there can make nothing.
            Some((uid, gid)) => sys::fsid::with_fs_ids(uid, gid, unpacking)
                .map_err(|error| Error::io("act as", "the container's root", error))?,
            None => unpacking(),
        };
        let packed = packing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // Who unpacks closes the pipe on an error of its own: that of the other end says nothing then.
        unpacked.map_err(|error| failed(&error))?;
        packed
            .map_err(|error| Error::io("archive", String::from_utf8_lossy(&source.name).into_owned(), error))
    })
}

struct Counted<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
