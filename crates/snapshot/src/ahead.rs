//! Layers that are applied before it is known what they stand on: an archive of images tells that at its end.

use std::io::{self, Read};
use std::os::fd::AsFd;

use oci::image::{Algorithm, Digest};

use crate::layer::{Applied, Expected, apply, inflate};
use crate::stage::Stage;
use crate::{Result, SnapshotError, Snapshots, UnpackOptions};

/// A layer in a stage of its own, which waits for its place in a chain. Dropped without one it is removed.
#[derive(Debug)]
pub struct Ahead {
    pub(crate) diff_id: Digest,
    pub(crate) bytes: u64,
    pub(crate) implied: Vec<Vec<u8>>,
    pub(crate) stage: Stage,
}

impl Ahead {
    /// The digest of its archive without its compression.
    pub fn diff_id(&self) -> &Digest {
        &self.diff_id
    }
}

impl Snapshots {
    /// Applies a layer's archive. `proved` is the digest of an uncompressed one, where the caller has just proved it: it is
    /// not hashed once more then.
    pub fn apply_ahead(
        &self,
        archive: impl Read + Send,
        proved: Option<Digest>,
        options: &UnpackOptions,
    ) -> Result<Ahead> {
        let limit = options.max_bytes.map_or_else(|| self.free_bytes(), Ok)?;
        let stage = self.stage()?;
        let root = stage.make_directory("fs", 0o755)?;
        let expected = proved.map_or(Expected::Nothing(Algorithm::Sha256), Expected::Proved);
        let applied = std::thread::scope(|scope| {
            let mut inflated = inflate(scope, archive, limit, expected)?;
            let Applied { bytes, implied, .. } =
                apply(&mut inflated, root.as_fd(), &options.apply).map_err(io::Error::other)?;
            Ok((inflated.digest(), bytes, implied))
        });
        let fail = |error: io::Error| SnapshotError::io("apply a layer in", stage.path(), error);
        let (diff_id, bytes, implied) = applied.map_err(fail)?;
        Ok(Ahead { diff_id, bytes, implied, stage })
    }
}
