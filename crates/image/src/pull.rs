//! Pull: registry → store → unpacked layers.
//!
//! ```text
//! one thread (tokio)                       workers of `Snapshots::unpack`
//!   layer 1  fetch ─► hash ─► partial ┄┄►  follow ─► inflate ─► hash ─► files
//!   layer 2  fetch ─► hash ─► partial ┄┄►  follow ─► inflate ─► hash ─► files
//!   …                                      commit in order: sync, name
//! ```
//!
//! Each layer becomes durable on its own, so that a pull that was killed goes on where it was. The image gets
//! its name last, when all of it is there.

use std::collections::HashMap;
use std::io::{self, Read};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use oci::Reference;
use oci::image::config::chain_ids;
use oci::image::{Descriptor, Digest, Document, ImageConfig, Kind, Manifest};
use registry::policy::Policy;
use registry::{Config, Patience, Purpose, RawDocument, Repository};
use snapshot::LayerSource;
use store::{Ingest, Lease, Start};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use crate::{Error, Images, LayerState, Platforms, Progress, Result, event_loop};

/// How many layers are on their way at once: enough to keep two cores busy and a link full.
const LAYERS_AT_ONCE: usize = 4;

/// How many manifests and indexes one name may lead to.
const MAX_DOCUMENTS: usize = 1024;

/// How to pull.
pub struct Pull {
    /// Where the image goes.
    pub images: Images,
    /// What is known about registries.
    pub config: Config,
    /// Which images may be used.
    pub policy: Policy,
    /// What to take of an index.
    pub platforms: Platforms,
    /// Whether the compressed layers are dropped once unpacked.
    pub discard_blobs: bool,
    /// How long to try.
    pub patience: Patience,
    /// Is told of layers.
    pub progress: Arc<dyn Progress>,
}

/// What a pull did.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The name that was pulled.
    pub reference: Reference,
    /// What it means.
    pub target: Descriptor,
    /// Whether all of it was here before.
    pub up_to_date: bool,
}

impl Pull {
    /// Pulls the first of `candidates` that exists; the error is the first one's.
    pub fn run(self, candidates: &[Reference]) -> Result<Pulled> {
        let runtime = event_loop()?;
        let pull = Arc::new(self);
        let mut first_error = None;
        for candidate in candidates {
            match runtime.block_on(pull.clone().one(candidate)) {
                Err(Error::Registry(error)) if error.is_not_found() || error.is_denied() => {
                    first_error.get_or_insert(Error::Registry(error));
                }
                result => return result,
            }
        }
        Err(first_error.unwrap_or_else(|| Error::NotFound("no name".to_owned())))
    }

    /// Fetches what is missing of images that have a name here, without changing what the name means. Returns
    /// the errors of those that can't be fetched.
    pub(crate) fn fetch_again(self, wanted: &[(Reference, Digest)]) -> Result<Vec<Error>> {
        let runtime = event_loop()?;
        let pull = Arc::new(self);
        let fetches = wanted.iter().map(|(name, digest)| runtime.block_on(pull.clone().again(name, digest)));
        Ok(fetches.filter_map(Result::err).collect())
    }

    async fn again(self: Arc<Self>, name: &Reference, digest: &Digest) -> Result<()> {
        let repository = Repository::open(&self.config, name, Purpose::PullDigest, self.patience, None)?;
        let lease = self.images.store().lease()?;
        let top = repository.manifest(&Descriptor::new("", *digest, 0)).await?;
        let manifests = self.manifests(&repository, &lease, top).await?;
        let repository = Arc::new(repository);
        for (_, manifest) in &manifests {
            self.clone().image(&repository, &lease, manifest).await?;
        }
        Ok(())
    }

    async fn one(self: Arc<Self>, reference: &Reference) -> Result<Pulled> {
        let purpose = if reference.digest().is_some() { Purpose::PullDigest } else { Purpose::PullTag };
        let repository = Repository::open(&self.config, reference, purpose, self.patience, None)?;
        let lease = self.images.store().lease()?;
        let name = match reference.digest() {
            Some(digest) => reference.at_digest(*digest),
            None => reference.clone(),
        };
        if let Some(target) = self.complete_already(&repository, &name).await? {
            let manifests = self.images.present_manifests(&target)?;
            self.check_policy(&repository, &name, &target.digest, &manifests).await?;
            self.report_layers(&target)?;
            return Ok(Pulled { reference: name, target, up_to_date: true });
        }
        let top = match reference.digest() {
            Some(digest) => repository.manifest(&Descriptor::new("", *digest, 0)).await?,
            None => repository.manifest_by_tag(reference.tag().unwrap_or_default()).await?,
        };
        let manifests = self.manifests(&repository, &lease, top.clone()).await?;
        self.check_policy(&repository, &name, &top.descriptor.digest, &manifests).await?;
        let repository = Arc::new(repository);
        for (_, manifest) in &manifests {
            self.clone().image(&repository, &lease, manifest).await?;
        }
        let (key, target) = (name.to_string(), top.descriptor.clone());
        self.images.store().update_references(|references| references.set(&key, &target))?;
        Ok(Pulled { reference: name, target, up_to_date: false })
    }

    /// What the name means, if that is what it means here, too, and nothing of it is missing.
    async fn complete_already(
        &self,
        repository: &Repository,
        name: &Reference,
    ) -> Result<Option<Descriptor>> {
        let Some(known) = self.images.store().resolve(&name.to_string())? else { return Ok(None) };
        let current = match name.digest() {
            Some(digest) => Some(*digest),
            None => repository.resolve(name.tag().unwrap_or_default()).await?,
        };
        let is_current = current == Some(known.digest);
        Ok((is_current && self.is_complete(&known).unwrap_or(false)).then_some(known))
    }

    /// Whether all that this pull would fetch of `target` is here and unpacked.
    fn is_complete(&self, target: &Descriptor) -> Result<bool> {
        let store = self.images.store();
        let mut open = vec![target.clone()];
        while let Some(current) = open.pop() {
            if store.blob_size(&current.digest)?.is_none() {
                return Ok(false);
            }
            match store.document(&current)? {
                Document::Index(index) => {
                    let wanted = self.platforms.select(&index, "")?;
                    open.extend(wanted.into_iter().cloned());
                }
                Document::Manifest(manifest) => {
                    if !self.is_image_complete(&manifest)? {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    fn is_image_complete(&self, manifest: &Manifest) -> Result<bool> {
        let store = self.images.store();
        for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
            if store.blob_size(&blob.digest)? != Some(blob.size) && !store.is_discarded(&blob.digest)? {
                return Ok(false);
            }
        }
        if manifest.config.kind() != Kind::Config {
            return Ok(true);
        }
        match self.images.config(manifest)?.chain_ids().last() {
            Some(top) => Ok(self.images.snapshots().has_layer(top)?),
            None => Ok(true),
        }
    }

    fn report_layers(&self, target: &Descriptor) -> Result<()> {
        for (_, manifest) in self.images.present_manifests(target)? {
            manifest.layers.iter().for_each(|layer| self.progress.layer(&layer.digest, LayerState::Exists));
        }
        Ok(())
    }

    /// Stores the documents on the way to the wanted manifests, and returns those.
    async fn manifests(
        &self,
        repository: &Repository,
        lease: &Lease,
        top: RawDocument,
    ) -> Result<Vec<(Descriptor, Manifest)>> {
        let mut found = Vec::new();
        let mut open = vec![top];
        let mut seen: Vec<Digest> = Vec::new();
        while let Some(current) = open.pop() {
            if seen.contains(&current.descriptor.digest) {
                continue;
            }
            if seen.len() == MAX_DOCUMENTS {
                let reason = format!("its indexes lead to more than {MAX_DOCUMENTS} documents");
                return Err(Error::NotAnImage { image: repository.reference().familiar(), reason });
            }
            seen.push(current.descriptor.digest);
            Images::put(lease, &current.descriptor, &current.bytes)?;
            match current.document {
                Document::Manifest(manifest) => found.push((current.descriptor, *manifest)),
                Document::Index(index) => {
                    for child in self.platforms.select(&index, &repository.reference().familiar())? {
                        open.push(repository.manifest(child).await?);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Asks the policy about what the name means or, where that is refused, about each image of it that is
    /// pulled: a good one must not bring a bad one with it.
    async fn check_policy(
        &self,
        repository: &Repository,
        name: &Reference,
        top: &Digest,
        manifests: &[(Descriptor, Manifest)],
    ) -> Result<()> {
        let Err(refused) = self.check_one(repository, name, top).await else { return Ok(()) };
        for (descriptor, _) in manifests {
            if descriptor.digest == *top
                || self.check_one(repository, name, &descriptor.digest).await.is_err()
            {
                return Err(refused);
            }
        }
        if manifests.is_empty() { Err(refused) } else { Ok(()) }
    }

    async fn check_one(&self, repository: &Repository, name: &Reference, digest: &Digest) -> Result<()> {
        if !self.policy.needs_signatures(name) {
            return Ok(self.policy.check(name, digest, &[])?);
        }
        let signatures = repository.signatures(digest).await?;
        self.policy.check(name, digest, &signatures)?;
        self.images.keep_signatures(digest, &signatures)
    }

    /// Fetches one image: its configuration, then its layers, which are unpacked as they arrive.
    async fn image(
        self: Arc<Self>,
        repository: &Arc<Repository>,
        lease: &Lease,
        manifest: &Manifest,
    ) -> Result<()> {
        let diff_ids = self.diff_ids(repository, lease, manifest).await?;
        let chain_ids = chain_ids(&diff_ids);
        let permits = Arc::new(Semaphore::new(LAYERS_AT_ONCE));
        let mut fetches = JoinSet::new();
        let mut sources = Vec::new();
        for (at, layer) in manifest.layers.iter().enumerate() {
            let (hand_over, arrival) = channel();
            if let Some(diff_id) = diff_ids.get(at) {
                sources.push(LayerSource { diff_id: *diff_id, open: Box::new(|| await_stream(arrival)) });
            }
            self.progress.layer(&layer.digest, LayerState::Waiting);
            let fetch = LayerFetch {
                pull: self.clone(),
                repository: repository.clone(),
                lease: lease.clone(),
                layer: layer.clone(),
                is_unpacked: match chain_ids.get(at) {
                    Some(chain_id) => self.images.snapshots().has_layer(chain_id)?,
                    None => true,
                },
                hand_over,
            };
            let permits = permits.clone();
            fetches.spawn(async move {
                let _permit = permits.acquire_owned().await;
                fetch.run().await
            });
        }
        let unpacking = self.unpack(sources, diff_ids.into_iter().zip(&manifest.layers));
        fetched_and_unpacked(all(fetches), unpacking).await?;
        if self.discard_blobs && manifest.config.kind() == Kind::Config {
            for layer in &manifest.layers {
                self.images.store().discard_blob(&layer.digest)?;
            }
        }
        Ok(())
    }

    async fn unpack<'a>(
        &self,
        sources: Vec<LayerSource<'static>>,
        layers: impl Iterator<Item = (Digest, &'a Descriptor)>,
    ) -> Result<()> {
        let layers: HashMap<Digest, Digest> =
            layers.map(|(diff_id, layer)| (diff_id, layer.digest)).collect();
        let (images, progress) = (self.images.clone(), self.progress.clone());
        blocking(move || {
            let options = images.snapshots().unpack_options();
            images.snapshots().unpack(sources, &options, &mut |diff_id| {
                if let Some(layer) = layers.get(diff_id) {
                    progress.layer(layer, LayerState::Complete);
                }
            })?;
            Ok(())
        })
        .await
    }

    /// The DiffIDs of the layers; an artifact has none, and its layers are kept as they are.
    async fn diff_ids(
        &self,
        repository: &Repository,
        lease: &Lease,
        manifest: &Manifest,
    ) -> Result<Vec<Digest>> {
        let what = || repository.reference().familiar();
        let bytes = match lease.claim(&manifest.config)? {
            Some(_) => self.images.store().read(&manifest.config.digest)?,
            None => {
                let bytes = repository.small_blob(&manifest.config).await?;
                Images::put(lease, &manifest.config, &bytes)?;
                bytes.to_vec()
            }
        };
        if manifest.config.kind() != Kind::Config {
            return Ok(Vec::new());
        }
        let config = ImageConfig::parse(&bytes).map_err(|source| Error::Document { what: what(), source })?;
        let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
        if layers != diff_ids {
            let reason = format!("its manifest has {layers} layers, but its configuration {diff_ids}");
            return Err(Error::NotAnImage { image: what(), reason });
        }
        if let Some(layer) = manifest.layers.iter().find(|layer| !matches!(layer.kind(), Kind::Layer(_))) {
            let reason = format!("layer {} is of the unknown type {:?}", layer.digest, layer.media_type);
            return Err(Error::NotAnImage { image: what(), reason });
        }
        Ok(config.rootfs.diff_ids)
    }
}

/// Waits for all, or for the first that fails; the rest is then given up.
/// Waits for both, for a thread unpacks, which can't be given up: it ends when the streams that it reads do. Where both
/// fail, the reason is the fetch's.
async fn fetched_and_unpacked(
    fetches: impl Future<Output = Result<()>>,
    unpacking: impl Future<Output = Result<()>>,
) -> Result<()> {
    let (mut fetches, mut unpacking) = (pin!(fetches), pin!(unpacking));
    tokio::select! {
        biased;
        fetched = &mut fetches => {
            let unpacked = unpacking.await;
            fetched.and(unpacked)
        }
        unpacked = &mut unpacking => {
            unpacked?;
            fetches.await
        }
    }
}

async fn all(mut fetches: JoinSet<Result<()>>) -> Result<()> {
    while let Some(result) = fetches.join_next().await {
        result.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))?;
    }
    Ok(())
}

/// What a fetch hands to the unpacking of its layer.
type Stream = Box<dyn Read + Send>;

fn await_stream(arrival: Receiver<Stream>) -> io::Result<Stream> {
    arrival.recv().map_err(|_| io::Error::new(io::ErrorKind::UnexpectedEof, "the download was given up"))
}

/// One layer on its way.
struct LayerFetch {
    pull: Arc<Pull>,
    repository: Arc<Repository>,
    lease: Lease,
    layer: Descriptor,
    is_unpacked: bool,
    hand_over: Sender<Stream>,
}

impl LayerFetch {
    async fn run(self) -> Result<()> {
        let (lease, layer) = (self.lease.clone(), self.layer.clone());
        if self.is_unpacked && self.pull.images.store().is_discarded(&layer.digest)? {
            return Ok(());
        }
        // Waits for another process that fetches the same layer, and reads what came before.
        match blocking(move || Ok(lease.ingest(&layer)?)).await? {
            Start::Present(blob) => {
                self.report(LayerState::Exists);
                self.hand_over(blob.file);
                Ok(())
            }
            Start::Write(ingest) => {
                self.hand_over(ingest.follow()?);
                self.fetch_and_commit(*ingest).await
            }
        }
    }

    /// Nobody takes the stream of an artifact, or of a layer that is unpacked already.
    fn hand_over(&self, stream: impl Read + Send + 'static) {
        let _ = self.hand_over.send(Box::new(stream));
    }

    fn report(&self, state: LayerState) {
        self.pull.progress.layer(&self.layer.digest, state);
    }

    async fn fetch_and_commit(&self, mut ingest: Ingest) -> Result<()> {
        self.fetch(&mut ingest).await?;
        self.report(LayerState::Unpacking);
        blocking(move || Ok(ingest.commit()?)).await?;
        Ok(())
    }

    /// Fetches what is missing, from the first source that has it.
    async fn fetch(&self, ingest: &mut Ingest) -> Result<()> {
        let mut last = None;
        for source in (0..self.repository.sources()).filter(|source| self.repository.is_alive(*source)) {
            match self.fetch_from(source, ingest).await {
                Err(Error::Registry(error)) => {
                    if !error.is_not_found() {
                        self.repository.mark_failed(source);
                    }
                    last = Some(error);
                }
                result => return result,
            }
        }
        let gone = || Error::NotFound(format!("{}: no registry to fetch it from", self.layer.digest));
        Err(last.map_or_else(gone, Error::Registry))
    }

    async fn fetch_from(&self, source: usize, ingest: &mut Ingest) -> Result<()> {
        let mut download = self.repository.download(source, &self.layer, ingest.offset());
        while let Some(piece) = download.next().await? {
            ingest.append(&piece)?;
            let (done, total) = (ingest.offset(), self.layer.size);
            self.report(LayerState::Downloading { done, total });
        }
        Ok(())
    }
}

/// Runs what may wait for the disk, or for other work of this kind, on a thread of its own. A pool would let it wait,
/// where no more threads can be made, for those that there are, and these may wait for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (sender, receiver) = oneshot::channel();
    // Nobody listens where the pull has failed meanwhile.
    let thread = std::thread::Builder::new()
        .spawn(move || drop(sender.send(work())))
        .map_err(|error| Error::io("start a thread for", "the download", error))?;
    match receiver.await {
        Ok(result) => result,
        Err(_) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => Err(Error::io("wait for", "the download", io::ErrorKind::Other.into())),
        },
    }
}
