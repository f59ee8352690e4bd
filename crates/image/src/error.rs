//! Why something with an image failed.

use std::io;
use std::path::PathBuf;

use oci::image::DocumentError;
use oci::reference::ReferenceError;
use registry::config::ConfigError;
use registry::policy::PolicyError;
use snapshot::SnapshotError;
use snapshot::tar::TarError;
use store::StoreError;

/// Why something with an image failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry, or the way there.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A layer or a snapshot.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The signature policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The configuration of registries.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What was given is no image's name.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// There is no such image here.
    #[error("no such image: {0}")]
    NotFound(String),
    /// The start of an id fits several images.
    #[error("{prefix} is the start of several ids: {}", .ids.join(", "))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// Short ids of the images that it fits.
        ids: Vec<String>,
    },
    /// An index has no image for the platform.
    #[error("{image} has no image for {wanted}; it has {offered}")]
    NoPlatform {
        /// The image.
        image: String,
        /// What was asked for.
        wanted: String,
        /// What there is, comma separated.
        offered: String,
    },
    /// A document isn't what it should be.
    #[error("{what} is refused")]
    Document {
        /// Which one.
        what: String,
        /// Why.
        source: DocumentError,
    },
    /// An image can't be used as one.
    #[error("{image}: {reason}")]
    NotAnImage {
        /// Its name or digest.
        image: String,
        /// What is missing or contradictory.
        reason: String,
    },
    /// An archive is none, or one that leads out of its place.
    #[error("{archive}: {reason}")]
    Archive {
        /// Its path, or "standard input".
        archive: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An archive can't be read on.
    #[error("cannot load {archive}")]
    Tar {
        /// Its path, or "standard input".
        archive: String,
        /// Why.
        source: TarError,
    },
    /// A system call failed.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// An image is needed by a container, or has other names: Docker's words.
    #[error("conflict: {0}")]
    Conflict(String),
    /// An image can't be removed or replaced.
    #[error("{image} can't be replaced: {reason}")]
    InUse {
        /// What was given.
        image: String,
        /// Who uses it.
        reason: String,
    },
}

impl Error {
    /// `operation` on `path` failed with `source`.
    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Error {
        Error::Io { operation, path: path.into(), source }
    }
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;
