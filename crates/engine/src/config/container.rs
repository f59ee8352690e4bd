//! Docker's `Config`: what would be the same on any host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Empty, StringMap, nullable};

pub use oci::image::config::Healthcheck;

/// What a container runs, and as whom.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerConfig {
    /// The UTS host name; the short id where empty.
    #[serde(deserialize_with = "nullable")]
    pub hostname: String,
    /// The NIS domain name.
    #[serde(deserialize_with = "nullable")]
    pub domainname: String,
    /// `user`, `uid`, `user:group`, …; the image's where empty.
    #[serde(deserialize_with = "nullable")]
    pub user: String,
    /// Whether the client that starts it wants its input.
    pub attach_stdin: bool,
    /// Whether that client wants its output.
    pub attach_stdout: bool,
    /// Whether that client wants its errors.
    pub attach_stderr: bool,
    /// Ports that the program listens on, as `80/tcp`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// Whether it has a pseudo terminal.
    pub tty: bool,
    /// Whether its input stays open while nobody is attached.
    pub open_stdin: bool,
    /// Whether its input is closed when the first client goes.
    pub stdin_once: bool,
    /// `NAME=value`; `NAME` alone removes the image's.
    #[serde(deserialize_with = "nullable")]
    pub env: Vec<String>,
    /// Arguments of the entry point, or the command where there is none. `None` takes the image's.
    pub cmd: Option<Vec<String>>,
    /// How health is checked; `None` takes the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// The image, as it was named.
    #[serde(deserialize_with = "nullable")]
    pub image: String,
    /// Paths that get an anonymous volume.
    #[serde(deserialize_with = "nullable")]
    pub volumes: BTreeMap<String, Empty>,
    /// The working directory.
    #[serde(deserialize_with = "nullable")]
    pub working_dir: String,
    /// The command that arguments are given to. `None` takes the image's, `Some([])` has none.
    pub entrypoint: Option<Vec<String>>,
    /// Labels.
    #[serde(deserialize_with = "nullable")]
    pub labels: StringMap,
    /// The signal that asks it to stop; SIGTERM where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Seconds from that signal to SIGKILL; 10 where absent, -1 waits for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// The shell of commands in shell form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}
