//! Checking blobs, layers and snapshots, and mending them by unpacking and fetching again.

use std::collections::HashSet;

use oci::Reference;
use oci::image::Digest;

use crate::{Builtin, Error, Images, Pull, Result};

/// A problem, and what became of it.
#[derive(Debug)]
pub struct Finding {
    /// What is wrong, in a sentence.
    pub problem: String,
    /// Whether it is mended; the reason why not where mending was tried.
    pub repaired: std::result::Result<bool, String>,
}

/// What a check found.
#[derive(Debug, Default)]
pub struct FsckReport {
    /// The problems.
    pub findings: Vec<Finding>,
}

impl FsckReport {
    /// Whether nothing is wrong, or not any more.
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|finding| matches!(finding.repaired, Ok(true)))
    }
}

impl Images {
    /// Looks for problems. With `content`, every blob is read and hashed.
    pub fn fsck(&self, content: bool) -> Result<FsckReport> {
        let findings = self.problems(content)?.into_iter();
        let findings = findings.map(|problem| Finding { problem, repaired: Ok(false) });
        Ok(FsckReport { findings: findings.collect() })
    }

    fn problems(&self, content: bool) -> Result<Vec<String>> {
        let blobs = self.store().fsck(content)?;
        let layers = self.snapshots().fsck()?;
        let blobs = blobs.iter().map(ToString::to_string);
        Ok(blobs.chain(layers.iter().map(ToString::to_string)).collect())
    }

    /// Takes away what can't be used. Returns the layers that are to be unpacked again.
    fn clear(&self, content: bool) -> Result<HashSet<Digest>> {
        for problem in self.store().fsck(content)? {
            self.store().repair(&problem)?;
        }
        let mut lacking = HashSet::new();
        for problem in self.snapshots().fsck()? {
            match &problem {
                snapshot::Problem::Layer { chain_id, .. } => drop(lacking.insert(*chain_id)),
                snapshot::Problem::Snapshot { lacks, .. } => lacking.extend(lacks),
                snapshot::Problem::Stray(_) => {}
            }
            self.snapshots().repair(&problem)?;
        }
        Ok(lacking)
    }
}

impl Pull {
    /// Looks for problems and mends them: what is damaged goes, what is missing is unpacked again, or fetched again from
    /// where its image's name says.
    pub fn repair(self, content: bool) -> Result<FsckReport> {
        let images = self.images.clone();
        let found = images.problems(content)?;
        let lacking = images.clear(content)?;
        let failures = self.restore(&lacking)?;
        let left = images.problems(content)?;
        let mut findings: Vec<Finding> = Vec::new();
        for problem in found {
            let repaired = !left.contains(&problem);
            findings.push(Finding { problem, repaired: Ok(repaired) });
        }
        for problem in left {
            let reason = failures.join("; ");
            findings.retain(|finding| finding.problem != problem);
            findings.push(Finding { problem, repaired: Err(reason) });
        }
        Ok(FsckReport { findings })
    }

    /// Brings back what is missing of each image; returns why it could not be done where it could not.
    fn restore(self, lacking: &HashSet<Digest>) -> Result<Vec<String>> {
        let images = self.images.clone();
        let mut failures = Vec::new();
        let mut wanted: Vec<(Reference, Digest)> = Vec::new();
        for entry in images.store().references()?.entries() {
            if let Some(builtin) =
                Builtin::ALL.into_iter().find(|it| entry.name() == Some(&it.reference().to_string()))
            {
                failures.extend(images.builtin(builtin).err().map(|error| error.to_string()));
                continue;
            }
            let is_whole = images.store().reachable_from(&entry.descriptor)?.missing().is_empty();
            if is_whole && images.unpack_lacking(entry, lacking) {
                continue;
            }
            match entry.name().and_then(|name| name.parse::<Reference>().ok()) {
                Some(name) => wanted.push((name, *entry.digest())),
                None => failures.push(format!("{} has no name to fetch it by", entry.digest())),
            }
        }
        if !wanted.is_empty() {
            failures.extend(self.fetch_again(&wanted)?.iter().map(Error::to_string));
        }
        Ok(failures)
    }
}

impl Images {
    /// Unpacks the layers of an image that are among those that lack; false where its blobs don't suffice.
    fn unpack_lacking(&self, entry: &store::Entry, lacking: &HashSet<Digest>) -> bool {
        let Ok(image) = self.image(&entry.descriptor) else { return true };
        let lacks = image.config.chain_ids().iter().any(|chain_id| lacking.contains(chain_id));
        !lacks || self.unpack(&image.manifest, &image.config).is_ok()
    }
}
