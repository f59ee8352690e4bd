//! An image's root file system, read-only, for looking.

use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};
use snapshot::SnapshotError;

use crate::{Error, Image, Images, Result};

impl Images {
    /// Mounts the image and returns where; one that is mounted stays as it is.
    pub fn mount(&self, image: &Image) -> Result<PathBuf> {
        let top = self.unpack(&image.manifest, &image.config)?;
        let key = mount_key(image);
        let snapshot = match self.view_of(&key, image, top.as_ref()) {
            Err(SnapshotError::Exists(_)) => self.snapshots().snapshot(&key)?,
            made => made?,
        };
        let merged = snapshot.layout()?.merged;
        if is_mount_point(&merged)? {
            return Ok(merged);
        }
        let mount = snapshot.mount(None)?;
        std::fs::create_dir_all(&merged).map_err(|source| Error::io("make", &merged, source))?;
        move_mount(mount.as_fd(), "", CWD, &merged, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(|error| Error::io("mount the image at", &merged, error.into()))?;
        Ok(merged)
    }

    /// Undoes [`Images::mount`]; false where the image was not mounted. A mount in use is an error.
    pub fn unmount(&self, image: &Image) -> Result<bool> {
        let key = mount_key(image);
        let merged = match self.snapshots().snapshot(&key) {
            Ok(snapshot) => snapshot.layout()?.merged,
            Err(SnapshotError::NoSnapshot(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if is_mount_point(&merged)? {
            unmount(&merged, UnmountFlags::NOFOLLOW)
                .map_err(|error| Error::io("unmount", &merged, error.into()))?;
        }
        self.snapshots().remove(&key)?;
        Ok(true)
    }

    /// The images that are mounted, with where.
    pub fn mounts(&self) -> Result<Vec<(Image, PathBuf)>> {
        let mut mounts = Vec::new();
        for entry in self.store().references()?.entries() {
            let Ok(image) = self.image(&entry.descriptor) else { continue };
            let Ok(snapshot) = self.snapshots().snapshot(&mount_key(&image)) else { continue };
            let merged = snapshot.layout()?.merged;
            let known = mounts.iter().any(|(_, path)| *path == merged);
            if !known && is_mount_point(&merged)? {
                mounts.push((image, merged));
            }
        }
        Ok(mounts)
    }
}

/// The key of the snapshot that an image is mounted through.
fn mount_key(image: &Image) -> String {
    format!("image-{}", image.id().hex())
}

fn is_mount_point(path: &std::path::Path) -> Result<bool> {
    use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, statx};
    match statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE) {
        Ok(found) => Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(Error::io("look at", path, error.into())),
    }
}
