//! Manifests at registries, and lists of them.

use std::collections::BTreeMap;

use oci::Reference;
use oci::image::{Descriptor, Document, Index, Kind, Platform, media_type};
use registry::{Config, Patience, Purpose, Repository};

use crate::{Error, Image, Images, Result, event_loop};

/// A manifest or index as a registry has it.
#[derive(Clone, Debug)]
pub struct RemoteManifest {
    /// The name that was asked for.
    pub reference: Reference,
    /// Media type, digest and size.
    pub descriptor: Descriptor,
    /// Byte for byte.
    pub bytes: Vec<u8>,
    /// The parsed form.
    pub document: Document,
}

/// How a list of manifests is made.
#[derive(Clone, Debug, Default)]
pub struct ManifestOptions {
    /// Whether a list of that name may be there already, and is added to.
    pub amend: bool,
    /// Notes on the list.
    pub annotations: BTreeMap<String, String>,
}

/// The tags of the first of `candidates` that exists at its registry.
pub fn remote_tags(
    config: &Config,
    candidates: &[Reference],
    patience: Patience,
) -> Result<(Reference, Vec<String>)> {
    let runtime = event_loop()?;
    let mut first_error = None;
    for reference in candidates {
        let listed = runtime.block_on(async {
            Repository::open(config, reference, Purpose::PullTag, patience, None)?.tags().await
        });
        match listed {
            Ok(tags) => return Ok((reference.clone(), tags)),
            Err(error) => drop(first_error.get_or_insert(error)),
        }
    }
    Err(first_error.map_or_else(|| Error::NotFound("no name".to_owned()), Error::Registry))
}

impl RemoteManifest {
    /// Fetches what the first of `candidates` that exists means at its registry. Nothing is stored.
    pub fn fetch(config: &Config, candidates: &[Reference], patience: Patience) -> Result<RemoteManifest> {
        let runtime = event_loop()?;
        let mut first_error = None;
        for reference in candidates {
            let fetched = runtime.block_on(async {
                let (purpose, name) = match reference.digest() {
                    Some(_) => (Purpose::PullDigest, None),
                    None => (Purpose::PullTag, reference.tag()),
                };
                let repository = Repository::open(config, reference, purpose, patience, None)?;
                match (reference.digest(), name) {
                    (Some(digest), _) => repository.manifest(&Descriptor::new("", *digest, 0)).await,
                    (None, tag) => repository.manifest_by_tag(tag.unwrap_or_default()).await,
                }
            });
            match fetched {
                Ok(found) => {
                    return Ok(RemoteManifest {
                        reference: reference.clone(),
                        descriptor: found.descriptor,
                        bytes: found.bytes.to_vec(),
                        document: found.document,
                    });
                }
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        Err(first_error.map_or_else(|| Error::NotFound("no name".to_owned()), Error::Registry))
    }
}

impl Images {
    /// Makes an index called `name` of images that are here, each for the platform that its configuration says.
    pub fn create_index(
        &self,
        name: &Reference,
        members: &[Image],
        options: ManifestOptions,
    ) -> Result<Descriptor> {
        let lease = self.store().lease()?;
        let mut manifests = match self.store().resolve(&name.to_string())? {
            None => Vec::new(),
            Some(_) if !options.amend => {
                let reason = "an image of that name is here; amend it, or remove it first".to_owned();
                return Err(Error::InUse { image: name.familiar(), reason });
            }
            Some(existing) => match self.store().document(&existing)? {
                Document::Index(index) => index.manifests,
                Document::Manifest(_) => {
                    let reason = "is one image, not a list of them".to_owned();
                    return Err(Error::NotAnImage { image: name.familiar(), reason });
                }
            },
        };
        for member in members {
            let child = member_descriptor(member);
            lease.claim(&child)?;
            manifests.retain(|known: &Descriptor| known.platform != child.platform);
            manifests.push(child);
        }
        let index = Index {
            schema_version: 2,
            media_type: Some(index_type(&manifests).to_owned()),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: options.annotations,
        };
        let kind = index_type(&index.manifests);
        let bytes = serde_json::to_vec(&index).expect("an index becomes JSON");
        let target = lease.put(kind, &bytes)?;
        self.store().update_references(|references| references.set(&name.to_string(), &target))?;
        Ok(target)
    }
}

fn member_descriptor(member: &Image) -> Descriptor {
    let mut child = member.manifest_descriptor.clone();
    child.annotations.clear();
    if child.kind() == Kind::Other {
        media_type::OCI_MANIFEST.clone_into(&mut child.media_type);
    }
    let platform = &member.config.platform;
    child.platform = Some(match platform.os.is_empty() {
        true => Platform::host(),
        false => platform.clone(),
    });
    child
}

/// Docker's list for Docker's manifests, as some registries refuse to mix; else OCI's.
fn index_type(manifests: &[Descriptor]) -> &'static str {
    let is_docker = |child: &Descriptor| child.media_type == media_type::DOCKER_MANIFEST;
    match !manifests.is_empty() && manifests.iter().all(is_docker) {
        true => media_type::DOCKER_MANIFEST_LIST,
        false => media_type::OCI_INDEX,
    }
}
