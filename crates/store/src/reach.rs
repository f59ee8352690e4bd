//! Reachability: which blobs are part of something that has a reference or a lease.

use std::collections::HashMap;

use oci::image::{Descriptor, Digest, Document, Kind};

use crate::{Result, Store, StoreError};

/// How deep indexes may nest. Nobody nests them more than twice.
const MAX_DEPTH: usize = 8;

/// What is part of something referenced or leased.
#[derive(Debug, Default)]
pub struct Reachable {
    found: HashMap<Digest, Descriptor>,
    missing: Vec<Missing>,
    damaged: Vec<StoreError>,
}

/// A blob that should be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is missing.
    pub descriptor: Descriptor,
    /// The manifest or index that needs it; none if it is the reference's own.
    pub parent: Option<Digest>,
}

impl Reachable {
    /// Whether `digest` is part of anything.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.found.contains_key(digest)
    }

    /// All blobs, in no order. Some may not be in the store: other platforms, discarded layers.
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        self.found.values()
    }

    /// The image configurations; their chain ids are the snapshots to keep.
    pub fn configs(&self) -> impl Iterator<Item = &Digest> {
        self.descriptors()
            .filter(|descriptor| descriptor.kind() == Kind::Config)
            .map(|descriptor| &descriptor.digest)
    }

    /// What is missing of things that are there in part.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// The first document that could not be read, so that what it holds is unknown.
    pub(crate) fn take_damage(&mut self) -> Option<StoreError> {
        self.damaged.pop()
    }

    /// Adds `root` and all that it is made of.
    pub(crate) fn mark(&mut self, store: &Store, root: &Descriptor) -> Result<()> {
        if let Some(missing) = self.visit(store, root, None, 0)? {
            self.missing.push(missing);
        }
        Ok(())
    }

    /// Marks one blob and what is below it. Returns it if it is not in the store.
    fn visit(
        &mut self,
        store: &Store,
        descriptor: &Descriptor,
        parent: Option<Digest>,
        depth: usize,
    ) -> Result<Option<Missing>> {
        let absent = store.blob_size(&descriptor.digest)?.is_none();
        let missing = absent.then(|| Missing { descriptor: descriptor.clone(), parent });
        // The first one that says what it is counts: a lease may know less than a manifest.
        let known = self.found.get(&descriptor.digest).is_some_and(|known| known.kind() != Kind::Other);
        if known || depth > MAX_DEPTH {
            return Ok(missing);
        }
        self.found.insert(descriptor.digest, descriptor.clone());
        if absent || !matches!(descriptor.kind(), Kind::Manifest | Kind::Index) {
            return Ok(missing);
        }
        match store.document(descriptor) {
            Ok(document) => self.visit_children(store, &document, descriptor.digest, depth + 1)?,
            Err(
                error @ (StoreError::WrongDigest { .. }
                | StoreError::Document { .. }
                | StoreError::TooLarge { .. }),
            ) => self.damaged.push(error),
            Err(StoreError::Missing(_)) => {
                return Ok(Some(Missing { descriptor: descriptor.clone(), parent }));
            }
            Err(error) => return Err(error),
        }
        Ok(missing)
    }

    fn visit_children(
        &mut self,
        store: &Store,
        document: &Document,
        digest: Digest,
        depth: usize,
    ) -> Result<()> {
        let mut absent = Vec::new();
        for child in document.children() {
            absent.extend(self.visit(store, child, Some(digest), depth)?);
        }
        match document {
            Document::Manifest(_) => {
                absent.retain(|missing| !store.is_discarded(&missing.descriptor.digest).unwrap_or(false));
                self.missing.extend(absent);
            }
            // An index is whole with one platform of it.
            Document::Index(index) if !absent.is_empty() && absent.len() == index.manifests.len() => {
                self.missing.extend(absent);
            }
            Document::Index(_) => {}
        }
        Ok(())
    }
}

impl Store {
    /// What the references hold.
    pub fn reachable_from_references(&self) -> Result<Reachable> {
        let mut reachable = Reachable::default();
        for entry in self.references()?.entries() {
            reachable.mark(self, &entry.descriptor)?;
        }
        Ok(reachable)
    }

    /// What one image is made of.
    pub fn reachable_from(&self, descriptor: &Descriptor) -> Result<Reachable> {
        let mut reachable = Reachable::default();
        reachable.mark(self, descriptor)?;
        Ok(reachable)
    }
}
