//! Complete blobs.

use std::fs::File;
use std::io::Read;

use oci::image::{Descriptor, Digest, Document, ImageConfig, MAX_DOCUMENT_BYTES};

use crate::{Reachable, Result, Store, StoreError, durable};

/// A complete blob, open for reading from its start.
#[derive(Debug)]
pub struct Blob {
    /// Its name.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its content. Stays readable even if the blob is collected meanwhile.
    pub file: File,
}

impl Store {
    /// Opens a blob, if it is there.
    pub fn blob(&self, digest: &Digest) -> Result<Option<Blob>> {
        let path = self.blob_path(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("open", path, error)),
        };
        let size = file.metadata().map_err(|error| StoreError::io("stat", path, error))?.len();
        Ok(Some(Blob { digest: *digest, size, file }))
    }

    /// The size of a blob in bytes, if it is there.
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.blob_path(digest);
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("stat", path, error)),
        }
    }

    /// The whole content of a small blob, which has to have its digest still.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>> {
        let blob = self.blob(digest)?.ok_or(StoreError::Missing(*digest))?;
        let limit = MAX_DOCUMENT_BYTES as u64;
        if blob.size > limit {
            return Err(StoreError::TooLarge { digest: *digest, size: blob.size, limit });
        }
        let mut content = Vec::with_capacity(blob.size as usize);
        let read = (&blob.file).take(limit).read_to_end(&mut content);
        read.map_err(|error| StoreError::io("read", self.blob_path(digest), error))?;
        match Digest::of(digest.algorithm(), &content) {
            actual if actual == *digest => Ok(content),
            actual => Err(StoreError::WrongDigest { expected: *digest, actual }),
        }
    }

    /// The manifest or index that `descriptor` points at.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Document> {
        let content = self.read(&descriptor.digest)?;
        Document::parse(&content, &descriptor.media_type)
            .map_err(|source| StoreError::Document { digest: descriptor.digest, source })
    }

    /// The image configuration `digest`.
    pub fn config(&self, digest: &Digest) -> Result<ImageConfig> {
        let content = self.read(digest)?;
        ImageConfig::parse(&content).map_err(|source| StoreError::Document { digest: *digest, source })
    }

    /// Takes away a blob whose content is not what its name says, so that it can be written again.
    pub fn remove_damaged(&self, digest: &Digest) -> Result<()> {
        let _lock = self.lock_exclusive()?;
        durable::remove(&self.blob_path(digest))
    }

    /// Drops a blob on purpose: a layer that is unpacked. It is not missing from then on.
    pub fn discard_blob(&self, digest: &Digest) -> Result<()> {
        let _lock = self.lock_exclusive()?;
        let marker = self.discarded_path(digest);
        durable::open_or_create(&marker)?;
        durable::sync_directory(&self.root().join("discarded"))?;
        durable::remove(&self.blob_path(digest))
    }

    /// Whether a blob was dropped on purpose.
    pub fn is_discarded(&self, digest: &Digest) -> Result<bool> {
        durable::exists(&self.discarded_path(digest))
    }

    /// Forgets that blobs were dropped that nothing refers to any more.
    pub(crate) fn forget_discarded(&self, reachable: &Reachable) -> Result<()> {
        let directory = self.root().join("discarded");
        for name in durable::list(&directory)? {
            let digest = name.replacen('-', ":", 1).parse::<Digest>();
            if digest.is_ok_and(|digest| !reachable.contains(&digest)) {
                durable::remove(&directory.join(name))?;
            }
        }
        Ok(())
    }
}
