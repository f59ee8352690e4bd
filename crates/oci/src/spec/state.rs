//! What `state` prints and hooks read on stdin.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where in its lifecycle a container is (runtime-spec, *State*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Namespaces are being made.
    Creating,
    /// All is there but the program.
    Created,
    /// The program runs.
    Running,
    /// All its processes are frozen.
    Paused,
    /// Its first process is gone.
    Stopped,
}

impl Status {
    /// The word of the specification.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// The state of a container as the specification shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Version of the specification.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Where it is in its lifecycle.
    pub status: Status,
    /// Its first process in the runtime's pid namespace; 0 when stopped.
    #[serde(default)]
    pub pid: i32,
    /// The bundle's absolute path.
    pub bundle: String,
    /// The configuration's annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}
