//! Why a layer is refused or could not be written.

use std::io;

use oci::image::Digest;

use crate::tar::TarError;

/// Why a layer is refused or could not be written. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The archive cannot be read.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// An entry that no layer may have.
    #[error("the layer's entry {path:?} is refused: {why}")]
    Refused {
        /// Its name, as far as it can be shown.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A system call failed on an entry.
    #[error("cannot {operation} the layer's {path:?}")]
    Entry {
        /// What was tried.
        operation: &'static str,
        /// On which entry.
        path: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The layer is larger than allowed.
    #[error("the layer unpacks to more than {limit} bytes, the limit set by free space or by the caller")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The layer has more entries than allowed.
    #[error("the layer has more than {limit} entries")]
    TooManyEntries {
        /// The limit.
        limit: u64,
    },
    /// The content is not what the image's configuration says.
    #[error("the layer's content has the DiffID {actual}, but the image's configuration says {expected}")]
    WrongDiffId {
        /// As configured.
        expected: Digest,
        /// As unpacked.
        actual: Digest,
    },
}

impl LayerError {
    /// `operation` failed on the entry `path`.
    pub(crate) fn entry(operation: &'static str, path: &[u8], source: impl Into<io::Error>) -> LayerError {
        LayerError::Entry { operation, path: shown(path), source: source.into() }
    }

    /// The entry `path` is refused.
    pub(crate) fn refused(path: &[u8], why: &'static str) -> LayerError {
        LayerError::Refused { path: shown(path), why }
    }
}

/// Tells a stream that was cut at `limit` from one that could not be read.
pub(crate) fn limit_exceeded(error: LayerError, limit: u64) -> LayerError {
    match error {
        LayerError::Tar(TarError::Read(error)) if error.kind() == io::ErrorKind::FileTooLarge => {
            LayerError::TooLarge { limit }
        }
        error => error,
    }
}

/// A name for an error message: hostile ones may be long or no text.
fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).chars().take(300).collect()
}
