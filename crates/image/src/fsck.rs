//! Checking the store, and mending it by fetching again.

use oci::Reference;
use oci::image::Digest;
use store::Problem;

use crate::{Error, Images, Pull, Result};

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
        let problems = self.store().fsck(content)?;
        let findings =
            problems.iter().map(|problem| Finding { problem: problem.to_string(), repaired: Ok(false) });
        Ok(FsckReport { findings: findings.collect() })
    }
}

impl Pull {
    /// Looks for problems and mends them: what is damaged goes, what is missing is fetched again from where its
    /// image's name says.
    pub fn repair(self, content: bool) -> Result<FsckReport> {
        let images = self.images.clone();
        let found = images.store().fsck(content)?;
        for problem in &found {
            images.store().repair(problem)?;
        }
        let failures = self.fetch_missing()?;
        let left: Vec<String> = images.store().fsck(content)?.iter().map(Problem::to_string).collect();
        let mut findings: Vec<Finding> = Vec::new();
        for problem in found.iter().map(Problem::to_string) {
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

    /// Fetches what is missing of each named image; returns why it could not be done where it could not.
    fn fetch_missing(self) -> Result<Vec<String>> {
        let images = self.images.clone();
        let mut failures = Vec::new();
        let mut wanted: Vec<(Reference, Digest)> = Vec::new();
        for entry in images.store().references()?.entries() {
            if images.store().reachable_from(&entry.descriptor)?.missing().is_empty() {
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
