//! What is asked for, in Docker's words: the JSON of `POST /containers/create`, which `inspect` shows again.
//!
//! Absent, `null` and empty are the same thing, as for Go's decoder; what Docker always prints is always printed.

mod container;
mod host;
mod network;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

pub use container::{ContainerConfig, Healthcheck};
pub use host::*;
pub use network::*;

/// The values of Go's sets: `{}`.
pub use oci::image::config::Empty;

/// Labels, options and the like.
pub type StringMap = BTreeMap<String, String>;

/// Everything that is asked for when a container is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateConfig {
    /// What does not depend on the host.
    #[serde(flatten)]
    pub config: ContainerConfig,
    /// What does.
    #[serde(deserialize_with = "nullable")]
    pub host_config: HostConfig,
    /// Networks to connect to, by name.
    #[serde(deserialize_with = "nullable")]
    pub networking_config: NetworkingConfig,
}

/// `null` is read as the type's default, as Go's decoder does.
pub(crate) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
