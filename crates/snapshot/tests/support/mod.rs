//! Layers made by hand, and trees as text.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use snapshot::layer::{Applied, ApplyOptions, Devices, LayerError, XattrNamespace, apply};
use snapshot::tar::{Entry, Kind, Time, Writer};

/// A member of a layer.
pub struct Member {
    pub entry: Entry,
    pub content: Vec<u8>,
}

fn member(kind: Kind, path: impl AsRef<[u8]>, link: &[u8], mode: u32) -> Member {
    let mtime = Time { seconds: 1_600_000_000, nanoseconds: 123_456_789 };
    let entry = Entry {
        path: path.as_ref().to_vec(),
        link: link.to_vec(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime,
        atime: None,
        device: (0, 0),
        size: 0,
        xattrs: Vec::new(),
        sparse: None,
    };
    Member { entry, content: Vec::new() }
}

pub fn file(path: impl AsRef<[u8]>, content: &str) -> Member {
    let mut member = member(Kind::File, path, b"", 0o644);
    member.entry.size = content.len() as u64;
    member.content = content.into();
    member
}

pub fn dir(path: impl AsRef<[u8]>) -> Member {
    member(Kind::Directory, path, b"", 0o755)
}

pub fn symlink(path: impl AsRef<[u8]>, target: &str) -> Member {
    member(Kind::Symlink, path, target.as_bytes(), 0o777)
}

pub fn hard(path: impl AsRef<[u8]>, target: &str) -> Member {
    member(Kind::HardLink, path, target.as_bytes(), 0o644)
}

pub fn device(path: impl AsRef<[u8]>, major: u32, minor: u32) -> Member {
    let mut member = member(Kind::Character, path, b"", 0o666);
    member.entry.device = (major, minor);
    member
}

pub fn fifo(path: impl AsRef<[u8]>) -> Member {
    member(Kind::Fifo, path, b"", 0o600)
}

/// The layer's archive.
pub fn layer(members: &[Member]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for member in members {
        writer.entry(&member.entry).unwrap();
        writer.content(&member.content).unwrap();
    }
    writer.finish().unwrap()
}

/// An empty root with a canary beside it, which no layer may touch.
pub struct Cage {
    pub directory: tempfile::TempDir,
}

pub fn options() -> ApplyOptions {
    ApplyOptions { devices: Devices::Make, ..ApplyOptions::for_this_process(XattrNamespace::Trusted) }
}

impl Cage {
    pub fn new() -> Cage {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("root")).unwrap();
        std::fs::create_dir(directory.path().join("outside")).unwrap();
        std::fs::write(directory.path().join("outside/canary"), "alive").unwrap();
        Cage { directory }
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    pub fn outside(&self) -> BTreeMap<PathBuf, String> {
        tree(&self.directory.path().join("outside"))
    }

    /// Applies an archive and proves that the canary is as it was.
    pub fn apply_bytes(&self, archive: &[u8], options: &ApplyOptions) -> Result<Applied, LayerError> {
        let before = self.outside();
        let root = std::fs::File::open(self.root()).unwrap();
        let result = apply(archive, root.as_fd(), options);
        assert_eq!(self.outside(), before, "the layer got out");
        result
    }

    pub fn apply(&self, members: &[Member]) -> Result<Applied, LayerError> {
        self.apply_bytes(&layer(members), &options())
    }

    pub fn tree(&self) -> BTreeMap<PathBuf, String> {
        tree(&self.root())
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root().join(path)).unwrap()
    }
}

/// The message of an error with its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Everything that a tree holds, by path, as text. Inodes count by which names share one.
pub fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut links: BTreeMap<u64, PathBuf> = BTreeMap::new();
    walk(root, Path::new(""), &mut links, &mut found);
    found
}

fn walk(root: &Path, path: &Path, links: &mut BTreeMap<u64, PathBuf>, found: &mut BTreeMap<PathBuf, String>) {
    let full = root.join(path);
    let stat = std::fs::symlink_metadata(&full).unwrap();
    let kind = stat.file_type();
    let mut text =
        format!("{:o} {}:{} {}.{:09}", stat.mode(), stat.uid(), stat.gid(), stat.mtime(), stat.mtime_nsec());
    if kind.is_file() {
        let content = std::fs::read(&full).unwrap();
        let hash = oci::image::Digest::sha256(&content);
        text += &format!(" {} {}", stat.size(), hash.short());
    } else if kind.is_symlink() {
        text += &format!(" -> {:?}", std::fs::read_link(&full).unwrap());
    } else if kind.is_char_device() || kind.is_block_device() {
        text += &format!(" device {}", stat.rdev());
    }
    if stat.nlink() > 1 && !kind.is_dir() {
        let first = links.entry(stat.ino()).or_insert_with(|| path.into());
        text += &format!(" = {}", first.display());
    }
    for (name, value) in xattrs(&full) {
        text += &format!(" {name}={value:?}");
    }
    found.insert(path.into(), text);
    if kind.is_dir() {
        let mut names: Vec<_> =
            std::fs::read_dir(&full).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            walk(root, &path.join(name), links, found);
        }
    }
}

/// The extended attributes of a file, not of what it links to.
pub fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0u8; 1 << 16];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap();
    let mut found = Vec::new();
    for name in names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0u8; 1 << 16];
        let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value).unwrap();
        found.push((String::from_utf8_lossy(name).into_owned(), value[..length].to_vec()));
    }
    found.sort();
    found
}
