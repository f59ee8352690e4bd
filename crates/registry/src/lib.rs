//! A client of the OCI distribution specification: auth, mirrors, ranges, resume.
//!
//! ```text
//! Repository          what is wanted, on whichever server answers
//!  ├ Config           registries.conf, certs.d, credentials → endpoints, best first
//!  ├ Download, Upload blobs, over as many connections as it takes
//!  └ Session          one server: retries → authorization → redirects → request
//!     └ Connector     name → address → proxy → TCP → TLS
//! ```
//!
//! Everything runs on one thread; the caller brings the tokio runtime.

pub mod auth;
mod body;
pub mod config;
mod connect;
mod dns;
mod download;
mod error;
mod file;
pub mod policy;
mod proxy;
mod repository;
mod retry;
mod session;
pub mod signature;
mod tls;
mod upload;
mod url;

pub use body::Meter;
pub use config::Config;
pub use connect::ConnectError;
pub use dns::{ResolveError, Resolver};
pub use download::Download;
pub use error::{ApiError, Error};
pub use file::FileError;
pub use proxy::Proxies;
pub use repository::{Purpose, RawDocument, Repository};
pub use retry::Patience;
pub use tls::TlsError;
pub use upload::{Upload, Uploaded};
