//! Commit: what was written to a container's file system → an image with one layer more.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use oci::Reference;
use oci::image::{
    Compression, ContainerConfig, Descriptor, Digest, History, ImageConfig, Manifest, media_type,
};

use crate::{Error, Image, Images, Result};

/// How hard the layer is compressed: faster than any disk that it is read from.
const LEVEL: i32 = 3;

/// What the new image is like.
#[derive(Clone, Debug)]
pub struct CommitOptions {
    /// Who made it.
    pub author: String,
    /// The note in its history.
    pub message: String,
    /// The command that its history tells.
    pub created_by: String,
    /// What its containers run.
    pub config: ContainerConfig,
    /// When it was made.
    pub created: SystemTime,
    /// Paths, relative to the root, that stay out of it.
    pub without: BTreeSet<Vec<u8>>,
}

impl Images {
    /// Makes an image of `base` and what was changed in the snapshot `key`, and gives its id. Nothing may write to the
    /// snapshot meanwhile.
    ///
    /// # Errors
    /// Files can't be read, or the store can't be written to.
    pub fn commit(
        &self,
        key: &str,
        base: &Image,
        name: Option<&Reference>,
        options: &CommitOptions,
    ) -> Result<Digest> {
        let lease = self.store().lease()?;
        lease.claim(&base.target)?;
        lease.claim(&base.manifest_descriptor)?;
        let fail = |source| Error::io("compress", "the new layer", source);
        let ingest = Writing(lease.ingest_unnamed(media_type::OCI_LAYER_ZSTD)?);
        let mut encoder = zstd::stream::write::Encoder::new(ingest, LEVEL).map_err(fail)?;
        let layer = self.snapshots().commit_without(key, &options.without, &mut encoder)?;
        let blob = encoder.finish().map_err(fail)?.0.commit()?;
        let descriptor = Descriptor::new(Compression::Zstd.oci_layer(), blob.digest, blob.size);
        let config = config(&base.config, layer.diff_id, options);
        let bytes = serde_json::to_vec(&config).expect("a configuration becomes JSON");
        let mut layers: Vec<Descriptor> = base.manifest.layers.iter().map(in_oci_words).collect();
        layers.push(descriptor);
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.to_owned()),
            artifact_type: None,
            config: lease.put(media_type::OCI_CONFIG, &bytes)?,
            layers,
            subject: None,
            annotations: Default::default(),
        };
        let bytes = serde_json::to_vec(&manifest).expect("a manifest becomes JSON");
        let target = lease.put(media_type::OCI_MANIFEST, &bytes)?;
        self.store().update_references(|references| match name {
            Some(name) => references.set(&name.to_string(), &target),
            None => references.add_dangling(&target),
        })?;
        Ok(manifest.config.digest)
    }
}

/// A layer as an OCI manifest names it: the two families of media types don't mix.
fn in_oci_words(layer: &Descriptor) -> Descriptor {
    let media_type = match layer.media_type.as_str() {
        media_type::DOCKER_LAYER => media_type::OCI_LAYER,
        media_type::DOCKER_LAYER_GZIP => media_type::OCI_LAYER_GZIP,
        other => other,
    };
    Descriptor { media_type: media_type.to_owned(), ..layer.clone() }
}

fn config(base: &ImageConfig, diff_id: Digest, options: &CommitOptions) -> ImageConfig {
    let since = options.created.duration_since(UNIX_EPOCH).unwrap_or_default();
    let created = Some(oci::time::rfc3339(since.as_secs() as i64));
    let given = |text: &String| (!text.is_empty()).then(|| text.clone());
    let mut config = ImageConfig {
        created: created.clone(),
        author: given(&options.author).or_else(|| base.author.clone()),
        config: options.config.clone(),
        ..base.clone()
    };
    config.rootfs.diff_ids.push(diff_id);
    config.history.push(History {
        created,
        created_by: given(&options.created_by),
        author: given(&options.author),
        comment: given(&options.message),
        empty_layer: false,
    });
    config
}

/// What is written goes to the store.
struct Writing(store::Ingest);

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
