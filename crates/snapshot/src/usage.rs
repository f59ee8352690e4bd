//! What trees take on disk, counted as du counts.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, fstat, statat};
use rustix::io::Errno;

use crate::snapshots::Snapshot;
use crate::{Layer, Result, SnapshotError, Snapshots, tree};

/// What a tree takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes on disk: blocks, not lengths.
    pub bytes: u64,
    /// Files and directories; one with several names counts once.
    pub inodes: u64,
}

impl Snapshots {
    /// What everything below the root takes, records and directories included.
    pub fn usage(&self) -> Result<Usage> {
        let mut walk = Walk::default();
        walk.tree(self.directory.as_fd()).map_err(|error| SnapshotError::io("measure", &self.root, error))?;
        Ok(walk.usage)
    }

    /// What a layer's files take.
    pub fn layer_usage(&self, layer: &Layer) -> Result<Usage> {
        measure(&layer.path)
    }
}

impl Snapshot<'_> {
    /// What was written to the snapshot: with the overlay driver that alone, with the copy driver all files.
    pub fn usage(&self) -> Result<Usage> {
        measure(&self.path().join("fs"))
    }

    /// What the engine's own files in it take, where they have a directory of their own.
    pub fn init_usage(&self) -> Result<Usage> {
        measure(&self.init())
    }
}

fn measure(path: &std::path::Path) -> Result<Usage> {
    let mut walk = Walk::default();
    let measured = tree::open_root(path).and_then(|root| walk.tree(root.as_fd()));
    measured.map_err(|error| SnapshotError::io("measure", path, error))?;
    Ok(walk.usage)
}

#[derive(Default)]
struct Walk {
    usage: Usage,
    linked: HashSet<(u64, u64)>,
}

impl Walk {
    /// Counts a directory and all below it. What vanishes meanwhile or is mounted there counts nothing. One
    /// directory is open at a time, as what containers write may be nested to any depth.
    fn tree(&mut self, root: BorrowedFd<'_>) -> rustix::io::Result<()> {
        let mut pending = vec![b".".to_vec()];
        while let Some(path) = pending.pop() {
            match tree::open_directory(root, &path) {
                Ok(directory) => self.directory(directory.as_fd(), &path, &mut pending)?,
                Err(Errno::NOENT | Errno::XDEV | Errno::ACCESS | Errno::NAMETOOLONG) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn directory(
        &mut self,
        directory: BorrowedFd<'_>,
        path: &[u8],
        pending: &mut Vec<Vec<u8>>,
    ) -> rustix::io::Result<()> {
        self.count(fstat(directory)?.st_blocks as u64);
        for (name, _) in tree::list(directory)? {
            let stat = match statat(directory, &name[..], AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error),
            };
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                pending.push([path, b"/", &name].concat());
            } else if stat.st_nlink < 2 || self.linked.insert((stat.st_dev, stat.st_ino)) {
                self.count(stat.st_blocks as u64);
            }
        }
        Ok(())
    }

    fn count(&mut self, blocks: u64) {
        self.usage.bytes += blocks * 512;
        self.usage.inodes += 1;
    }
}
