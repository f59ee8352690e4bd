//! Whether an image at a registry is signed by a key.

use oci::Reference;
use oci::image::{Descriptor, Digest};
use registry::signature::{PublicKey, Signed};
use registry::{Config, Patience, Purpose, Repository};

use crate::{Result, event_loop};

/// The signatures of an image.
#[derive(Clone, Debug)]
pub struct SignCheck {
    /// The name that was asked for.
    pub reference: Reference,
    /// What it means at the registry.
    pub digest: Digest,
    /// How many signatures there are.
    pub found: usize,
    /// What is vouched for by the key, with this digest.
    pub good: Vec<Signed>,
}

impl SignCheck {
    /// Fetches the signatures of `reference` and checks them with `key`.
    pub fn run(
        config: &Config,
        reference: &Reference,
        key: &PublicKey,
        patience: Patience,
    ) -> Result<SignCheck> {
        let runtime = event_loop()?;
        runtime.block_on(async {
            let by_digest = reference.digest();
            let purpose = if by_digest.is_some() { Purpose::PullDigest } else { Purpose::PullTag };
            let repository = Repository::open(config, reference, purpose, patience, None)?;
            let top = match by_digest {
                Some(digest) => repository.manifest(&Descriptor::new("", *digest, 0)).await?,
                None => repository.manifest_by_tag(reference.tag().unwrap_or_default()).await?,
            };
            let digest = top.descriptor.digest;
            let signatures = repository.signatures(&digest).await?;
            let good = signatures.iter().filter_map(|signature| signature.verify(key).ok());
            let good = good.filter(|signed| signed.manifest == digest).collect();
            Ok(SignCheck { reference: reference.clone(), digest, found: signatures.len(), good })
        })
    }
}
