//! What happens to layers while an image is on its way.

use oci::image::Digest;

/// The state of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerState {
    /// It is to come.
    Waiting,
    /// It is here already, or at the other side.
    Exists,
    /// So many bytes of it have arrived.
    Downloading {
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// It has arrived whole; what is left is to unpack it.
    Unpacking,
    /// It is done.
    Complete,
    /// So many bytes of it have been sent.
    Uploading {
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The registry took it from another repository of its own.
    Mounted,
}

/// Is told of layers as they proceed, from several threads.
pub trait Progress: Send + Sync {
    /// The layer `digest` came into `state`.
    fn layer(&self, digest: &Digest, state: LayerState);
}

/// Tells nobody.
pub struct Silent;

impl Progress for Silent {
    fn layer(&self, _: &Digest, _: LayerState) {}
}
