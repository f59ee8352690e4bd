//! Checking layers and snapshots: their records, and whether what they stand on is there.

use std::fmt;
use std::path::PathBuf;

use oci::image::Digest;

use crate::layers::list;
use crate::{Result, SnapshotError, Snapshots};

/// Something that is not as it should be.
#[derive(Debug)]
pub enum Problem {
    /// A layer can't be used. Unpacking it again mends it.
    Layer {
        /// Which one.
        chain_id: Digest,
        /// Why.
        reason: String,
    },
    /// A snapshot can't be used.
    Snapshot {
        /// Which one.
        key: String,
        /// Why.
        reason: String,
        /// The layer that it lacks; unpacking that again mends it.
        lacks: Option<Digest>,
    },
    /// Something that was not made here.
    Stray(PathBuf),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Layer { chain_id, reason } => write!(f, "layer {chain_id} can't be used: {reason}"),
            Problem::Snapshot { key, reason, .. } => write!(f, "snapshot {key} can't be used: {reason}"),
            Problem::Stray(path) => write!(f, "{} is no layer", path.display()),
        }
    }
}

impl Snapshots {
    /// Looks for problems.
    pub fn fsck(&self) -> Result<Vec<Problem>> {
        // A collection takes layers away one by one: a half of it would look like damage.
        let _lock = self.lock_shared()?;
        let mut problems = Vec::new();
        let directory = self.root().join("layers");
        for name in list(&directory)? {
            match name.replacen('-', ":", 1).parse::<Digest>() {
                Ok(chain_id) => problems.extend(self.check_layer(chain_id)?),
                Err(_) => problems.push(Problem::Stray(directory.join(name))),
            }
        }
        for key in list(&self.root().join("snapshots"))? {
            problems.extend(self.check_snapshot(key)?);
        }
        Ok(problems)
    }

    fn check_layer(&self, chain_id: Digest) -> Result<Option<Problem>> {
        let reason = match self.layer(&chain_id) {
            Ok(layer) if !layer.path.is_dir() => format!("{} is missing", layer.path.display()),
            Ok(layer) => {
                let missing = |below: &&Digest| !self.has_layer(below).unwrap_or(false);
                match layer.ancestors.iter().find(missing) {
                    Some(below) => format!("it stands on {below}, which is not there"),
                    None => return Ok(None),
                }
            }
            Err(SnapshotError::NoLayer(_)) => "its record is missing".to_owned(),
            Err(error @ SnapshotError::Damaged { .. }) => error.to_string(),
            Err(error) => return Err(error),
        };
        Ok(Some(Problem::Layer { chain_id, reason }))
    }

    fn check_snapshot(&self, key: String) -> Result<Option<Problem>> {
        let (reason, lacks) = match self.snapshot(&key) {
            Ok(snapshot) => match snapshot.parent() {
                Some(parent) if !self.has_layer(parent)? => {
                    (format!("it stands on {parent}, which is not there"), Some(*parent))
                }
                _ => return Ok(None),
            },
            Err(SnapshotError::NoSnapshot(_)) => ("its record is missing".to_owned(), None),
            Err(error @ (SnapshotError::Damaged { .. } | SnapshotError::Key(_))) => (error.to_string(), None),
            Err(error) => return Err(error),
        };
        Ok(Some(Problem::Snapshot { key, reason, lacks }))
    }

    /// Takes away what is to be unpacked again, and moves away what was not made here.
    pub fn repair(&self, problem: &Problem) -> Result<()> {
        match problem {
            Problem::Layer { chain_id, .. } => self.discard_layer(chain_id),
            Problem::Snapshot { .. } => Ok(()),
            Problem::Stray(path) => {
                let _lock = self.lock_exclusive()?;
                self.discard(path)
            }
        }
    }
}
