//! Why something with a container failed, in Docker's words where Docker has them.

use std::io;
use std::path::PathBuf;

use runtime::Failure;
use snapshot::SnapshotError;

/// What kind of error it is: fronts map it to an HTTP status or a gRPC code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The object does not exist.
    NotFound,
    /// Its state, or another object, stands against it.
    Conflict,
    /// The request makes no sense.
    Invalid,
    /// It is already so.
    NotModified,
    /// This host can't do it.
    Unavailable,
    /// Something else failed.
    Internal,
}

/// Why something with a container failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No container has that name or id.
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    /// The start of an id fits several containers.
    #[error("Multiple IDs found with provided prefix: {0}")]
    Ambiguous(String),
    /// Another container has the name.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove (or \
         rename) that container to be able to reuse that name."
    )]
    NameInUse {
        /// The name.
        name: String,
        /// Who has it.
        id: String,
    },
    /// A name that can't be one.
    #[error("Invalid container name ({0}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
    InvalidName(String),
    /// The container's state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// A container that is to be removed runs.
    #[error(
        "cannot remove container \"/{name}\": container is {status}: stop the container before removing or force \
         remove"
    )]
    RemoveRunning {
        /// Its name.
        name: String,
        /// What it is.
        status: &'static str,
    },
    /// It does not run.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// It is so already: no error to a user.
    #[error("{0}")]
    NotModified(String),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// This host can't do it.
    #[error("{0}")]
    Unavailable(String),
    /// Some object other than a container does not exist.
    #[error("{0}")]
    NotFound(String),
    /// A program could not be started: with Docker's exit code.
    #[error("{message}")]
    Start {
        /// What the runtime said.
        message: String,
        /// 125, 126 or 127.
        code: u8,
    },
    /// An image.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// A snapshot.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The runtime.
    #[error(transparent)]
    Runtime(#[from] Failure),
    /// The namespaces of an ordinary user's containers.
    #[error(transparent)]
    Rootless(#[from] rootless::Error),
    /// What was asked for can't be had here.
    #[error(transparent)]
    Spec(#[from] crate::spec::SpecError),
    /// The user to run as.
    #[error(transparent)]
    User(#[from] crate::users::UserError),
    /// A network.
    #[error(transparent)]
    Network(#[from] ::network::Error),
    /// A cgroup.
    #[error(transparent)]
    Cgroup(#[from] cgroup::Error),
    /// A record can't be read, perhaps after a power cut.
    #[error("{} is damaged: remove the container and make it again", path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A system call failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The network's error that this is, where it is one.
    #[must_use]
    pub fn network(&self) -> Option<&::network::Error> {
        match self {
            Error::Network(error) => Some(error),
            _ => None,
        }
    }

    /// `operation` on `path` failed with `source`.
    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Error {
        Error::Io { operation, path: path.into(), source: source.into() }
    }

    /// What kind of error it is.
    pub fn kind(&self) -> Kind {
        match self {
            Error::NoSuchContainer(_) | Error::NotFound(_) => Kind::NotFound,
            Error::Image(image::Error::NotFound(_)) => Kind::NotFound,
            Error::NameInUse { .. }
            | Error::Conflict(_)
            | Error::RemoveRunning { .. }
            | Error::NotRunning(_)
            | Error::Image(image::Error::InUse { .. } | image::Error::Conflict(_)) => Kind::Conflict,
            Error::Ambiguous(_)
            | Error::InvalidName(_)
            | Error::Invalid(_)
            | Error::Start { .. }
            | Error::Spec(_)
            | Error::User(_)
            | Error::Image(image::Error::Ambiguous { .. } | image::Error::Reference(_)) => Kind::Invalid,
            Error::Network(error) => network_kind(error.kind()),
            Error::NotModified(_) => Kind::NotModified,
            Error::Unavailable(_) => Kind::Unavailable,
            _ => Kind::Internal,
        }
    }

    /// The exit code of `run` and `exec`: 126 where the program can't be invoked, 127 where it is not found, 125 else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Start { code, .. } => *code,
            _ => 125,
        }
    }
}

fn network_kind(kind: ::network::ErrorKind) -> Kind {
    match kind {
        ::network::ErrorKind::NotFound => Kind::NotFound,
        ::network::ErrorKind::Conflict => Kind::Conflict,
        ::network::ErrorKind::Invalid | ::network::ErrorKind::Forbidden => Kind::Invalid,
        ::network::ErrorKind::System => Kind::Internal,
    }
}

/// A failure of the runtime to start a program.
///
/// Docker tells the codes from the text of the error; here they are the errno of the exec.
pub(crate) fn start_failure(what: &str, failure: &Failure) -> Error {
    const NOT_FOUND: [i32; 1] = [2 /* ENOENT */];
    const NOT_EXECUTABLE: [i32; 5] = [13, 8, 21, 20, 80]; // EACCES, ENOEXEC, EISDIR, ENOTDIR, ELIBBAD
    let code = match failure.errno {
        _ if !failure.operation.starts_with("exec") => 125,
        Some(errno) if NOT_FOUND.contains(&errno) => 127,
        Some(errno) if NOT_EXECUTABLE.contains(&errno) => 126,
        None if failure.detail.contains("not found") => 127,
        _ => 126,
    };
    let message = format!("{what}: {failure}");
    Error::Start { message, code }
}
