//! The images that are part of berth: they need no registry, and come into the store when they are first named.
//!
//! They are images like others once they are there: listed, inspected, saved, removed, collected; named again, they come
//! back. What makes them is always the same, byte for byte, so any number of processes may make one at once.

use std::collections::BTreeMap;
use std::path::Path;

use oci::Reference;
use oci::image::{
    ContainerConfig, Descriptor, Digest, History, ImageConfig, Manifest, Platform, RootFs, media_type,
};
use snapshot::UnpackOptions;
use snapshot::tar::{Entry, Kind, Time, Writer};
use store::{Lease, Start, StoreError};

use crate::ahead::Stages;
use crate::{Error, Image, Images, Result};

/// Marks a configuration as a built-in image's.
const LABEL: &str = "berth.builtin";
/// When the built-in images last changed: a fixed time, as they are the same wherever and whenever they are made.
const CREATED: &str = "2026-11-26T00:00:00Z";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The one file of the image `hello`.
const PROGRAM: &str = "hello";
/// Directories of the host that are empty in a copy of it: where running programs meet and leave their scratch.
const HIDDEN: [&str; 2] = ["/run", "/tmp"];

/// An image that is part of berth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// A program that prints what isolates it.
    Hello,
    /// The host's own root file system, under a writable overlay.
    Host,
}

/// The documents and the layer of one.
struct Parts {
    layer: Option<Vec<u8>>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

impl Builtin {
    /// All of them.
    pub const ALL: [Builtin; 2] = [Builtin::Hello, Builtin::Host];

    /// The one that is meant by what people type: `hello`, `hello:latest`, or the whole name.
    pub fn named(text: &str) -> Option<Builtin> {
        let name = text.strip_suffix(":latest").unwrap_or(text);
        let name = name.strip_prefix("localhost/").unwrap_or(name);
        Builtin::ALL.into_iter().find(|builtin| builtin.word() == name)
    }

    /// Its full name in the store.
    pub fn reference(self) -> Reference {
        format!("localhost/{}:latest", self.word()).parse().expect("it is a reference")
    }

    fn word(self) -> &'static str {
        match self {
            Builtin::Hello => "hello",
            Builtin::Host => "host",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Builtin::Hello => "prints what isolates it",
            Builtin::Host => "this host's own root, read-only, under a writable overlay",
        }
    }

    fn command(self) -> Vec<String> {
        let words: &[&str] = match self {
            Builtin::Hello => &["/hello"],
            Builtin::Host => &["/bin/sh", "-c", "exec $(command -v bash || echo sh)"],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn parts(self) -> Parts {
        let layer = match self {
            Builtin::Hello => Some(program_layer()),
            Builtin::Host => None,
        };
        let layers: Vec<Descriptor> =
            layer.iter().map(|layer| described(media_type::OCI_LAYER, layer)).collect();
        let step = History {
            created: Some(CREATED.to_owned()),
            created_by: Some("berth".to_owned()),
            comment: Some(self.about().to_owned()),
            empty_layer: layers.is_empty(),
            ..History::default()
        };
        let config = ImageConfig {
            created: Some(CREATED.to_owned()),
            platform: Platform::host(),
            config: ContainerConfig {
                env: vec![PATH.to_owned()],
                cmd: Some(self.command()),
                labels: BTreeMap::from([(LABEL.to_owned(), self.word().to_owned())]),
                working_dir: "/".to_owned(),
                ..ContainerConfig::default()
            },
            rootfs: RootFs {
                diff_ids: layers.iter().map(|layer| layer.digest).collect(),
                ..RootFs::default()
            },
            history: vec![step],
            ..ImageConfig::default()
        };
        let config = serde_json::to_vec(&config).expect("a configuration becomes JSON");
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.to_owned()),
            artifact_type: None,
            config: described(media_type::OCI_CONFIG, &config),
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        };
        Parts { layer, config, manifest: serde_json::to_vec(&manifest).expect("a manifest becomes JSON") }
    }

    /// The digest of its manifest.
    fn digest(self) -> Digest {
        Digest::sha256(&self.parts().manifest)
    }
}

/// An archive of the one program.
fn program_layer() -> Vec<u8> {
    let entry = Entry {
        path: PROGRAM.as_bytes().to_vec(),
        link: Vec::new(),
        kind: Kind::File,
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: Time::default(),
        atime: None,
        device: (0, 0),
        size: hello::PROGRAM.len() as u64,
        xattrs: Vec::new(),
        sparse: None,
    };
    let mut archive = Writer::new(Vec::new());
    let written = archive.entry(&entry).and_then(|()| archive.content(hello::PROGRAM));
    written.and_then(|()| archive.finish()).expect("memory takes what is written")
}

fn described(kind: &str, bytes: &[u8]) -> Descriptor {
    Descriptor::new(kind, Digest::sha256(bytes), bytes.len() as u64)
}

impl Images {
    /// The built-in image, which is put into the store unless it is there. An image that somebody gave the name to stays
    /// what the name means; one of another version of berth is replaced.
    pub fn builtin(&self, builtin: Builtin) -> Result<Image> {
        let parts = builtin.parts();
        let target = described(media_type::OCI_MANIFEST, &parts.manifest);
        let name = builtin.reference().to_string();
        if let Some(known) = self.store().resolve(&name)?
            && let Ok(image) = self.image(&known)
            && (known.digest == target.digest || !image.config.config.labels.contains_key(LABEL))
            && (known.digest != target.digest || self.is_whole(&image)?)
        {
            return Ok(image);
        }
        let lease = self.store().lease()?;
        self.put_parts(&lease, &parts)?;
        self.store().update_references(|references| {
            let stale = references.get(&name).map(|entry| *entry.digest()).filter(|it| *it != target.digest);
            references.set(&name, &target);
            // Nobody asked for what another version made.
            if let Some(stale) = stale
                && references.entries().iter().all(|entry| entry.digest() != &stale || entry.name().is_none())
            {
                references.remove_digest(&stale);
            }
        })?;
        self.image(&target)
    }

    /// Whether `image` is the built-in one of the host's root: by its content and by its name, so that no registry can
    /// make an image that shows the host's files.
    pub fn is_host(&self, image: &Image) -> bool {
        let name = Builtin::Host.reference().to_string();
        image.config.config.labels.contains_key(LABEL)
            && image.names.contains(&name)
            && image.target.digest == Builtin::Host.digest()
    }

    /// Whether `image` came with this program, and needs nobody's signature.
    pub(crate) fn is_builtin(&self, image: &Image) -> bool {
        image.config.config.labels.contains_key(LABEL)
            && Builtin::ALL.into_iter().any(|builtin| builtin.digest() == image.target.digest)
    }

    /// The host's directories that are empty in a copy of it.
    pub(crate) fn hidden_of_host() -> [&'static Path; 2] {
        HIDDEN.map(Path::new)
    }

    /// Whether all of it is here as it was made: nothing was synced, so a power cut may have taken some of it.
    fn is_whole(&self, image: &Image) -> Result<bool> {
        for blob in [&image.target, &image.manifest.config].into_iter().chain(&image.manifest.layers) {
            match self.store().read(&blob.digest) {
                Ok(_) => {}
                Err(StoreError::Missing(_) | StoreError::WrongDigest { .. }) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        let chain = image.config.chain_ids();
        Ok(chain.first().is_none_or(|layer| self.has_program(layer)))
    }

    fn has_program(&self, layer: &Digest) -> bool {
        let Ok(layer) = self.snapshots().layer(layer) else { return false };
        std::fs::read(layer.path.join(PROGRAM)).is_ok_and(|content| content == hello::PROGRAM)
    }

    /// Stores it without waiting for the disk: a first `run` is as quick as the second, and what a power cut damages is
    /// made again.
    fn put_parts(&self, lease: &Lease, parts: &Parts) -> Result<()> {
        for (kind, bytes) in [
            (media_type::OCI_LAYER, parts.layer.as_ref()),
            (media_type::OCI_CONFIG, Some(&parts.config)),
            (media_type::OCI_MANIFEST, Some(&parts.manifest)),
        ] {
            let Some(bytes) = bytes else { continue };
            let descriptor = described(kind, bytes);
            if self.store().blob_size(&descriptor.digest)?.is_some()
                && let Err(StoreError::WrongDigest { .. }) = self.store().read(&descriptor.digest)
            {
                self.store().remove_damaged(&descriptor.digest)?;
            }
            if let Start::Write(mut ingest) = lease.ingest(&descriptor)? {
                ingest.restart()?;
                ingest.append(bytes)?;
                ingest.commit_volatile()?;
            }
        }
        let parsed = |source| Error::Document { what: "a built-in image".to_owned(), source };
        let config = ImageConfig::parse(&parts.config).map_err(parsed)?;
        let manifest: Manifest = serde_json::from_slice(&parts.manifest).expect("it was just written");
        if let Some(layer) = config.chain_ids().first()
            && self.snapshots().has_layer(layer)?
            && !self.has_program(layer)
        {
            self.snapshots().discard_layer(layer)?;
        }
        let options = UnpackOptions { durable: false, ..self.snapshots().unpack_options() };
        self.unpack_by(&manifest, &config, &mut Stages::new(), &options)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_a_built_in_image() {
        for (text, meant) in [
            ("hello", Some(Builtin::Hello)),
            ("hello:latest", Some(Builtin::Hello)),
            ("localhost/host", Some(Builtin::Host)),
            ("localhost/host:latest", Some(Builtin::Host)),
            ("hello:1", None),
            ("library/hello", None),
            ("docker.io/library/host", None),
            ("", None),
        ] {
            assert_eq!(Builtin::named(text), meant, "{text}");
        }
    }

    #[test]
    fn they_are_always_the_same() {
        for builtin in Builtin::ALL {
            assert_eq!(builtin.digest(), builtin.digest());
        }
    }
}
