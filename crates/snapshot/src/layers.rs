//! Committed layers.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use oci::image::Digest;
use serde::{Deserialize, Serialize};

use crate::{Result, SnapshotError, Snapshots};

/// A committed layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its name: which layers it stands on, and itself.
    pub chain_id: Digest,
    /// The digest of its archive.
    pub diff_id: Digest,
    /// The layers that it stands on, topmost first.
    pub ancestors: Vec<Digest>,
    /// The bytes of its regular files.
    pub bytes: u64,
    /// Its directory.
    pub path: PathBuf,
}

/// `layer.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    pub diff_id: Digest,
    /// The chain ids of all layers below, topmost first.
    pub ancestors: Vec<Digest>,
    pub bytes: u64,
}

/// The directory's name of a layer. The colon would have to be escaped in overlay's option strings.
pub fn name(chain_id: &Digest) -> String {
    format!("{}-{}", chain_id.algorithm().name(), chain_id.hex())
}

impl Snapshots {
    /// Whether the layer is unpacked; then those below it are too.
    pub fn has_layer(&self, chain_id: &Digest) -> Result<bool> {
        let path = self.layer_path(chain_id);
        path.try_exists().map_err(|error| SnapshotError::io("look up", path, error))
    }

    /// The layer with this chain id.
    pub fn layer(&self, chain_id: &Digest) -> Result<Layer> {
        let directory = self.layer_path(chain_id);
        let record: Record = read(&directory.join("layer.json"))?.ok_or(SnapshotError::NoLayer(*chain_id))?;
        let Record { diff_id, ancestors, bytes } = record;
        Ok(Layer { chain_id: *chain_id, diff_id, ancestors, bytes, path: directory.join("fs") })
    }

    /// The directory of a layer's files.
    pub(crate) fn layer_files(&self, chain_id: &Digest) -> PathBuf {
        self.layer_path(chain_id).join("fs")
    }

    /// The directories of a layer and all below it, topmost first; none without a layer.
    pub(crate) fn lower_directories(&self, top: Option<&Digest>) -> Result<Vec<PathBuf>> {
        let Some(top) = top else { return Ok(Vec::new()) };
        let layer = self.layer(top)?;
        Ok(std::iter::once(top).chain(&layer.ancestors).map(|chain_id| self.layer_files(chain_id)).collect())
    }

    /// Takes away a layer that is damaged, so that it can be unpacked again. What stands on it waits for that.
    pub fn discard_layer(&self, chain_id: &Digest) -> Result<()> {
        {
            let _lock = self.lock_exclusive()?;
            self.discard(&self.layer_path(chain_id))?;
        }
        self.empty_trash()
    }

    /// All layers, in no order.
    pub fn layers(&self) -> Result<Vec<Layer>> {
        let names = list(&self.root.join("layers"))?;
        let chain_ids = names.iter().filter_map(|name| name.replacen('-', ":", 1).parse().ok());
        let mut layers = Vec::new();
        for chain_id in chain_ids {
            match self.layer(&chain_id) {
                Ok(layer) => layers.push(layer),
                Err(SnapshotError::NoLayer(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(layers)
    }

    /// Removes the layers that `keep` does not name, unless a snapshot or a kept layer stands on them; and
    /// what killed processes left. Returns the removed ones.
    pub fn collect(&self, keep: &HashSet<Digest>) -> Result<Vec<Layer>> {
        let mut removed = Vec::new();
        {
            let _lock = self.lock_exclusive()?;
            let layers: HashMap<_, _> =
                self.layers()?.into_iter().map(|layer| (layer.chain_id, layer)).collect();
            let mut kept = HashSet::new();
            let used = self.snapshots()?.into_iter().filter_map(|snapshot| snapshot.parent().copied());
            for top in keep.iter().copied().chain(used) {
                kept.insert(top);
                kept.extend(layers.get(&top).into_iter().flat_map(|layer| &layer.ancestors).copied());
            }
            for layer in layers.into_values().filter(|layer| !kept.contains(&layer.chain_id)) {
                self.discard(&self.layer_path(&layer.chain_id))?;
                removed.push(layer);
            }
            self.discard_dead_stages()?;
        }
        self.empty_trash()?;
        Ok(removed)
    }
}

/// Reads a record; `None` if it is not there.
pub fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|source| SnapshotError::Damaged { path: path.into(), source }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SnapshotError::io("read", path, error)),
    }
}

/// The names in one of our own directories.
pub fn list(path: &Path) -> Result<Vec<String>> {
    let fail = |error| SnapshotError::io("list", path, error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        names.extend(entry.map_err(fail)?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}
