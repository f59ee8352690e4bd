//! Layers that are in the store → unpacked layers.

use std::io;

use oci::image::{Digest, ImageConfig, Kind, Manifest};
use snapshot::{LayerSource, UnpackOptions};
use store::StoreError;

use crate::ahead::Stages;
use crate::{Error, Images, Result};

impl Images {
    /// Unpacks the layers of an image that are not unpacked yet. Returns the chain id of the topmost, or `None`
    /// for an image without layers.
    pub fn unpack(&self, manifest: &Manifest, config: &ImageConfig) -> Result<Option<Digest>> {
        let options = self.snapshots().unpack_options();
        self.unpack_by(manifest, config, &mut Stages::new(), &options)
    }

    pub(crate) fn unpack_by(
        &self,
        manifest: &Manifest,
        config: &ImageConfig,
        ahead: &mut Stages,
        options: &UnpackOptions,
    ) -> Result<Option<Digest>> {
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        let refused =
            |reason: String| Error::NotAnImage { image: manifest.config.digest.to_string(), reason };
        if layers != diff_ids {
            return Err(refused(format!(
                "its manifest has {layers} layers, but its configuration {diff_ids}"
            )));
        }
        if let Some(layer) = manifest.layers.iter().find(|layer| !matches!(layer.kind(), Kind::Layer(_))) {
            let (digest, kind) = (layer.digest, &layer.media_type);
            return Err(refused(format!("layer {digest} is of the unknown type {kind:?}")));
        }
        let sources = manifest.layers.iter().zip(&config.rootfs.diff_ids).map(|(layer, diff_id)| {
            let (store, digest) = (self.store().clone(), layer.digest);
            let open = move || -> io::Result<Box<dyn io::Read + Send>> {
                let blob = store.blob(&digest)?.ok_or(StoreError::Missing(digest))?;
                Ok(Box::new(blob.file))
            };
            LayerSource { diff_id: *diff_id, open: Box::new(open) }
        });
        Ok(self.snapshots().unpack_with(sources.collect(), ahead, options, &mut |_| {})?)
    }
}
