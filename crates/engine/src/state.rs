//! What is: `state.json`, one small file a container, which is all that `ps` reads.
//!
//! ```text
//!            create                 start                      exit
//!   (nothing) ───► created ───────────────► running ─────────────────────► exited
//!                     │                     │  ▲  │ exit, restart policy      │ start
//!                     │            pause ┌──┘  │  └──► restarting ──► running │
//!                     │                  ▼     │                              │
//!                     │               paused ──┘ unpause                      │
//!                     └───────────────── rm ──────────────────────────────────┴──► (nothing)
//! ```
//! Who writes it holds the container's lock. `running`, `paused` and `restarting` are true only while the monitor
//! lives, which its flock proves; `repair` writes down what is true where it was killed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::StringMap;

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, never started.
    #[default]
    Created,
    /// Its program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its program has ended, and will be started again.
    Restarting,
    /// It is being removed.
    Removing,
    /// Its program has ended.
    Exited,
    /// It could not be removed wholly.
    Dead,
}

/// Docker's three answers of a health check, and none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// There is no check.
    #[default]
    None,
    /// It was not successful yet.
    Starting,
    /// The last check was successful.
    Healthy,
    /// Too many in a row were not.
    Unhealthy,
}

/// A container's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct State {
    /// What `ps` shows of it that does not change while it runs.
    pub row: Row,
    /// Where it is in its life.
    pub status: Status,
    /// Its first process; 0 where none runs.
    pub pid: i32,
    /// Exit code of the last run.
    pub exit_code: i32,
    /// Whether the kernel killed for want of memory.
    #[serde(rename = "OOMKilled", skip_serializing_if = "std::ops::Not::not")]
    pub oom_killed: bool,
    /// Why the last start failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// When the last run began: RFC 3339, empty where never.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub started_at: String,
    /// When it ended.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub finished_at: String,
    /// How often the policy started it again.
    #[serde(skip_serializing_if = "is_zero")]
    pub restart_count: u32,
    /// The last answer of the health check.
    #[serde(skip_serializing_if = "is_none")]
    pub health: Health,
    /// Somebody asked it to stop: `unless-stopped` leaves it alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stop_requested: bool,
    /// Published ports, as they came about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// Addresses by network, as they came about.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, crate::config::EndpointSettings>,
}

/// What `ps` shows of a container that does not change while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The image as it was named.
    pub image: String,
    /// The image's id.
    #[serde(rename = "ImageID")]
    pub image_id: String,
    /// The program with its arguments.
    pub command: String,
    /// When it was made: RFC 3339 with nanoseconds.
    pub created: String,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: StringMap,
    /// Names of its volumes, paths of its binds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<String>,
    /// Names of its networks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Ports that it exposes, as `80/tcp`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<String>,
    /// Whether it goes when it ends.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub auto_remove: bool,
    /// The restart policy's name, where it has one: what `system start` looks for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub restart: String,
}

/// A port that is exposed or published.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Port {
    /// The host's address.
    #[serde(rename = "IP", skip_serializing_if = "String::is_empty")]
    pub ip: String,
    /// The container's port.
    pub private_port: u16,
    /// The host's port; 0 where it is only exposed.
    #[serde(skip_serializing_if = "is_zero_port")]
    pub public_port: u16,
    /// `tcp`, `udp`, `sctp`.
    pub r#type: String,
}

impl Status {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Restarting => "restarting",
            Status::Removing => "removing",
            Status::Exited => "exited",
            Status::Dead => "dead",
        }
    }

    /// Whether a monitor must live for it to be true.
    pub fn is_active(self) -> bool {
        matches!(self, Status::Running | Status::Paused | Status::Restarting)
    }
}

impl Health {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::None => "none",
            Health::Starting => "starting",
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
        }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_zero_port(number: &u16) -> bool {
    *number == 0
}

fn is_none(health: &Health) -> bool {
    *health == Health::None
}
