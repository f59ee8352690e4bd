//! Why a registry did not do what was asked.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use oci::image::{Digest, DocumentError};

use crate::auth::CredentialsError;
use crate::config::ConfigError;
use crate::connect::ConnectError;
use crate::tls::TlsError;

/// What went wrong between here and a registry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration gives no server.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Stored credentials can't be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A certificate or key can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] Arc<ConnectError>),
    /// A connection broke.
    #[error("{method} {url}: {reason}")]
    Transport {
        /// The method of the request.
        method: String,
        /// Its URL, without the query.
        url: String,
        /// What broke.
        reason: String,
    },
    /// Nothing came for too long.
    #[error("{method} {url}: no answer for {} s", limit.as_secs())]
    Stalled {
        /// The method of the request.
        method: String,
        /// Its URL, without the query.
        url: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The server says no.
    #[error("{method} {url}: {status}{}", reasons(.errors))]
    Status {
        /// The method of the request.
        method: String,
        /// Its URL, without the query.
        url: String,
        /// The status.
        status: StatusCode,
        /// What the body explains.
        errors: Vec<ApiError>,
        /// When to try again, where the server says so.
        retry_after: Option<Duration>,
    },
    /// The registry wants to know who one is, or does not like the answer.
    #[error("{registry} denies access to {repository}: {reason}")]
    Unauthorized {
        /// Whose credentials were wanted.
        registry: String,
        /// The repository, or "the registry".
        repository: String,
        /// What is missing or wrong.
        reason: String,
    },
    /// A redirect that is not followed.
    #[error("{url}: {reason}")]
    Redirect {
        /// The URL that redirects.
        url: String,
        /// Why it is not followed.
        reason: String,
    },
    /// The content is not what its name says.
    #[error("{what}: the registry sent {found}, but {expected} was asked for")]
    WrongDigest {
        /// The object.
        what: String,
        /// Its name.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// The content has not the size that its descriptor says.
    #[error("{what}: the registry sent {found} bytes, but its descriptor says {expected}")]
    WrongSize {
        /// The object.
        what: String,
        /// The size in the descriptor.
        expected: u64,
        /// What came, or was announced.
        found: u64,
    },
    /// A small answer is not small.
    #[error("{what}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// The object.
        what: String,
        /// The most that is read, in bytes.
        limit: usize,
    },
    /// A manifest is refused.
    #[error("{what} is refused")]
    Document {
        /// The reference.
        what: String,
        /// Why.
        source: DocumentError,
    },
    /// The server breaks the specification.
    #[error("{url}: {reason}")]
    Protocol {
        /// The URL.
        url: String,
        /// What it should have done.
        reason: String,
    },
    /// A file to upload can't be read.
    #[error("cannot read {what}")]
    Source {
        /// The blob.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// None of the mirrors nor the registry itself has it; the registry's own error comes last.
    #[error("{last} (mirrors tried before: {mirrors})")]
    AllFailed {
        /// What each mirror said.
        mirrors: String,
        /// What the registry said.
        last: Box<Error>,
    },
}

/// One entry of the `errors` of an answer (distribution-spec, "Error Codes").
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct ApiError {
    /// `MANIFEST_UNKNOWN` and the like.
    #[serde(default)]
    pub code: String,
    /// A sentence for people.
    #[serde(default)]
    pub message: String,
}

fn reasons(errors: &[ApiError]) -> String {
    errors.iter().fold(String::new(), |text, error| {
        let message = if error.message.is_empty() { &error.code } else { &error.message };
        text + ": " + message
    })
}

/// An error with all its causes, for where one sentence has to hold it.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

impl Error {
    /// True where the server says that there is no such object.
    pub fn is_not_found(&self) -> bool {
        match self {
            Error::Status { status, .. } => *status == StatusCode::NOT_FOUND,
            Error::AllFailed { last, .. } => last.is_not_found(),
            _ => false,
        }
    }

    /// True where the registry refuses whoever asks.
    pub fn is_denied(&self) -> bool {
        match self {
            Error::Unauthorized { .. } => true,
            Error::Status { status, .. } => {
                matches!(*status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            }
            Error::AllFailed { last, .. } => last.is_denied(),
            _ => false,
        }
    }

    /// True where the same request may succeed in a while.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Error::Transport { .. } | Error::Stalled { .. } => true,
            Error::Connect(error) => matches!(**error, ConnectError::Tcp { .. }),
            Error::Status { status, .. } => is_transient_status(*status),
            _ => false,
        }
    }

    /// How long the server wants to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn is_transient_status(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}
