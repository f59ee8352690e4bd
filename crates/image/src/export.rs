//! Save: images → an archive or a directory that other tools read.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use oci::Reference;
use oci::image::{Compression, Descriptor, Digest, Index, Kind, media_type};
use store::StoreError;

use crate::archive::{
    ArchiveWriter, CONTAINERD_NAME, Compressor, DOCKER_MANIFEST_FILE, DockerManifest, INDEX_FILE, LAYOUT,
    LAYOUT_FILE, STANDARD_NAME,
};
use crate::{Error, Image, Images, Result};

/// The form of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// `docker load` and all that reads its archives; an OCI layout as well, as Docker writes it since 25.
    Docker,
    /// An OCI layout in a tar archive.
    Oci,
}

/// How to save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaveOptions {
    /// The form.
    pub format: ArchiveFormat,
    /// What the whole archive is compressed with.
    pub compression: Compression,
}

/// What goes into an archive.
struct Contents {
    /// Blobs, each once.
    blobs: BTreeMap<Digest, Descriptor>,
    index: Index,
    docker: Vec<DockerManifest>,
}

impl Images {
    /// Writes `images`, each with the names to save it under, to `output`.
    pub fn save(
        &self,
        images: &[(Image, Vec<Reference>)],
        options: SaveOptions,
        output: impl Write,
    ) -> Result<()> {
        let contents = self.contents(images)?;
        let failed = |source| Error::io("write", "the archive", source);
        let mut archive = ArchiveWriter::new(Compressor::new(output, options.compression).map_err(failed)?);
        for digest in contents.blobs.keys() {
            let blob = self.store().blob(digest)?.ok_or(StoreError::Missing(*digest))?;
            archive.file(&blob_path(digest), blob.size, blob.file).map_err(failed)?;
        }
        archive.bytes(LAYOUT_FILE, LAYOUT).map_err(failed)?;
        archive.bytes(INDEX_FILE, &json(&contents.index)).map_err(failed)?;
        if options.format == ArchiveFormat::Docker {
            archive.bytes(DOCKER_MANIFEST_FILE, &json(&contents.docker)).map_err(failed)?;
        }
        let mut output = archive.finish().and_then(Compressor::finish).map_err(failed)?;
        output.flush().map_err(failed)
    }

    /// Writes `images` as an OCI layout at the directory `path`, which is made unless it is there.
    pub fn save_directory(&self, images: &[(Image, Vec<Reference>)], path: &Path) -> Result<()> {
        let contents = self.contents(images)?;
        for digest in contents.blobs.keys() {
            let to = path.join(blob_path(digest));
            let directory = to.parent().unwrap_or(path);
            fs::create_dir_all(directory).map_err(|source| Error::io("make", directory, source))?;
            if fs::metadata(&to).is_ok_and(|found| Some(found.len()) == contents.size(digest)) {
                continue;
            }
            // Under another name until it is whole: what has a digest's name has its content.
            let stage = to.with_extension("partial");
            let mut blob = self.store().blob(digest)?.ok_or(StoreError::Missing(*digest))?;
            let copied =
                fs::File::create(&stage).and_then(|mut file| std::io::copy(&mut blob.file, &mut file));
            copied.map_err(|source| Error::io("write", &stage, source))?;
            fs::rename(&stage, &to).map_err(|source| Error::io("rename", &stage, source))?;
        }
        for (name, content) in [(LAYOUT_FILE, LAYOUT.to_vec()), (INDEX_FILE, json(&contents.index))] {
            let to = path.join(name);
            fs::write(&to, content).map_err(|source| Error::io("write", to, source))?;
        }
        Ok(())
    }

    fn contents(&self, images: &[(Image, Vec<Reference>)]) -> Result<Contents> {
        let mut blobs = BTreeMap::new();
        let mut entries = Vec::new();
        let mut docker = Vec::new();
        for (image, names) in images {
            let target = self.whole(image)?;
            for descriptor in self.store().reachable_from(&target)?.descriptors() {
                self.must_be_here(descriptor)?;
                blobs.insert(descriptor.digest, descriptor.clone());
            }
            entries.extend(names.iter().map(|name| named(&target, name)));
            if names.is_empty() {
                entries.push(target.clone());
            }
            docker.push(DockerManifest {
                config: blob_path(&image.manifest.config.digest),
                repo_tags: Some(
                    names.iter().filter(|name| name.tag().is_some()).map(Reference::familiar).collect(),
                ),
                layers: image.manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect(),
            });
        }
        let index = Index {
            schema_version: 2,
            media_type: Some(media_type::OCI_INDEX.to_owned()),
            artifact_type: None,
            manifests: entries,
            subject: None,
            annotations: BTreeMap::new(),
        };
        Ok(Contents { blobs, index, docker })
    }

    /// The index with all its images if they are here, else the image that is.
    fn whole(&self, image: &Image) -> Result<Descriptor> {
        let reachable = self.store().reachable_from(&image.target)?;
        for descriptor in reachable.descriptors() {
            if self.store().blob_size(&descriptor.digest)?.is_none() {
                return Ok(image.manifest_descriptor.clone());
            }
        }
        Ok(image.target.clone())
    }

    fn must_be_here(&self, descriptor: &Descriptor) -> Result<()> {
        if self.store().blob_size(&descriptor.digest)?.is_some() {
            return Ok(());
        }
        if self.store().is_discarded(&descriptor.digest)? && matches!(descriptor.kind(), Kind::Layer(_)) {
            let reason = "its compressed form was dropped after unpacking; pull the image again to save it";
            return Err(Error::NotAnImage {
                image: descriptor.digest.to_string(),
                reason: reason.to_owned(),
            });
        }
        Err(Error::Store(StoreError::Missing(descriptor.digest)))
    }
}

impl Contents {
    fn size(&self, digest: &Digest) -> Option<u64> {
        self.blobs.get(digest).map(|descriptor| descriptor.size)
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// The entry of `index.json` for one name: containerd's annotation has it in full; the standard's has the tag,
/// which is what `skopeo copy oci:dir:tag` selects by.
fn named(target: &Descriptor, name: &Reference) -> Descriptor {
    let mut entry = target.clone();
    entry.annotations.insert(CONTAINERD_NAME.to_owned(), name.to_string());
    if let Some(tag) = name.tag() {
        entry.annotations.insert(STANDARD_NAME.to_owned(), tag.to_owned());
    }
    entry
}

fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("maps with string keys become JSON")
}
