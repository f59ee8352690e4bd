//! The image side of OCI: digests, descriptors, manifests, indexes and configurations, with Docker's schema 2
//! beside the OCI forms. Documents come from strangers, so each parse is bounded and refuses what is ambiguous.

pub mod config;
pub mod descriptor;
pub mod digest;
pub mod hasher;
pub mod manifest;
pub mod media_type;
pub mod platform;

pub use config::{ContainerConfig, Healthcheck, History, ImageConfig, RootFs};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestError};
pub use hasher::Hasher;
pub use manifest::{Document, DocumentError, Index, MAX_DOCUMENT_BYTES, Manifest};
pub use media_type::{Compression, Kind};
pub use platform::Platform;

/// Reads `null` as the type's default: Go writes empty slices and maps so.
fn null_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + serde::Deserialize<'de>,
{
    use serde::Deserialize;
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
