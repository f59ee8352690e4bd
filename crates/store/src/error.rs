//! What can go wrong in a store.

use std::io;
use std::path::PathBuf;

use oci::image::{Digest, DocumentError};

/// Why an operation on the store failed. The store itself stays usable.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A system call failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file system has no room left.
    #[error("cannot {operation} {}: the file system is full; `berth gc` and `berth image prune` make room", path.display())]
    Full {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// ENOSPC or EDQUOT.
        source: io::Error,
    },
    /// Content is not what its name says.
    #[error("content of {expected} has the digest {actual}")]
    WrongDigest {
        /// What it should be.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// Content is shorter or longer than its descriptor says.
    #[error("content of {digest} should have {expected} bytes, but has {}{actual}", if *more { "more than " } else { "" })]
    WrongSize {
        /// Which blob.
        digest: Digest,
        /// What the descriptor says.
        expected: u64,
        /// What came.
        actual: u64,
        /// Whether more would have come.
        more: bool,
    },
    /// A blob that is needed is not there.
    #[error("blob {0} is not in the store; `berth fsck --repair` fetches what is missing")]
    Missing(Digest),
    /// A blob is larger than a document may be.
    #[error("blob {digest} has {size} bytes, more than the {limit} that are read of a document")]
    TooLarge {
        /// Which blob.
        digest: Digest,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A document in the store cannot be read.
    #[error("blob {digest} is not a usable document")]
    Document {
        /// Which blob.
        digest: Digest,
        /// Why.
        source: DocumentError,
    },
    /// `index.json` cannot be read.
    #[error("{} is damaged; `berth fsck --repair` moves it aside", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl StoreError {
    /// `operation` on `path` failed with `source`.
    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> StoreError {
        let (path, source) = (path.into(), source.into());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::Full { operation, path, source }
            }
            _ => StoreError::Io { operation, path, source },
        }
    }
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> io::Error {
        let kind = match &error {
            StoreError::Io { source, .. } | StoreError::Full { source, .. } => source.kind(),
            StoreError::Missing(_) => io::ErrorKind::NotFound,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}
