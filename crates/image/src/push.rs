//! Push: store → registry. Blobs first, then manifests, the name last: who sees the tag can pull all of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use oci::Reference;
use oci::image::{Descriptor, Digest, Document, Manifest};
use registry::{Config, Patience, Purpose, Repository, Upload, Uploaded};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::{Error, Image, Images, LayerState, Platforms, Progress, Result, event_loop};

/// How many blobs are on their way at once.
const BLOBS_AT_ONCE: usize = 4;

/// How to push.
pub struct Push {
    /// Where the image is.
    pub images: Images,
    /// What is known about registries.
    pub config: Config,
    /// What to push of an index of which only a part is here.
    pub platforms: Platforms,
    /// How long to try.
    pub patience: Patience,
    /// Is told of layers.
    pub progress: Arc<dyn Progress>,
}

/// What a push did.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The name at the registry.
    pub reference: Reference,
    /// What it means there.
    pub target: Descriptor,
}

impl Push {
    /// Pushes `image` as `destination`.
    pub fn run(self, image: &Image, destination: &Reference) -> Result<Pushed> {
        let runtime = event_loop()?;
        runtime.block_on(Arc::new(self).push(image, destination))
    }

    async fn push(self: Arc<Self>, image: &Image, destination: &Reference) -> Result<Pushed> {
        let repository = Repository::open(&self.config, destination, Purpose::Push, self.patience, None)?;
        let repository = Arc::new(repository);
        let target = self.target(image)?;
        let documents = self.documents(&target)?;
        let mounts = Arc::new(self.mountable(destination)?);
        let manifests = documents.iter().filter_map(|(_, document, _)| match document {
            Document::Manifest(manifest) => Some(&**manifest),
            Document::Index(_) => None,
        });
        for manifest in manifests {
            self.clone().blobs(&repository, &mounts, manifest).await?;
        }
        // Children first: a registry may refuse an index whose manifests it lacks.
        for (descriptor, document, bytes) in documents.iter().rev() {
            let name = match destination.tag() {
                Some(tag) if descriptor.digest == target.digest => tag.to_owned(),
                _ => descriptor.digest.to_string(),
            };
            repository.put_manifest(&name, document.media_type(), bytes.clone().into()).await?;
        }
        Ok(Pushed { reference: destination.clone(), target })
    }

    /// What to push: all that the name means if it is here, else the image for the wanted platform.
    fn target(&self, image: &Image) -> Result<Descriptor> {
        if image.target.digest == image.manifest_descriptor.digest {
            return Ok(image.target.clone());
        }
        let reachable = self.images.store().reachable_from(&image.target)?;
        let mut descriptors = reachable.descriptors();
        let store = self.images.store();
        let is_whole = descriptors.try_fold(true, |whole, descriptor| {
            store.blob_size(&descriptor.digest).map(|size| whole && size.is_some())
        })?;
        if is_whole {
            return Ok(image.target.clone());
        }
        match store.document(&image.target)? {
            Document::Index(index) => {
                let wanted = self.platforms.select(&index, &image.label())?;
                Ok(wanted.first().map_or_else(|| image.manifest_descriptor.clone(), |first| (*first).clone()))
            }
            Document::Manifest(_) => Ok(image.target.clone()),
        }
    }

    /// The documents of `target`, each before those that it points at.
    fn documents(&self, target: &Descriptor) -> Result<Vec<(Descriptor, Document, Vec<u8>)>> {
        let store = self.images.store();
        let mut found: Vec<(Descriptor, Document, Vec<u8>)> = Vec::new();
        let mut open = vec![target.clone()];
        while let Some(descriptor) = open.pop() {
            if found.iter().any(|(known, _, _)| known.digest == descriptor.digest) {
                continue;
            }
            let (document, bytes) = (store.document(&descriptor)?, store.read(&descriptor.digest)?);
            if let Document::Index(index) = &document {
                open.extend(index.manifests.iter().cloned());
            }
            found.push((descriptor, document, bytes));
        }
        Ok(found)
    }

    /// The repositories of the same registry that have a blob, as the names here tell.
    fn mountable(&self, destination: &Reference) -> Result<HashMap<Digest, String>> {
        let mut mountable = HashMap::new();
        for entry in self.images.store().references()?.entries() {
            let Some(name) = entry.name().and_then(|name| name.parse::<Reference>().ok()) else { continue };
            if name.domain() != destination.domain() || name.path() == destination.path() {
                continue;
            }
            for (_, manifest) in self.images.present_manifests(&entry.descriptor).unwrap_or_default() {
                let blobs = manifest.layers.iter().chain([&manifest.config]);
                mountable.extend(blobs.map(|blob| (blob.digest, name.path().to_owned())));
            }
        }
        Ok(mountable)
    }

    async fn blobs(
        self: Arc<Self>,
        repository: &Arc<Repository>,
        mounts: &Arc<HashMap<Digest, String>>,
        manifest: &Manifest,
    ) -> Result<()> {
        let permits = Arc::new(Semaphore::new(BLOBS_AT_ONCE));
        let mut uploads = JoinSet::new();
        let mut seen: Vec<Digest> = Vec::new();
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            if seen.contains(&blob.digest) {
                continue;
            }
            seen.push(blob.digest);
            self.progress.layer(&blob.digest, LayerState::Waiting);
            let (push, repository, permits) = (self.clone(), repository.clone(), permits.clone());
            let (blob, mount_from) = (blob.clone(), mounts.get(&blob.digest).cloned());
            uploads.spawn(async move {
                let _permit = permits.acquire_owned().await;
                push.blob(&repository, &blob, mount_from).await
            });
        }
        while let Some(result) = uploads.join_next().await {
            result.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))?;
        }
        Ok(())
    }

    async fn blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        mount_from: Option<String>,
    ) -> Result<()> {
        let digest = descriptor.digest;
        let Some(blob) = self.images.store().blob(&digest)? else {
            // A layer that was dropped after unpacking can't be made again byte for byte.
            return match repository.has_blob(&digest).await? {
                true => Ok(()),
                false => Err(Error::NotAnImage {
                    image: digest.to_string(),
                    reason:
                        "its compressed form was dropped after unpacking; pull the image again to push it"
                            .to_owned(),
                }),
            };
        };
        let (progress, total, sent) = (self.progress.clone(), blob.size, AtomicU64::new(0));
        let meter = Arc::new(move |more| {
            let done = sent.fetch_add(more, Ordering::Relaxed) + more;
            progress.layer(&digest, LayerState::Uploading { done: done.min(total), total });
        });
        let upload = Upload { digest, size: blob.size, file: Arc::new(blob.file), mount_from, meter };
        let state = match repository.upload(&upload).await? {
            Uploaded::Existed => LayerState::Exists,
            Uploaded::Mounted => LayerState::Mounted,
            Uploaded::Sent => LayerState::Complete,
        };
        self.progress.layer(&digest, state);
        Ok(())
    }
}
