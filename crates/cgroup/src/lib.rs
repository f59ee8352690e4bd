//! Control groups: v1, v2 and hybrid hosts, by cgroupfs or through systemd.
//!
//! [`Group::locate`] decides where a container's group is, [`Group::create`] makes it with its limits, the
//! first process is born into it ([`Group::clone_target`]) and moves itself ([`Group::join_files`]); later
//! [`Group::apply`] changes limits, [`Group::freeze`] and [`Group::kill_all`] act on all processes, and
//! [`Group::remove`] ends it. A `Group` can be stored; it holds paths, not descriptors.

mod controller;
mod create;
mod devices;
mod dir;
mod error;
mod freeze;
mod group;
mod host;
mod limits;
mod node;
mod oom;
mod path;
mod process;
mod remove;
pub mod stats;
mod sub;
mod systemd;
mod walk;

use serde::{Deserialize, Serialize};

pub use controller::Controller;
pub use devices::with_defaults as with_default_devices;
pub use error::Error;
pub use group::Group;
pub use host::{Host, Layout};
pub use limits::merge as merge_resources;
pub use oom::OomEvents;
pub use stats::Stats;
pub use sub::SubPath;
pub use systemd::BusError;

/// Who makes the groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// This process, in cgroupfs.
    #[default]
    Cgroupfs,
    /// systemd, asked over D-Bus.
    Systemd,
}
