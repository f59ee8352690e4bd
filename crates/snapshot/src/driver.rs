//! Which driver makes new snapshots: found out once for a directory, and written down in it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::{Layout, Result, SnapshotError, Snapshots, mount};

/// How a file system is put together from layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// The kernel's overlay: shares the layers' files.
    Overlay,
    /// A copy of all files, sharing blocks where the file system can: for hosts without overlay.
    Copy,
}

impl Driver {
    /// Its name in the file `driver`.
    pub fn name(self) -> &'static str {
        match self {
            Driver::Overlay => "overlay",
            Driver::Copy => "copy",
        }
    }

    /// What Docker calls it.
    pub fn docker_name(self) -> &'static str {
        match self {
            Driver::Overlay => "overlay2",
            Driver::Copy => "vfs",
        }
    }
}

impl Snapshots {
    /// Opens the snapshots at `root`, making the directory if there is none, with the driver that its file `driver` names.
    /// Without that file overlay is tried: where the kernel lacks it, or the file system can't hold what it changes (overlay
    /// itself, NFS), copies are made.
    pub fn open(root: &Path) -> Result<Snapshots> {
        let path = root.join("driver");
        let known = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(SnapshotError::io("read", path, error)),
        };
        match known.as_deref().map(str::trim) {
            Some("overlay") => Snapshots::open_with(root, Driver::Overlay),
            Some("copy") => Snapshots::open_with(root, Driver::Copy),
            Some(other) => {
                let reason = format!("it names the driver {other:?}; there are \"overlay\" and \"copy\"");
                Err(SnapshotError::io("use", path, io::Error::new(ErrorKind::InvalidData, reason)))
            }
            None => {
                let mut snapshots = Snapshots::open_with(root, Driver::Overlay)?;
                if !snapshots.can_overlay()? {
                    snapshots.driver = Driver::Copy;
                }
                snapshots.remember()?;
                Ok(snapshots)
            }
        }
    }

    /// Mounts an overlay of nothing, and lets it go.
    fn can_overlay(&self) -> Result<bool> {
        let stage = self.stage()?;
        for name in ["lower", "upper", "work"] {
            stage.make_directory(name, 0o755)?;
        }
        let place = |name| stage.path().join(name);
        let layout = Layout {
            lower: vec![place("lower")],
            upper: Some(place("upper")),
            work: Some(place("work")),
            merged: self.root.clone(),
        };
        match mount::overlay(self, &layout, None, false) {
            Ok(_) => Ok(true),
            Err(SnapshotError::Io { source, .. }) if says_never(&source) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes the driver down. Lost in a power cut it is found out again.
    fn remember(&self) -> Result<()> {
        let stage = self.stage()?;
        let (from, to) = (stage.path().join("driver"), self.root.join("driver"));
        fs::write(&from, format!("{}\n", self.driver.name()))
            .and_then(|()| fs::rename(&from, &to))
            .map_err(|error| SnapshotError::io("write", &to, error))
    }
}

/// Whether the kernel would say the same of any overlay here. Root of a user namespace may mount it since Linux 5.11.
fn says_never(error: &io::Error) -> bool {
    let never = [Errno::NODEV, Errno::INVAL, Errno::OPNOTSUPP, Errno::PERM];
    error.raw_os_error().is_some_and(|code| never.iter().any(|errno| errno.raw_os_error() == code))
}
