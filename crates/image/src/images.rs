//! The images of this host, and how one of them is found.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use oci::Reference;
use oci::image::{Descriptor, Digest, Document, ImageConfig, Kind, Manifest};
use snapshot::Snapshots;
use store::{Entry, Lease, Store};

use crate::{Builtin, Error, Platforms, Result};

/// How deep indexes may nest.
const MAX_DEPTH: usize = 4;

/// Blobs, references and unpacked layers under one directory.
#[derive(Clone, Debug)]
pub struct Images {
    store: Store,
    snapshots: Arc<Snapshots>,
}

/// An image as it is in the store.
#[derive(Clone, Debug)]
pub struct Image {
    /// The names that mean it, in full.
    pub names: Vec<String>,
    /// What the names point at: a manifest, or an index that has it.
    pub target: Descriptor,
    /// Its manifest.
    pub manifest_descriptor: Descriptor,
    /// The parsed manifest.
    pub manifest: Manifest,
    /// The parsed configuration.
    pub config: ImageConfig,
    /// Whether it is kept whatever room is needed.
    pub pinned: bool,
}

impl Image {
    /// The image's id: the digest of its configuration.
    pub fn id(&self) -> &Digest {
        &self.manifest.config.digest
    }

    /// The name that was given first, or the digest.
    pub fn label(&self) -> String {
        self.names.first().cloned().unwrap_or_else(|| self.target.digest.to_string())
    }

    /// `name@digest` for each repository that it has a name in.
    pub fn repository_digests(&self) -> Vec<String> {
        let names = self.names.iter().filter_map(|name| name.parse::<Reference>().ok());
        let mut digests: Vec<String> =
            names.map(|name| format!("{}@{}", name.familiar_name(), self.target.digest)).collect();
        digests.sort();
        digests.dedup();
        digests
    }
}

impl Images {
    /// Opens the images under `root`, making an empty set if there is none.
    pub fn open(root: &Path) -> Result<Images> {
        let store = Store::open(&root.join("images"))?;
        let snapshots = Snapshots::open(root)?;
        Ok(Images { store, snapshots: Arc::new(snapshots) })
    }

    /// The blobs and references.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The unpacked layers, and the roots over them.
    pub fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    /// Finds an image by the references that a name may mean, by id, or by the start of an id; or else the
    /// built-in one of that name.
    pub fn find(&self, text: &str, candidates: &[Reference]) -> Result<Image> {
        match (self.find_stored(text, candidates), Builtin::named(text)) {
            (Err(Error::NotFound(_)), Some(builtin)) => self.builtin(builtin),
            (Ok(image), Some(builtin)) if image.names.contains(&builtin.reference().to_string()) => {
                // It may be of another version of berth.
                self.builtin(builtin)
            }
            (found, _) => found,
        }
    }

    /// Finds an image among those that are in the store.
    pub(crate) fn find_stored(&self, text: &str, candidates: &[Reference]) -> Result<Image> {
        let references = self.store.references()?;
        for candidate in candidates {
            let named = match candidate.digest() {
                None => references.get(&candidate.to_string()),
                Some(digest) => references.entries().iter().find(|entry| {
                    entry.digest() == digest
                        && entry.name().is_some_and(|name| name.starts_with(&candidate.name()))
                }),
            };
            if let Some(entry) = named {
                return self.image(&entry.descriptor);
            }
        }
        if let Some(builtin) = Builtin::named(text)
            && let Some(entry) = references.get(&builtin.reference().to_string())
        {
            return self.image(&entry.descriptor);
        }
        self.find_by_id(text, references.entries())
    }

    fn find_by_id(&self, text: &str, entries: &[Entry]) -> Result<Image> {
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        if prefix.is_empty() || !prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(Error::NotFound(text.to_owned()));
        }
        let mut found: BTreeMap<Digest, Descriptor> = BTreeMap::new();
        for entry in entries {
            let is_target = entry.digest().hex().starts_with(prefix);
            match self.identity(&entry.descriptor) {
                Ok(id) if is_target || id.hex().starts_with(prefix) => {
                    found.insert(id, entry.descriptor.clone());
                }
                Ok(_) => {}
                // What can't be read can't be found by its id; by its digest it can, so that it can be removed.
                Err(_) if is_target => {
                    found.insert(*entry.digest(), entry.descriptor.clone());
                }
                Err(_) => {}
            }
        }
        match found.len() {
            0 => Err(Error::NotFound(text.to_owned())),
            1 => self.image(&found.into_values().next().expect("there is one")),
            _ => {
                let ids = found.keys().map(Digest::short).collect();
                Err(Error::Ambiguous { prefix: text.to_owned(), ids })
            }
        }
    }

    /// The id of what `target` points at.
    pub(crate) fn identity(&self, target: &Descriptor) -> Result<Digest> {
        Ok(self.present_manifest(target)?.1.config.digest)
    }

    /// The image that `target` points at. Of an index, it is the one for this host if it is here, else the
    /// first that is.
    pub fn image(&self, target: &Descriptor) -> Result<Image> {
        let (manifest_descriptor, manifest) = self.present_manifest(target)?;
        let config = self.config(&manifest)?;
        let references = self.store.references()?;
        let entries = references.entries().iter().filter(|entry| *entry.digest() == target.digest);
        let names = entries.clone().filter_map(|entry| entry.name().map(str::to_owned)).collect();
        let pinned = entries.clone().any(Entry::is_pinned);
        let mut target = target.clone();
        target.annotations.clear();
        Ok(Image { names, target, manifest_descriptor, manifest, config, pinned })
    }

    /// The configuration of an image; an artifact has none.
    pub(crate) fn config(&self, manifest: &Manifest) -> Result<ImageConfig> {
        if manifest.config.kind() != Kind::Config {
            return Err(Error::NotAnImage {
                image: manifest.config.digest.to_string(),
                reason: format!("its configuration is of type {:?}: an artifact", manifest.config.media_type),
            });
        }
        Ok(self.store.config(&manifest.config.digest)?)
    }

    /// The manifest that `target` is or has, among those that are in the store.
    pub(crate) fn present_manifest(&self, target: &Descriptor) -> Result<(Descriptor, Manifest)> {
        let host = Platforms::default();
        let mut current = target.clone();
        for _ in 0..MAX_DEPTH {
            let index = match self.store.document(&current)? {
                Document::Manifest(manifest) => return Ok((current, *manifest)),
                Document::Index(index) => index,
            };
            let is_here = |child: &&Descriptor| {
                matches!(child.kind(), Kind::Manifest | Kind::Index)
                    && self.store.blob_size(&child.digest).is_ok_and(|size| size.is_some())
            };
            let wanted = host.select(&index, "").ok().and_then(|found| found.into_iter().find(is_here));
            let Some(child) = wanted.or_else(|| index.manifests.iter().find(is_here)) else {
                return Err(Error::NotAnImage {
                    image: target.digest.to_string(),
                    reason: "none of the images of this index is here".to_owned(),
                });
            };
            current = child.clone();
        }
        Err(Error::NotAnImage {
            image: target.digest.to_string(),
            reason: format!("its indexes nest deeper than {MAX_DEPTH}"),
        })
    }

    /// All manifests in the store that `target` is or has.
    pub(crate) fn present_manifests(&self, target: &Descriptor) -> Result<Vec<(Descriptor, Manifest)>> {
        let mut found = Vec::new();
        let mut open = vec![(target.clone(), 0)];
        while let Some((current, depth)) = open.pop() {
            if depth > MAX_DEPTH || self.store.blob_size(&current.digest)?.is_none() {
                continue;
            }
            match self.store.document(&current)? {
                Document::Manifest(manifest) => found.push((current, *manifest)),
                Document::Index(index) => {
                    let children = index.manifests.into_iter().rev();
                    open.extend(children.map(|child| (child, depth + 1)));
                }
            }
        }
        Ok(found)
    }

    /// Gives `descriptor` a further name.
    pub fn tag(&self, image: &Image, name: &Reference) -> Result<()> {
        let (name, target) = (name.to_string(), &image.target);
        Ok(self.store.update_references(|references| references.set(&name, target))?)
    }

    /// Stores a document whose digest was checked already.
    pub(crate) fn put(lease: &Lease, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
        if let store::Start::Write(mut ingest) = lease.ingest(descriptor)? {
            ingest.restart()?;
            ingest.append(bytes)?;
            ingest.commit()?;
        }
        Ok(())
    }
}
