//! `volume backup` and `restore`: a volume as a tar stream.

use std::io::{BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FlockOperation, Mode, OFlags};
use snapshot::layer::{ApplyOptions, Packing, Plain, XattrNamespace, apply, pack};

use super::{Content, NewVolume, Result, Volume, VolumeError, Volumes};

impl Volumes {
    /// Writes all files of a volume as a tar archive: owners, modes, times, extended attributes, links and holes with them.
    /// A container that writes meanwhile is not waited for.
    ///
    /// # Errors
    /// There is no such volume, its files are on a file system of its own, or `out` takes no more.
    pub fn backup(&self, name: &str, out: impl Write) -> Result<()> {
        let volume = self.get(name)?;
        let _held = self.hold()?;
        let directory = open(&volume)?;
        pack(directory.as_fd(), b".", b"", out, Packing::default())
            .map_err(|error| VolumeError::io("archive", volume.mountpoint(), error))
    }

    /// Unpacks a tar archive, compressed or not, into a volume, which is made where it is missing. Files that are there
    /// already are replaced, others stay. On an error a volume that was made for it is removed again.
    ///
    /// # Errors
    /// The archive is damaged, or leads out of the volume.
    pub fn restore(&self, name: &str, archive: impl Read + Send) -> Result<()> {
        let is_new = matches!(self.get(name), Err(VolumeError::NotFound(_)));
        let volume = self.create(&NewVolume { name: name.to_owned(), ..NewVolume::default() })?;
        let restored = {
            let _held = self.lock(FlockOperation::LockShared)?;
            restore_to(&volume, archive)
        };
        if restored.is_err() && is_new {
            let _lock = self.lock(FlockOperation::LockExclusive)?;
            self.discard(name)?;
        }
        restored
    }
}

fn restore_to(volume: &Volume, archive: impl Read + Send) -> Result<()> {
    let fail = |problem: String| VolumeError::Archive { name: volume.name.clone(), problem };
    let directory = open(volume)?;
    let stream = image::decompress(archive).map_err(|error| fail(format!("read the archive: {error}")))?;
    let stream = BufReader::with_capacity(256 << 10, stream);
    let options = ApplyOptions::for_this_process(XattrNamespace::Trusted);
    let options = ApplyOptions { plain: Some(Plain { owner: None, overwrite: true }), ..options };
    apply(stream, directory.as_fd(), &options)
        .map(drop)
        .map_err(|error| fail(format!("restore: {}", crate::attend::sentence(&error))))
}

fn open(volume: &Volume) -> Result<OwnedFd> {
    let Content::Directory(path) = volume.content() else {
        let problem = "its files are on a file system that only containers mount".to_owned();
        return Err(VolumeError::Archive { name: volume.name.clone(), problem });
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(&path, flags, Mode::empty()).map_err(|errno| VolumeError::io("open", path, errno))
}
