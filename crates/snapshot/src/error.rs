//! What can go wrong with snapshots.

use std::io;
use std::path::PathBuf;

use oci::image::Digest;

use crate::layer::LayerError;

/// Why an operation on layers or snapshots failed.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A system call failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A layer could not be unpacked.
    #[error("cannot unpack layer {diff_id}")]
    Unpack {
        /// Which one.
        diff_id: Digest,
        /// Why.
        #[source]
        source: Box<LayerError>,
    },
    /// A layer is needed that is not there.
    #[error("layer {0} is not unpacked; pull its image again")]
    NoLayer(Digest),
    /// There is no such snapshot.
    #[error("there is no snapshot {0:?}")]
    NoSnapshot(String),
    /// The key is taken.
    #[error("snapshot {0:?} exists already")]
    Exists(String),
    /// A key that cannot be a file's name.
    #[error(
        "snapshot key {0:?} is malformed: expected up to 200 of A-Z a-z 0-9 _ . -, starting with a letter or digit"
    )]
    Key(String),
    /// Something is built on it.
    #[error("{what} is in use by {user}")]
    InUse {
        /// What should go.
        what: String,
        /// What needs it.
        user: String,
    },
    /// A record cannot be read, perhaps after a power cut.
    #[error("{} is damaged; remove the snapshot or layer and make it again", path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The host's root can only be shown through overlay, as copying a whole host is nobody's wish.
    #[error("the image of the host's own root needs overlay, which this host lacks")]
    HostNeedsOverlay,
    /// The mounts of the host's that a user namespace sees are locked together: no layer can be made of one of them.
    #[error(
        "the image of the host's own root is root's alone: the kernel makes no layer of it for an ordinary user; \
             make an image with berth import, or pull one"
    )]
    HostNeedsRoot,
    /// Ids can't be mapped there.
    #[error(
        "this kernel can't id-map the file system of {}, which a user namespace needs: keep berth's root on ext4, xfs or btrfs, \
         or run without --userns", .0.display()
    )]
    NoIdMap(PathBuf),
    /// More layers than an old kernel can be told of.
    #[error(
        "{0} layers in one file system need Linux 6.8, or the copying driver: write `copy` to the file `driver` beside the layers"
    )]
    TooManyLayers(usize),
    /// What stands on the host's root can't become a layer.
    #[error("snapshot {0:?} stands on the host's own root, which is no image's layer: it can't be committed")]
    OverHost(String),
    /// The operation needs a snapshot that can be written to.
    #[error("snapshot {0:?} is a view, which has no changes")]
    View(String),
}

impl SnapshotError {
    /// `operation` on `path` failed with `source`.
    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> SnapshotError {
        SnapshotError::Io { operation, path: path.into(), source: source.into() }
    }
}
