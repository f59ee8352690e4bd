//! What the tests of this crate share.
#![allow(dead_code, reason = "each test file uses a part")]

use std::time::Duration;

use oci::Reference;
use oci::image::{Descriptor, Digest, media_type};
use registry::auth::Credentials;
use registry::{Config, Error, Patience, Purpose, Repository};
use testkit::HttpServer;

/// Runs a future on a runtime of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Retries at once, and not often.
pub fn impatient() -> Patience {
    Patience { attempts: 3, first_pause: Duration::from_millis(1), ..Patience::default() }
}

pub fn reference(address: &str) -> Reference {
    format!("{address}/x:1").parse().unwrap()
}

pub fn open(
    config: &Config,
    server: &HttpServer,
    purpose: Purpose,
    patience: Patience,
    credentials: Option<Credentials>,
) -> Repository {
    Repository::open(config, &reference(server.address()), purpose, patience, credentials).unwrap()
}

pub fn repository_of(server: &HttpServer) -> Repository {
    open(&Config::default(), server, Purpose::PullTag, impatient(), None)
}

/// A blob from `offset` on.
pub async fn download(
    repository: &Repository,
    descriptor: &Descriptor,
    offset: u64,
) -> Result<Vec<u8>, Error> {
    let mut download = repository.download(0, descriptor, offset);
    let mut bytes = Vec::new();
    while let Some(piece) = download.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// The manifest of an image without layers.
pub fn image_manifest() -> String {
    let config = Descriptor::new(media_type::OCI_CONFIG, Digest::sha256(b"{}"), 2);
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": config,
        "layers": [],
    })
    .to_string()
}

/// An error with all its causes, as the command line prints it.
pub fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}
