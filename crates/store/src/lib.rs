//! Content-addressed blobs on disk, in an OCI image layout that other tools can read.
//!
//! ```text
//! ROOT/oci-layout                 the layout's version
//! ROOT/index.json                 references: name (annotation) -> descriptor; replaced by rename
//! ROOT/blobs/sha256/<hex>         complete blobs, each named after it was hashed and synced
//! ROOT/ingest/<alg>-<hex>.partial what came so far of a blob; the writer holds its flock
//! ROOT/leases/<id>                blobs that a live process counts on; the process holds its flock
//! ROOT/discarded/<alg>-<hex>      empty: a layer's blob that was dropped on purpose
//! ROOT/trash/                     unlinked outside the lock
//! ROOT/lock                       see below
//! ```
//!
//! A SIGKILL at any instant leaves either the old or the new state: whatever has a name under `blobs/` or in
//! `index.json` is complete, and whatever has not is resumed (`ingest/`) or collected ([`Store::gc`]).
//!
//! `lock` is an flock held for milliseconds: shared to add a blob to a lease, exclusively to replace
//! `index.json` and to take unreachable blobs out of sight. Nobody downloads, hashes or deletes under it.
//! Lock order: a partial's flock before `lock`, never the other way around.

mod blob;
mod df;
mod durable;
mod error;
mod fsck;
mod gc;
mod ingest;
mod lease;
mod lock;
mod reach;
mod references;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::image::{Algorithm, Digest};

pub use blob::Blob;
pub use df::Usage;
pub use error::StoreError;
pub use fsck::Problem;
pub use gc::{Collected, GcOptions};
pub use ingest::{Follower, Ingest, Start};
pub use lease::Lease;
pub use reach::{Missing, Reachable};
pub use references::{Entry, References};

/// The result of the store's operations.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A store at a directory. Cheap to clone; any number of processes may use one directory.
#[derive(Clone, Debug)]
pub struct Store {
    root: Arc<Path>,
}

impl Store {
    /// Opens the store at `root`, making it if there is none.
    pub fn open(root: &Path) -> Result<Store> {
        let store = Store { root: root.into() };
        let layout = root.join("oci-layout");
        // Written last: where it is, all is.
        if !durable::exists(&layout)? || !durable::exists(&store.index_path())? {
            for directory in
                ["", "blobs", "blobs/sha256", "blobs/sha512", "ingest", "leases", "discarded", "trash"]
            {
                durable::make_directory(&root.join(directory))?;
            }
            let _lock = store.lock_exclusive()?;
            if !durable::exists(&store.index_path())? {
                references::write(&store, &References::default())?;
            }
            durable::replace(&layout, b"{\"imageLayoutVersion\":\"1.0.0\"}")?;
        }
        Ok(store)
    }

    /// The directory of the store.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the blob `digest` is, or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blobs(digest.algorithm()).join(digest.hex())
    }

    fn blobs(&self, algorithm: Algorithm) -> PathBuf {
        self.root.join("blobs").join(algorithm.name())
    }

    fn index_path(&self) -> PathBuf {
        self.root.join("index.json")
    }

    fn discarded_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("discarded").join(format!("{}-{}", digest.algorithm().name(), digest.hex()))
    }

    fn partial_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("ingest").join(format!("{}-{}.partial", digest.algorithm().name(), digest.hex()))
    }
}
