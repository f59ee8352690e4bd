//! Names and images go.

use std::collections::HashSet;

use oci::Reference;
use oci::image::Digest;
use snapshot::Layer;
use store::{Collected, GcOptions, StoreError};

use crate::list::accept;
use crate::{Builtin, Error, Filter, Image, Images, Result};

/// What was removed.
#[derive(Clone, Debug, Default)]
pub struct Removed {
    /// Names taken away.
    pub untagged: Vec<String>,
    /// Manifests and indexes that nothing refers to any more.
    pub deleted: Vec<Digest>,
}

/// A container that was made of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageUser {
    /// The container's id.
    pub container: String,
    /// Whether it runs.
    pub running: bool,
}

impl ImageUser {
    fn short(&self) -> &str {
        self.container.get(..12).unwrap_or(&self.container)
    }
}

impl Images {
    /// Removes what `text` means: a name, or by id the image with its names. `users` tells which containers there are of
    /// the image with that id. As with Docker, the last name of a used image goes only with `force` and leaves the image
    /// without a name; an image goes by id if nobody uses it, and with `force` if nobody runs it.
    pub fn remove(
        &self,
        text: &str,
        candidates: &[Reference],
        force: bool,
        users: &dyn Fn(&Digest) -> Vec<ImageUser>,
    ) -> Result<Removed> {
        let image = self.find_stored(text, candidates)?;
        let builtin = Builtin::named(text).map(Builtin::reference);
        let names = candidates.iter().chain(&builtin).map(Reference::to_string);
        let by_name = names.into_iter().find(|name| image.names.contains(name));
        let users = users(image.id());
        match &by_name {
            Some(name) if image.names.len() == 1 && !force => may_lose_name(name, &image, &users)?,
            Some(_) => {}
            None => may_be_deleted(&image, &users, force)?,
        }
        let target = image.target.clone();
        let digest = target.digest;
        let (untagged, is_gone) = self.store().update_references(|references| {
            let untagged: Vec<String> = match &by_name {
                Some(name) => references.remove(name).iter().filter_map(owned_name).collect(),
                None => references.remove_digest(&digest).iter().filter_map(owned_name).collect(),
            };
            // Its containers can still be committed and inspected.
            if !users.is_empty() {
                references.add_dangling(&target);
            }
            (untagged, !references.has_digest(&digest))
        })?;
        Ok(Removed { untagged, deleted: if is_gone { vec![digest] } else { Vec::new() } })
    }

    /// Removes the names of images without one (`all`: of all that `in_use` does not know) that `filters` let through.
    pub fn prune(&self, all: bool, in_use: &HashSet<Digest>, filters: &[Filter]) -> Result<Removed> {
        let mut doomed = HashSet::new();
        for entry in self.store().references()?.entries() {
            let spared = entry.is_pinned()
                || in_use.contains(entry.digest())
                || self.identity(&entry.descriptor).is_ok_and(|id| in_use.contains(&id));
            if !spared
                && (all || entry.name().is_none())
                && accept(filters, &self.listed(None, &entry.descriptor))
            {
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

fn may_lose_name(name: &str, image: &Image, users: &[ImageUser]) -> Result<()> {
    let Some(user) = users.first() else { return Ok(()) };
    let name = name.parse::<Reference>().map_or_else(|_| name.to_owned(), |name| name.familiar());
    let (container, id) = (user.short(), image.id().short());
    Err(Error::Conflict(format!(
        "unable to remove repository reference \"{name}\" (must force) - container {container} is using its \
         referenced image {id}"
    )))
}

fn may_be_deleted(image: &Image, users: &[ImageUser], force: bool) -> Result<()> {
    let id = image.id().short();
    let refuse =
        |how: &str, why: &str| Err(Error::Conflict(format!("unable to delete {id} ({how}) - {why}")));
    if let Some(user) = users.iter().find(|user| user.running) {
        return refuse(
            "cannot be forced",
            &format!("image is being used by running container {}", user.short()),
        );
    }
    if force {
        return Ok(());
    }
    if image.names.len() > 1 {
        return refuse("must be forced", "image is referenced in multiple repositories");
    }
    match users.first() {
        Some(user) => {
            refuse("must be forced", &format!("image is being used by stopped container {}", user.short()))
        }
        None => Ok(()),
    }
}

fn owned_name(entry: &store::Entry) -> Option<String> {
    entry.name().map(str::to_owned)
}
