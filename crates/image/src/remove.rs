//! Names and images go.

use std::collections::HashSet;

use oci::Reference;
use oci::image::Digest;
use snapshot::Layer;
use store::{Collected, GcOptions, StoreError};

use crate::{Error, Image, Images, Result};

/// What was removed.
#[derive(Clone, Debug, Default)]
pub struct Removed {
    /// Names taken away.
    pub untagged: Vec<String>,
    /// Manifests and indexes that nothing refers to any more.
    pub deleted: Vec<Digest>,
}

impl Images {
    /// Removes what `text` means: a name, or by id the image with its names. An image with several names is
    /// removed by id only with `force`.
    pub fn remove(&self, text: &str, candidates: &[Reference], force: bool) -> Result<Removed> {
        let image = self.find(text, candidates)?;
        let by_name = candidates.iter().map(Reference::to_string).find(|name| image.names.contains(name));
        if by_name.is_none() && image.names.len() > 1 && !force {
            let reason =
                format!("it has several names: {}; remove those, or force it", image.names.join(", "));
            return Err(Error::InUse { image: text.to_owned(), reason });
        }
        let digest = image.target.digest;
        let (untagged, is_gone) = self.store().update_references(|references| {
            let untagged: Vec<String> = match &by_name {
                Some(name) => references.remove(name).iter().filter_map(owned_name).collect(),
                None => references.remove_digest(&digest).iter().filter_map(owned_name).collect(),
            };
            (untagged, !references.has_digest(&digest))
        })?;
        Ok(Removed { untagged, deleted: if is_gone { vec![digest] } else { Vec::new() } })
    }

    /// Removes the names of images without one (`all`: of all that `in_use` does not know).
    pub fn prune(&self, all: bool, in_use: &HashSet<Digest>) -> Result<Removed> {
        let mut doomed = HashSet::new();
        for entry in self.store().references()?.entries() {
            let spared = entry.is_pinned()
                || in_use.contains(entry.digest())
                || self.identity(&entry.descriptor).is_ok_and(|id| in_use.contains(&id));
            if !spared && (all || entry.name().is_none()) {
                doomed.insert(*entry.digest());
            }
        }
        let removed = self.store().update_references(|references| {
            let mut removed = Removed::default();
            for digest in &doomed {
                // A name that came meanwhile saves the image.
                let named = references.entries().iter().any(|e| e.digest() == digest && e.name().is_some());
                if all || !named {
                    removed.untagged.extend(references.remove_digest(digest).iter().filter_map(owned_name));
                    removed.deleted.push(*digest);
                }
            }
            removed
        })?;
        Ok(removed)
    }

    /// The images that a container or a mount stands on, by id.
    pub fn in_use(&self) -> Result<HashSet<Digest>> {
        let parents: HashSet<Digest> =
            self.snapshots().snapshots()?.iter().filter_map(|snapshot| snapshot.parent().copied()).collect();
        let mut in_use = HashSet::new();
        for entry in self.store().references()?.entries() {
            let Ok(image) = self.image(&entry.descriptor) else { continue };
            if image.config.chain_ids().last().is_some_and(|top| parents.contains(top)) {
                in_use.insert(*image.id());
            }
        }
        Ok(in_use)
    }

    /// Frees what nothing refers to: blobs, and the layers unpacked from them.
    pub fn gc(&self, options: GcOptions) -> Result<(Collected, Vec<Layer>)> {
        let mut layers = Ok(Vec::new());
        let collected = self.store().gc(options, |reachable| {
            let mut keep = HashSet::new();
            for digest in reachable.configs() {
                match self.store().config(digest) {
                    // All of them, as the topmost may still be on its way.
                    Ok(config) => keep.extend(config.chain_ids()),
                    // Still on its way itself, or of another platform.
                    Err(StoreError::Missing(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            layers = self.snapshots().collect(&keep);
            Ok(())
        })?;
        self.forget_signatures()?;
        Ok((collected, layers?))
    }

    /// Keeps an image from being pruned, or lets it go again.
    pub fn pin(&self, image: &Image, pinned: bool) -> Result<()> {
        let digest = image.target.digest;
        self.store().update_references(|references| references.pin(&digest, pinned))?;
        Ok(())
    }
}

fn owned_name(entry: &store::Entry) -> Option<String> {
    entry.name().map(str::to_owned)
}
