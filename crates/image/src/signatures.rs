//! Signatures that came with an image, kept so that the policy can be asked again without its registry.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use oci::Reference;
use oci::image::Digest;
use registry::policy::Policy;
use registry::signature::Signature;

use crate::{Error, Image, Images, Result};

impl Images {
    /// Asks `policy` whether the image may be used under `name`, with the signatures that came with it. They
    /// are verified anew: a file here proves nothing.
    pub fn check_policy(&self, policy: &Policy, name: &Reference, image: &Image) -> Result<()> {
        if self.is_builtin(image) {
            return Ok(());
        }
        let mut result = Ok(());
        for digest in [image.target.digest, image.manifest_descriptor.digest] {
            let signatures = match policy.needs_signatures(name) {
                true => self.signatures(&digest)?,
                false => Vec::new(),
            };
            match policy.check(name, &digest, &signatures) {
                Ok(()) => return Ok(()),
                // What the name means comes first, and its error says most.
                Err(error) => result = result.and(Err(error)),
            }
        }
        Ok(result?)
    }

    /// Keeps the signatures of the manifest or index `digest`.
    pub(crate) fn keep_signatures(&self, digest: &Digest, signatures: &[Signature]) -> Result<()> {
        let path = self.signatures_path(digest);
        let stage = path.with_extension(format!("{}.stage", std::process::id()));
        let directory = path.parent().unwrap_or(&path);
        fs::create_dir_all(directory).map_err(|source| Error::io("make", directory, source))?;
        let text = serde_json::to_vec(signatures).expect("bytes become JSON");
        let written = (|| {
            let mut file = fs::File::create(&stage)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&stage, &path)
        })();
        written.map_err(|source| Error::io("write", path, source))
    }

    fn signatures(&self, digest: &Digest) -> Result<Vec<Signature>> {
        let path = self.signatures_path(digest);
        match fs::read(&path) {
            // What can't be read signs nothing.
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(Error::io("read", path, source)),
        }
    }

    /// Forgets the signatures of what is not in the store any more.
    pub(crate) fn forget_signatures(&self) -> Result<()> {
        let directory = self.snapshots().root().join("signatures");
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(Error::io("list", directory, source)),
        };
        for entry in entries {
            let path = entry.map_err(|source| Error::io("list", &directory, source))?.path();
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            let digest: Option<Digest> = name.replacen('-', ":", 1).parse().ok();
            let is_known = match digest {
                Some(digest) => self.store().blob_size(&digest)?.is_some(),
                None => false,
            };
            if !is_known {
                fs::remove_file(&path).map_err(|source| Error::io("remove", &path, source))?;
            }
        }
        Ok(())
    }

    fn signatures_path(&self, digest: &Digest) -> PathBuf {
        let name = format!("{}-{}.json", digest.algorithm().name(), digest.hex());
        self.snapshots().root().join("signatures").join(name)
    }
}
