//! Checking a store, and what can be mended without a registry.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;

use oci::image::{Algorithm, Digest, Hasher};

use crate::{Blob, Missing, References, Result, Store, StoreError, durable, references};

/// Something that is not as it should be.
#[derive(Debug)]
pub enum Problem {
    /// A blob's content is not what its name says. Repair removes it; it is then missing if anyone needs it.
    Corrupt {
        /// Its name.
        digest: Digest,
        /// What it holds.
        actual: Digest,
    },
    /// A blob has the digest that it should, but its descriptor lies about its size.
    WrongSize {
        /// What is needed.
        missing: Missing,
        /// How large the blob is.
        actual: u64,
    },
    /// A blob that something needs is not there. Only fetching it again helps.
    Missing(Missing),
    /// A document has its digest but cannot be read, so nobody can use what points at it.
    Unreadable(StoreError),
    /// A file that the store did not make. Repair moves it to `trash/`.
    Stray(PathBuf),
    /// `index.json` cannot be read. Repair moves it aside and starts an empty one.
    Index(StoreError),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Corrupt { digest, actual } => {
                write!(f, "blob {digest} is corrupt: its content has the digest {actual}")
            }
            Problem::WrongSize { missing, actual } => write!(
                f,
                "blob {} has {actual} bytes, but what refers to it says {}",
                missing.descriptor.digest, missing.descriptor.size
            ),
            Problem::Missing(Missing { descriptor, parent: Some(parent) }) => {
                write!(
                    f,
                    "blob {} ({}) is missing; {parent} needs it",
                    descriptor.digest, descriptor.media_type
                )
            }
            Problem::Missing(Missing { descriptor, parent: None }) => {
                let name = descriptor
                    .annotations
                    .get(references::NAME)
                    .map_or("an image without a name", String::as_str);
                write!(f, "blob {} is missing; {name} is it", descriptor.digest)
            }
            Problem::Unreadable(error) | Problem::Index(error) => write!(f, "{error}"),
            Problem::Stray(path) => write!(f, "{} is no file of the store", path.display()),
        }
    }
}

impl Store {
    /// Looks for problems. With `content`, every blob is read and hashed.
    pub fn fsck(&self, content: bool) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        for algorithm in Algorithm::ALL {
            self.check_blobs(algorithm, content, &mut problems)?;
        }
        match self.references() {
            Err(error @ StoreError::Index { .. }) => problems.push(Problem::Index(error)),
            Err(error) => return Err(error),
            Ok(mut references) => loop {
                let found = self.check_references(&references)?;
                // What is missing may have been collected after its reference was removed.
                let now = self.references()?;
                if found.is_empty() || now == references {
                    problems.extend(found);
                    break;
                }
                references = now;
            },
        }
        Ok(problems)
    }

    fn check_references(&self, references: &References) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        for entry in references.entries() {
            let mut reachable = self.reachable_from(&entry.descriptor)?;
            problems.extend(reachable.take_damage().map(Problem::Unreadable));
            problems.extend(reachable.missing().iter().cloned().map(Problem::Missing));
            for descriptor in reachable.descriptors() {
                if let Some(actual) =
                    self.blob_size(&descriptor.digest)?.filter(|&size| size != descriptor.size)
                {
                    let missing = Missing { descriptor: descriptor.clone(), parent: None };
                    problems.push(Problem::WrongSize { missing, actual });
                }
            }
        }
        Ok(problems)
    }

    fn check_blobs(&self, algorithm: Algorithm, content: bool, problems: &mut Vec<Problem>) -> Result<()> {
        let directory = self.blobs(algorithm);
        for name in durable::list(&directory)? {
            let path = directory.join(&name);
            let Ok(digest) = Digest::from_hex(algorithm, &name) else {
                problems.push(Problem::Stray(path));
                continue;
            };
            if !content {
                continue;
            }
            let Some(blob) = self.blob(&digest)? else { continue };
            let actual = hash(blob).map_err(|error| StoreError::io("read", path, error))?;
            if actual != digest {
                problems.push(Problem::Corrupt { digest, actual });
            }
        }
        Ok(())
    }

    /// Mends what can be mended here, and says what has to be fetched for the rest to be whole again. A
    /// second [`Store::fsck`] after fetching shows whether it is.
    pub fn repair(&self, problem: &Problem) -> Result<()> {
        let _lock = self.lock_exclusive()?;
        match problem {
            Problem::Corrupt { digest, .. } => durable::remove(&self.blob_path(digest)),
            Problem::Stray(path) => {
                let to = self.root().join("trash").join(path.file_name().unwrap_or_default());
                std::fs::rename(path, &to).map_err(|error| StoreError::io("move to", to, error))
            }
            Problem::Index(_) => {
                let path = self.index_path();
                let aside = path.with_file_name("index.json.damaged");
                durable::rename(&path, &aside)?;
                references::write(self, &References::default())
            }
            Problem::Missing(_) | Problem::WrongSize { .. } | Problem::Unreadable(_) => Ok(()),
        }
    }
}

/// The digest of what a blob holds.
fn hash(mut blob: Blob) -> std::io::Result<Digest> {
    let mut hasher = Hasher::new(blob.digest.algorithm());
    let mut buffer = vec![0; 256 << 10];
    loop {
        match blob.file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&buffer[..read]),
        }
    }
}
