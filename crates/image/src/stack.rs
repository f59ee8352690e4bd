//! What a container's root is made of: its own changes, the engine's files, and the image's layers.

use std::path::PathBuf;

use oci::image::{Digest, ImageConfig};
use snapshot::{Driver, Snapshot};

use crate::{Images, Result};

/// What a part of a root is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// What the container changes.
    Changes,
    /// Files that the engine puts in, such as `/etc/hosts`.
    Engine,
    /// A layer of the image.
    Layer,
    /// The host's own root.
    Host,
}

/// One of the directories that are shown as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// The digest of a layer's archive.
    pub diff_id: Option<Digest>,
    /// The bytes: on disk of what was changed, of its files in a layer; none of what is not measured.
    pub bytes: Option<u64>,
    /// The command that made the layer, where the image tells.
    pub created_by: String,
    /// Its directory.
    pub path: PathBuf,
}

impl Images {
    /// The parts of a root, topmost first. `config` is the image's, if it is still here.
    pub fn parts_of(&self, snapshot: &Snapshot<'_>, config: Option<&ImageConfig>) -> Result<Vec<Part>> {
        let part = |kind, bytes, path| Part { kind, diff_id: None, bytes, created_by: String::new(), path };
        let layout = snapshot.layout()?;
        let mut parts = Vec::new();
        if let Some(upper) = &layout.upper {
            parts.push(part(PartKind::Changes, Some(snapshot.usage()?.bytes), upper.clone()));
        }
        if snapshot.is_over_host() {
            parts.extend(layout.lower.into_iter().map(|path| part(PartKind::Host, None, path)));
            return Ok(parts);
        }
        if snapshot.driver() == Driver::Overlay {
            parts.push(part(PartKind::Engine, Some(snapshot.init_usage()?.bytes), snapshot.init()));
        }
        let Some(top) = snapshot.parent() else { return Ok(parts) };
        let made_by = |diff_id: &Digest| {
            let config = config?;
            let at = config.rootfs.diff_ids.iter().position(|known| known == diff_id)?;
            config.history.iter().filter(|step| !step.empty_layer).nth(at)?.created_by.clone()
        };
        let ancestors = self.snapshots().layer(top)?.ancestors;
        for chain_id in std::iter::once(top).chain(&ancestors) {
            let layer = self.snapshots().layer(chain_id)?;
            parts.push(Part {
                kind: PartKind::Layer,
                created_by: made_by(&layer.diff_id).unwrap_or_default(),
                diff_id: Some(layer.diff_id),
                bytes: Some(layer.bytes),
                path: layer.path,
            });
        }
        Ok(parts)
    }
}
