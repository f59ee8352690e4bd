//! From an image to a container's file system.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci::image::Digest;
use snapshot::{Snapshot, SnapshotError};

use crate::{Builtin, Error, Image, Images, Result};

/// How often a container's file system is begun anew because a layer went meanwhile.
const ATTEMPTS: usize = 3;

impl Images {
    /// Makes the file system `key` for a container of `image`, unpacking what is not unpacked yet. From then on the
    /// layers stay, whatever becomes of the image; until then a lease keeps them from being collected.
    pub fn prepare(&self, key: &str, image: &Image) -> Result<Snapshot<'_>> {
        if self.is_host(image) {
            return Ok(self.snapshots().prepare_host(key, &Images::hidden_of_host())?);
        }
        // The usual case, in which nothing but the snapshot's own directories is touched.
        match self.snapshots().prepare(key, image.config.chain_ids().last()) {
            Err(SnapshotError::NoLayer(_)) => {}
            made => return Ok(made?),
        }
        for _ in 1..ATTEMPTS {
            match self.prepare_unpacked(key, image) {
                // Removed between the finding of the image and the lease on it.
                Err(Error::Snapshot(SnapshotError::Unpack { .. } | SnapshotError::NoLayer(_)))
                    if self.is_builtin(image) =>
                {
                    self.builtin(Builtin::Hello)?;
                }
                Err(Error::Snapshot(SnapshotError::NoLayer(_))) => {}
                made => return made,
            }
        }
        self.prepare_unpacked(key, image)
    }

    /// What a container of `image` begins with: the directories of its layers, topmost first, and a read-only mount of
    /// them, detached. Nothing is made for it.
    ///
    /// # Errors
    /// Where the image is not unpacked.
    pub fn peek(&self, image: &Image) -> Result<(Vec<PathBuf>, OwnedFd)> {
        let peeked = match self.is_host(image) {
            true => self.snapshots().peek_host(),
            false => self.snapshots().peek(image.config.chain_ids().last()),
        };
        Ok(peeked?)
    }

    fn prepare_unpacked(&self, key: &str, image: &Image) -> Result<Snapshot<'_>> {
        let lease = self.store().lease()?;
        lease.claim(&image.target)?;
        lease.claim(&image.manifest_descriptor)?;
        let top = self.unpack(&image.manifest, &image.config)?;
        Ok(self.snapshots().prepare(key, top.as_ref())?)
    }

    /// Makes the read-only view `key` of `image`, whose topmost layer is `top`.
    pub(crate) fn view_of(
        &self,
        key: &str,
        image: &Image,
        top: Option<&Digest>,
    ) -> snapshot::Result<Snapshot<'_>> {
        match self.is_host(image) {
            true => self.snapshots().view_host(key),
            false => self.snapshots().view(key, top),
        }
    }
}
