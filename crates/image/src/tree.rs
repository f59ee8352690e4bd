//! Which images stand on which layers.

use std::collections::BTreeMap;

use oci::image::{Descriptor, Digest};

use crate::{Images, Result};

/// A layer, and what stands on it.
#[derive(Clone, Debug)]
pub struct TreeLayer {
    /// Which layers it stands on, and itself.
    pub chain_id: Digest,
    /// What its content is.
    pub diff_id: Digest,
    /// The bytes of its files, or of the compressed layer where it is not unpacked.
    pub size: u64,
    /// The command that made it, where the image tells.
    pub created_by: String,
    /// The images whose topmost layer it is.
    pub images: Vec<TreeImage>,
    /// The layers on it.
    pub children: Vec<TreeLayer>,
}

/// An image at its topmost layer.
#[derive(Clone, Debug)]
pub struct TreeImage {
    /// Its id.
    pub id: Digest,
    /// Its names.
    pub names: Vec<String>,
}

#[derive(Default)]
struct Node {
    layers: BTreeMap<Digest, (Facts, Node)>,
    images: Vec<TreeImage>,
}

struct Facts {
    diff_id: Digest,
    size: u64,
    created_by: String,
}

impl Images {
    /// The lowest layers, each with all that stands on it. Images without layers are left out.
    pub fn tree(&self) -> Result<Vec<TreeLayer>> {
        let mut targets: BTreeMap<Digest, Descriptor> = BTreeMap::new();
        for entry in self.store().references()?.entries() {
            targets.insert(*entry.digest(), entry.descriptor.clone());
        }
        let mut root = Node::default();
        for target in targets.values() {
            // What can't be read has no place in the tree; `fsck` tells of it.
            let Ok(image) = self.image(target) else { continue };
            let mut node = &mut root;
            let mut steps = image.config.history.iter().filter(|step| !step.empty_layer);
            let diff_ids = &image.config.rootfs.diff_ids;
            for ((chain_id, diff_id), layer) in
                image.config.chain_ids().into_iter().zip(diff_ids).zip(&image.manifest.layers)
            {
                let created_by = steps.next().and_then(|step| step.created_by.clone());
                let facts = Facts {
                    diff_id: *diff_id,
                    size: self.snapshots().layer(&chain_id).map_or(layer.size, |layer| layer.bytes),
                    created_by: created_by.unwrap_or_default(),
                };
                node = &mut node.layers.entry(chain_id).or_insert((facts, Node::default())).1;
            }
            node.images.push(TreeImage { id: *image.id(), names: image.names.clone() });
        }
        Ok(root.into_layers())
    }
}

impl Node {
    fn into_layers(self) -> Vec<TreeLayer> {
        let layers = self.layers.into_iter().map(|(chain_id, (facts, mut node))| TreeLayer {
            chain_id,
            diff_id: facts.diff_id,
            size: facts.size,
            created_by: facts.created_by,
            images: std::mem::take(&mut node.images),
            children: node.into_layers(),
        });
        layers.collect()
    }
}
