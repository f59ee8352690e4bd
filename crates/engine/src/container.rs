//! What was asked for: `container.json`, written when a container is made and by `rename` and `update` only.

use serde::{Deserialize, Serialize};

use crate::config::CreateConfig;

/// A container as it was asked for. Nothing of the image's configuration needs to be read again to start it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name, without Docker's slash.
    pub name: String,
    /// When it was made: RFC 3339 with nanoseconds.
    pub created: String,
    /// The image's id, `sha256:…`.
    pub image: String,
    /// The digest of the manifest that the image was found by.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_manifest: String,
    /// `linux/amd64`.
    pub platform: String,
    /// The program: entry point and command as one list of arguments.
    pub args: Vec<String>,
    /// What was asked for, completed by the image's configuration.
    pub asked: CreateConfig,
    /// The maps of its user namespace, where it has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_maps: Option<crate::mounts::Ids>,
    /// What is mounted, volumes with their names: as `inspect` shows it.
    pub mounts: Vec<MountPoint>,
    /// The same in full, as it is opened at each start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub planned: Vec<crate::mounts::Planned>,
}

/// One mount of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MountPoint {
    /// `bind`, `volume`, `tmpfs`, `image`.
    pub r#type: String,
    /// The volume's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The host's path.
    pub source: String,
    /// Where in the container.
    pub destination: String,
    /// The volume's driver.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// The options as they were given.
    pub mode: String,
    /// Whether it can be written to.
    #[serde(rename = "RW")]
    pub rw: bool,
    /// The propagation of a bind.
    pub propagation: String,
    /// Whether the volume was made for this container alone, and goes with it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub anonymous: bool,
}

impl Container {
    /// The first twelve digits of the id.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// Whether its health is checked.
    pub fn has_health_check(&self) -> bool {
        let check = self.asked.config.healthcheck.as_ref();
        let word = check.and_then(|check| check.test.first());
        word.is_some_and(|word| !word.is_empty() && word != "NONE")
    }

    /// The container's name in the runtime's words.
    pub(crate) fn runtime_id(&self) -> oci::ContainerId {
        // Made of hexadecimal digits by `id::new`, or found under a directory of that name.
        oci::ContainerId::new(self.id.clone()).expect("an id of hexadecimal digits")
    }

    /// Its networks' names, as far as they are known before it runs.
    pub fn networks(&self) -> Vec<String> {
        let mode = match self.asked.host_config.network_mode.as_str() {
            "" | "default" => "bridge",
            mode => mode,
        };
        let asked = self.asked.networking_config.endpoints_config.keys().cloned();
        let mut names: Vec<String> = asked.collect();
        if !names.iter().any(|name| name == mode) && (names.is_empty() || mode != "bridge") {
            names.insert(0, mode.to_owned());
        }
        names
    }
}
