//! Layers and snapshots: an image's layers become directories, and containers get file systems over them.
//!
//! ```text
//! ROOT/layers/<alg>-<hex>/     a committed layer, named by its chain id; never changes
//!        layer.json            its DiffID and its parent's chain id
//!        fs/                   what it adds, in overlay's form (see `layer`)
//! ROOT/snapshots/<key>/        the file system of one container, or a view of an image
//!        snapshot.json         driver, parent, kind
//!        fs/ work/ init/ merged/   what it changes, overlay's scratch, the engine's own files, the mount point
//! ROOT/stage/<random>/         on its way to one of the above; its maker holds its flock
//! ROOT/trash/                  on its way out
//! ROOT/lock                    flock: shared to build on a parent, exclusive to remove
//! ROOT/driver                  `overlay` or `copy`: what makes new snapshots
//! ```
//!
//! A name under `layers/` is given after everything in it was synced, and after its parent's: whoever finds
//! a layer finds all those below it. A snapshot is not synced: after a power cut it may be damaged, and says so.

mod ahead;
mod attributes;
mod changed;
mod changes;
mod commit;
mod copy;
mod driver;
mod error;
mod fsck;
mod host;
mod layers;
mod lock;
mod mount;
mod snapshots;
mod stage;
mod tree;
mod unpack;
mod usage;

pub mod layer;
pub mod tar;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci::image::Digest;
use rustix::fs::{Mode, OFlags};

pub use ahead::Ahead;
pub use changed::{Change, ChangedPath};
pub use copy::copy_directory;
pub use driver::Driver;
pub use error::SnapshotError;
pub use fsck::Problem;
pub use layers::Layer;
pub use mount::Layout;
pub use snapshots::{Kind, Snapshot};
pub use unpack::{LayerSource, UnpackOptions};
pub use usage::Usage;

/// The result of operations on snapshots.
pub type Result<T> = std::result::Result<T, SnapshotError>;

/// The layers and snapshots at a directory. Any number of processes may use one directory.
#[derive(Debug)]
pub struct Snapshots {
    root: PathBuf,
    directory: OwnedFd,
    driver: Driver,
}

impl Snapshots {
    /// Opens the snapshots at `root`, making the directory if there is none. New snapshots are made by
    /// `driver`; layers are the same for both.
    pub fn open_with(root: &Path, driver: Driver) -> Result<Snapshots> {
        // Made in this order: where the last one is, all are.
        if !root.join("trash").is_dir() {
            for name in ["layers", "snapshots", "stage", "trash"] {
                let path = root.join(name);
                std::fs::create_dir_all(&path)
                    .map_err(|error| SnapshotError::io("make directory", path, error))?;
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(root, flags, Mode::empty());
        let directory = directory.map_err(|error| SnapshotError::io("open", root, error))?;
        Ok(Snapshots { root: root.into(), directory, driver })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The driver of new snapshots.
    pub fn driver(&self) -> Driver {
        self.driver
    }

    fn layer_path(&self, chain_id: &Digest) -> PathBuf {
        self.root.join("layers").join(layers::name(chain_id))
    }

    fn snapshot_path(&self, key: &str) -> PathBuf {
        self.root.join("snapshots").join(key)
    }
}
