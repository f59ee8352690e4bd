//! Why something with a volume failed, in Docker's words where Docker has them.

use std::io;
use std::path::PathBuf;

use crate::error::Error;

/// Why something with a volume failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum VolumeError {
    #[error("get {}: no such volume", .0.escape_debug())]
    NotFound(String),
    #[error("remove {name}: volume is in use - [{}]", users.join(", "))]
    InUse { name: String, users: Vec<String> },
    #[error(
        "create {}: \"{}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path", .0.escape_debug(), .0.escape_debug()
    )]
    Name(String),
    #[error("error looking up volume driver {}: only \"local\" is there", .0.escape_debug())]
    Driver(String),
    #[error("invalid volume option \"{}\": {problem}", option.escape_debug())]
    Option { option: String, problem: String },
    #[error("volume {0} exists already with other options: remove it, or choose another name")]
    OtherOptions(String),
    #[error("limit the size of a volume: {0}")]
    Quota(String),
    #[error("volume {name}: {problem}")]
    Archive { name: String, problem: String },
    #[error("{} is damaged: {source}", path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
    #[error("cannot {operation} {}: {source}", path.display())]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
}

impl VolumeError {
    pub(super) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        VolumeError::Io { operation, path: path.into(), source: source.into() }
    }
}

impl From<VolumeError> for Error {
    fn from(error: VolumeError) -> Error {
        let text = error.to_string();
        match error {
            VolumeError::NotFound(_) => Error::NotFound(text),
            VolumeError::InUse { .. } | VolumeError::OtherOptions(_) => Error::Conflict(text),
            VolumeError::Name(_)
            | VolumeError::Driver(_)
            | VolumeError::Option { .. }
            | VolumeError::Archive { .. } => Error::Invalid(text),
            VolumeError::Quota(_) => Error::Unavailable(text),
            VolumeError::Io { operation, path, source } => Error::Io { operation, path, source },
            VolumeError::Damaged { path, source } => Error::Damaged { path, source },
        }
    }
}
