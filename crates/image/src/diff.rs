//! What differs between the files of two images.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use oci::image::Digest;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::{Error, Image, Images, Result};

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Only the second image has it.
    Added,
    /// Both have it, with other content or attributes.
    Modified,
    /// Only the first image has it.
    Deleted,
}

/// One path that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// How.
    pub kind: ChangeKind,
    /// The path, from the image's root.
    pub path: PathBuf,
    /// Its size in the second image, or in the first where it is deleted.
    pub size: u64,
}

/// A view of an image, which goes when it is dropped.
struct View<'a> {
    images: &'a Images,
    key: String,
    mount: Option<std::os::fd::OwnedFd>,
}

impl Images {
    /// The paths that differ, sorted. A directory that only one image has is told alone, without what is in it.
    pub fn diff(&self, from: &Image, to: &Image) -> Result<Vec<Change>> {
        let (from, to) = (self.view(from)?, self.view(to)?);
        let mut changes = Vec::new();
        compare_directories(&from.root(), &to.root(), Path::new("/"), &mut changes)?;
        Ok(changes)
    }

    fn view(&self, image: &Image) -> Result<View<'_>> {
        let top: Option<Digest> = self.unpack(&image.manifest, &image.config)?;
        let mut random = [0; 8];
        getrandom(&mut random, GetRandomFlags::empty())
            .map_err(|error| Error::io("draw a name for", "a view", error.into()))?;
        let key = format!("view-{:016x}", u64::from_ne_bytes(random));
        let snapshot = self.view_of(&key, image, top.as_ref())?;
        let mut view = View { images: self, key, mount: None };
        view.mount = Some(snapshot.mount(None)?);
        Ok(view)
    }
}

impl View<'_> {
    /// The detached mount has no path but that of its descriptor.
    fn root(&self) -> PathBuf {
        let fd = self.mount.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        PathBuf::from(format!("/proc/self/fd/{fd}"))
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        drop(self.mount.take());
        // A view that stays behind takes no room, and `gc` tells of it.
        let _ = self.images.snapshots().remove(&self.key);
    }
}

fn compare_directories(from: &Path, to: &Path, shown: &Path, changes: &mut Vec<Change>) -> Result<()> {
    let (before, mut after) = (entries(from)?, entries(to)?);
    for (name, old) in before {
        let path = shown.join(&name);
        let Some(new) = after.remove(&name) else {
            changes.push(Change { kind: ChangeKind::Deleted, path, size: old.size() });
            continue;
        };
        let (from, to) = (from.join(&name), to.join(&name));
        if !is_same(&old, &new, &from, &to).map_err(|source| Error::io("compare", &path, source))? {
            changes.push(Change { kind: ChangeKind::Modified, path: path.clone(), size: new.size() });
        }
        if old.is_dir() && new.is_dir() {
            compare_directories(&from, &to, &path, changes)?;
        }
    }
    for (name, new) in after {
        changes.push(Change { kind: ChangeKind::Added, path: shown.join(name), size: new.size() });
    }
    if shown == Path::new("/") {
        changes.sort_by(|a, b| a.path.cmp(&b.path));
    }
    Ok(())
}

fn entries(directory: &Path) -> Result<BTreeMap<OsString, Metadata>> {
    let read = || -> io::Result<BTreeMap<OsString, Metadata>> {
        fs::read_dir(directory)?
            .map(|entry| {
                let entry = entry?;
                Ok((entry.file_name(), entry.metadata()?))
            })
            .collect()
    };
    read().map_err(|source| Error::io("list", directory, source))
}

/// Whether type, permissions, owner and content are the same; times alone make no difference.
fn is_same(old: &Metadata, new: &Metadata, from: &Path, to: &Path) -> io::Result<bool> {
    let attributes = |metadata: &Metadata| (metadata.mode(), metadata.uid(), metadata.gid(), metadata.rdev());
    if attributes(old) != attributes(new) {
        return Ok(false);
    }
    if old.is_symlink() {
        return Ok(fs::read_link(from)? == fs::read_link(to)?);
    }
    if !old.is_file() {
        return Ok(true);
    }
    if old.size() != new.size() {
        return Ok(false);
    }
    let time = |metadata: &Metadata| (metadata.mtime(), metadata.mtime_nsec());
    // A shared layer's file has the same time to the nanosecond: reading it twice would tell nothing.
    if time(old) == time(new) {
        return Ok(true);
    }
    is_same_content(File::open(from)?, File::open(to)?)
}

fn is_same_content(mut from: File, mut to: File) -> io::Result<bool> {
    let (mut a, mut b) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let read = from.read(&mut a)?;
        if read == 0 {
            return Ok(true);
        }
        to.read_exact(&mut b[..read])?;
        if a[..read] != b[..read] {
            return Ok(false);
        }
    }
}
