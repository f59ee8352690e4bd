//! References: names of descriptors, kept in the layout's `index.json`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use oci::image::{Descriptor, Digest, media_type};

use crate::{Result, Store, StoreError, durable};

/// The annotation that holds the name (image-spec, annotations.md); skopeo, umoci and others select by it.
pub const NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation that keeps an image from being pruned or collected for room.
const PINNED: &str = "berth.pinned";

/// One entry of the index: an image, with a name or without (dangling).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Entry {
    /// What is meant, as in `index.json`: the annotations carry name and pin.
    pub descriptor: Descriptor,
}

impl Entry {
    /// The full name, as `docker.io/library/alpine:latest`; none is left when another image took it.
    pub fn name(&self) -> Option<&str> {
        self.descriptor.annotations.get(NAME).map(String::as_str)
    }

    /// Whether it is kept whatever room is needed.
    pub fn is_pinned(&self) -> bool {
        self.descriptor.annotations.get(PINNED).is_some_and(|value| value == "true")
    }

    /// The digest of the manifest or index.
    pub fn digest(&self) -> &Digest {
        &self.descriptor.digest
    }

    fn new(descriptor: &Descriptor, name: Option<&str>) -> Entry {
        let mut descriptor = descriptor.clone();
        descriptor.annotations.remove(NAME);
        if let Some(name) = name {
            descriptor.annotations.insert(NAME.into(), name.into());
        }
        Entry { descriptor }
    }
}

/// All references of a store at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    entries: Vec<Entry>,
}

impl References {
    /// The entries, in the order in which they were made.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry called `name`.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name() == Some(name))
    }

    /// Whether anything refers to `digest` directly.
    pub fn has_digest(&self, digest: &Digest) -> bool {
        self.entries.iter().any(|entry| entry.digest() == digest)
    }

    /// Names `descriptor`. The image that had the name before stays as a dangling one unless it has another
    /// name; an entry of `descriptor` without a name is taken over.
    pub fn set(&mut self, name: &str, descriptor: &Descriptor) {
        if let Some(before) = self.get(name).cloned() {
            if before.digest() == &descriptor.digest {
                return;
            }
            self.remove(name);
            if !self.has_digest(before.digest()) {
                self.entries.push(Entry::new(&before.descriptor, None));
            }
        }
        self.entries.retain(|entry| entry.digest() != &descriptor.digest || entry.name().is_some());
        self.entries.push(Entry::new(descriptor, Some(name)));
    }

    /// Keeps `descriptor` without a name, unless it has an entry already.
    pub fn add_dangling(&mut self, descriptor: &Descriptor) {
        if !self.has_digest(&descriptor.digest) {
            self.entries.push(Entry::new(descriptor, None));
        }
    }

    /// Takes a name away and returns what it meant. The image is unreferenced unless it has another entry.
    pub fn remove(&mut self, name: &str) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| entry.name() == Some(name))?;
        Some(self.entries.remove(at))
    }

    /// Removes all entries of `digest`, named or not, and returns them.
    pub fn remove_digest(&mut self, digest: &Digest) -> Vec<Entry> {
        self.entries.extract_if(.., |entry| entry.digest() == digest).collect()
    }

    /// Pins or unpins all entries of `digest`; false if there is none.
    pub fn pin(&mut self, digest: &Digest, pinned: bool) -> bool {
        let mut found = false;
        for entry in self.entries.iter_mut().filter(|entry| entry.digest() == digest) {
            found = true;
            match pinned {
                true => entry.descriptor.annotations.insert(PINNED.into(), "true".into()),
                false => entry.descriptor.annotations.remove(PINNED),
            };
        }
        found
    }
}

/// `index.json` as it is on disk; what other tools wrote beside the manifests is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexFile {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<Vec<Entry>>,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

impl Store {
    /// The references as they are now.
    pub fn references(&self) -> Result<References> {
        let file = self.read_index()?;
        Ok(References { entries: file.manifests.unwrap_or_default() })
    }

    /// What `name` means now.
    pub fn resolve(&self, name: &str) -> Result<Option<Descriptor>> {
        Ok(self.references()?.get(name).map(|entry| entry.descriptor.clone()))
    }

    /// Changes the references, durably and all at once, and returns what `change` returns. `change` runs
    /// under the store's lock: it must be quick and must not use the store.
    pub fn update_references<T>(&self, change: impl FnOnce(&mut References) -> T) -> Result<T> {
        let _lock = self.lock_exclusive()?;
        let before = self.references()?;
        let mut after = before.clone();
        let returned = change(&mut after);
        if after != before {
            write(self, &after)?;
        }
        Ok(returned)
    }

    fn read_index(&self) -> Result<IndexFile> {
        let path = self.index_path();
        let text = std::fs::read(&path).map_err(|error| StoreError::io("read", &path, error))?;
        serde_json::from_slice(&text).map_err(|source| StoreError::Index { path, source })
    }
}

/// Writes `index.json`. The caller holds the lock exclusively.
pub fn write(store: &Store, references: &References) -> Result<()> {
    let rest = store.read_index().map(|file| file.rest).unwrap_or_default();
    let file = IndexFile {
        schema_version: 2,
        media_type: Some(media_type::OCI_INDEX.into()),
        manifests: Some(references.entries.clone()),
        rest,
    };
    let text =
        serde_json::to_vec(&file).map_err(|source| StoreError::Index { path: store.index_path(), source })?;
    durable::replace(&store.index_path(), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(content: &[u8]) -> Descriptor {
        Descriptor::new(media_type::OCI_MANIFEST, Digest::sha256(content), content.len() as u64)
    }

    #[test]
    fn a_name_that_moves_leaves_a_dangling_image() {
        let (a, b) = (image(b"a"), image(b"bb"));
        let mut references = References::default();
        references.set("x:1", &a);
        references.set("x:1", &b);
        let shown: Vec<_> = references.entries().iter().map(|entry| (entry.name(), entry.digest())).collect();
        assert_eq!(shown, [(None, &a.digest), (Some("x:1"), &b.digest)]);
        references.set("x:2", &a);
        assert!(references.entries().iter().all(|entry| entry.name().is_some()), "the name was taken over");
    }

    #[test]
    fn an_image_with_another_name_does_not_dangle() {
        let (a, b) = (image(b"a"), image(b"bb"));
        let mut references = References::default();
        references.set("x:1", &a);
        references.set("x:2", &a);
        references.set("x:1", &b);
        assert_eq!(references.entries().len(), 2);
        assert_eq!(references.remove("x:2").unwrap().digest(), &a.digest);
        assert!(!references.has_digest(&a.digest));
        assert!(references.pin(&b.digest, true) && references.get("x:1").unwrap().is_pinned());
        assert!(!references.pin(&a.digest, true));
    }
}
