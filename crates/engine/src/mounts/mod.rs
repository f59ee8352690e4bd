//! What a container mounts, by every form of `-v`, `--mount`, `--tmpfs`, `--volumes-from` and the image's VOLUME.
//!
//! [`plan()`] decides at create, purely, and its result is kept with the container; at start [`arrange()`] looks up what is
//! named, and [`realize()`] does what has to be done for it. Nothing is mounted on the host: the runtime attaches all of it within the container's mount namespace.

mod arrange;
mod bind;
mod check;
mod idmap;
mod plan;
mod realize;
mod subpath;
mod tmpfs;

use serde::{Deserialize, Serialize};

use crate::config::MountConfig;
use crate::container::MountPoint;

pub use arrange::{Act, Arranged, Deed, Known, arrange};
pub use bind::{Bind, parse_bind};
pub use check::check;
pub use idmap::{IdMaps, Ids, parse as parse_idmap};
pub use plan::{Others, plan};
pub use realize::{Surroundings, realize};
pub(crate) use subpath::open as open_subpath;
pub use tmpfs::{check_options as check_tmpfs, merge_options as merge_tmpfs};

/// The propagation of a bind that says nothing of it.
pub const DEFAULT_PROPAGATION: &str = "rprivate";

/// A mount as it was decided at create.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Planned {
    /// What it is. The source of a volume is its name, that of a bind an absolute path.
    pub mount: MountConfig,
    /// The options as `-v` had them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// The volume was made for this container alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub anonymous: bool,
}

/// Why something can't be mounted.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum MountError {
    #[error("invalid volume specification: '{}': {problem}", spec.escape_debug())]
    Bind { spec: String, problem: String },
    #[error("invalid mount config for type \"{kind}\": {problem}")]
    Config { kind: String, problem: String },
    #[error("Duplicate mount point: {}", .0.escape_debug())]
    Duplicate(String),
    #[error("invalid tmpfs option {0:?}: see mount(8) and tmpfs(5)")]
    Tmpfs(String),
    #[error("invalid --volumes-from \"{}\": {problem}", spec.escape_debug())]
    VolumesFrom { spec: String, problem: String },
    #[error("mount {what} at {destination}: {problem}")]
    Open { what: String, destination: String, problem: String },
    #[error(transparent)]
    Volume(#[from] crate::volumes::VolumeError),
}

impl MountError {
    fn open(one: &Planned, problem: impl ToString) -> MountError {
        let kind = &one.mount.r#type;
        let what =
            if one.mount.source.is_empty() { kind.clone() } else { format!("{kind} {}", one.mount.source) };
        MountError::Open { what, destination: one.mount.target.clone(), problem: problem.to_string() }
    }
}

impl Planned {
    /// Where in the container, cleaned.
    pub fn destination(&self) -> &str {
        &self.mount.target
    }

    /// Whether it is a volume.
    pub fn is_volume(&self) -> bool {
        self.mount.r#type == "volume"
    }

    /// How `inspect` shows it; `mountpoint` is where a volume's files are, by its name.
    pub fn point(&self, mountpoint: impl FnOnce(&str) -> String) -> MountPoint {
        let is_bind = self.mount.r#type == "bind";
        let propagation = self.mount.bind_options.as_ref().map_or("", |options| options.propagation.as_str());
        let volume = |text: &str| if self.is_volume() { text.to_owned() } else { String::new() };
        MountPoint {
            r#type: self.mount.r#type.clone(),
            name: volume(&self.mount.source),
            source: if self.is_volume() { mountpoint(&self.mount.source) } else { self.mount.source.clone() },
            destination: self.mount.target.clone(),
            driver: volume("local"),
            mode: self.mode.clone(),
            rw: !self.mount.read_only,
            propagation: match (is_bind, propagation) {
                (true, "") => DEFAULT_PROPAGATION.into(),
                (true, propagation) => propagation.into(),
                (false, _) => String::new(),
            },
            anonymous: self.anonymous,
        }
    }
}
