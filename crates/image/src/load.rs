//! Load: an archive or an OCI layout → images.
//!
//! An archive is read once, in the order in which it comes, as it may be a pipe: each blob goes to the store
//! under a lease; the small files that tell what they mean are kept until the end. Nothing of an archive's
//! paths reaches the file system.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, Read};
use std::path::Path;

use oci::Reference;
use oci::image::{
    Compression, Descriptor, Digest, Document, ImageConfig, Index, MAX_DOCUMENT_BYTES, Manifest, media_type,
};
use snapshot::tar::{Kind, Reader};
use store::{Ingest, Lease, Start};

use crate::ahead::AheadWorkers;
use crate::archive::{
    CONTAINERD_NAME, DOCKER_MANIFEST_FILE, DockerManifest, INDEX_FILE, STANDARD_NAME, decompress,
};
use crate::{Error, Images, Result};

/// The most entries of an archive that are read: images have hundreds of layers at most.
const MAX_ENTRIES: usize = 100_000;

/// An image that was loaded.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The names that it has now; none where the archive gives none.
    pub names: Vec<Reference>,
    /// What they mean.
    pub target: Descriptor,
    /// The image's id.
    pub id: Digest,
}

/// What an archive holds, by path.
struct Contents {
    label: String,
    lease: Lease,
    /// Where each file went.
    files: HashMap<String, Descriptor>,
    /// Links of old docker-archives, which share layers by them.
    links: HashMap<String, String>,
    index: Option<Vec<u8>>,
    docker: Option<Vec<u8>>,
    ahead: AheadWorkers,
}

impl Images {
    /// Loads all images of an archive; `label` names it in errors.
    pub fn load(&self, label: &str, input: impl Read + Send) -> Result<Vec<Loaded>> {
        let mut contents = Contents::new(label, self.store().lease()?, AheadWorkers::start(self));
        let input = decompress(input).map_err(|source| Error::io("read", label, source))?;
        contents.read_archive(input)?;
        self.register(contents)
    }

    /// Loads all images of the OCI layout at `path`.
    pub fn load_directory(&self, path: &Path) -> Result<Vec<Loaded>> {
        let mut contents =
            Contents::new(&path.to_string_lossy(), self.store().lease()?, AheadWorkers::start(self));
        contents.read_directory(path)?;
        self.register(contents)
    }

    fn register(&self, contents: Contents) -> Result<Vec<Loaded>> {
        let targets = match (&contents.index, &contents.docker) {
            // Both are there since Docker 25: the index has the manifests as they were pushed.
            (Some(index), docker) => contents.targets_of_index(index, docker.as_deref())?,
            (None, Some(docker)) => contents.targets_of_docker(docker)?,
            (None, None) => {
                return Err(
                    contents.wrong("it has neither index.json nor manifest.json: no archive of images")
                );
            }
        };
        let Contents { label, lease, ahead, .. } = contents;
        let mut ahead = ahead.finish();
        let options = self.snapshots().unpack_options();
        let mut loaded = Vec::new();
        for (target, names) in targets {
            // By its media type a collection knows what is below it, the unpacked layers included.
            lease.claim(&target)?;
            let manifests = self.present_manifests(&target)?;
            for (_, manifest) in &manifests {
                let config = self.config(manifest)?;
                self.unpack_by(manifest, &config, &mut ahead, &options)?;
            }
            let Some((_, first)) = manifests.first() else {
                let reason = format!("it lacks the manifest {}", target.digest);
                return Err(Error::Archive { archive: label, reason });
            };
            loaded.push(Loaded { names, target, id: first.config.digest });
        }
        self.store().update_references(|references| {
            for Loaded { names, target, .. } in &loaded {
                match names.is_empty() {
                    true => references.add_dangling(target),
                    false => names.iter().for_each(|name| references.set(&name.to_string(), target)),
                }
            }
        })?;
        Ok(loaded)
    }
}

impl Contents {
    fn new(label: &str, lease: Lease, ahead: AheadWorkers) -> Contents {
        Contents {
            label: label.to_owned(),
            lease,
            files: HashMap::new(),
            links: HashMap::new(),
            index: None,
            docker: None,
            ahead,
        }
    }

    fn wrong(&self, reason: &str) -> Error {
        Error::Archive { archive: self.label.clone(), reason: reason.to_owned() }
    }

    fn read_archive(&mut self, input: impl BufRead) -> Result<()> {
        let mut reader = Reader::new(input);
        for _ in 0..MAX_ENTRIES {
            let entry = reader.next_entry();
            let entry = entry.map_err(|source| Error::Tar { archive: self.label.clone(), source })?;
            let Some(entry) = entry else { return Ok(()) };
            // Names that are no text are none of ours.
            let Ok(path) = String::from_utf8(entry.path) else { continue };
            let path = path.trim_start_matches("./").trim_end_matches('/').to_owned();
            match entry.kind {
                Kind::File => self.file(path, entry.size, Content { reader: &mut reader })?,
                Kind::Symlink | Kind::HardLink => {
                    let target = String::from_utf8_lossy(&entry.link).into_owned();
                    let target = if entry.kind == Kind::Symlink { beside(&path, &target) } else { target };
                    self.links.insert(path, target);
                }
                _ => {}
            }
        }
        Err(self.wrong(&format!("it has more than {MAX_ENTRIES} entries")))
    }

    fn read_directory(&mut self, path: &Path) -> Result<()> {
        let open = |path: &Path| File::open(path).map_err(|source| Error::io("open", path, source));
        for name in [INDEX_FILE, DOCKER_MANIFEST_FILE] {
            let file = path.join(name);
            if file.exists() {
                self.file(name.to_owned(), 0, open(&file)?)?;
            }
        }
        for algorithm in oci::image::Algorithm::ALL {
            let directory = path.join("blobs").join(algorithm.name());
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            for entry in entries.flatten() {
                let Ok(name) = entry.file_name().into_string() else { continue };
                let metadata =
                    fs::metadata(entry.path()).map_err(|source| Error::io("stat", entry.path(), source))?;
                let blob = format!("blobs/{}/{name}", algorithm.name());
                self.file(blob, metadata.len(), open(&entry.path())?)?;
            }
        }
        Ok(())
    }

    /// Takes in one file: what tells of images, or a blob.
    fn file(&mut self, path: String, size: u64, mut content: impl Read) -> Result<()> {
        match path.as_str() {
            INDEX_FILE => self.index = Some(self.small(&path, content)?),
            DOCKER_MANIFEST_FILE => self.docker = Some(self.small(&path, content)?),
            _ => {
                let Some(descriptor) = self.blob(&path, size, &mut content)? else { return Ok(()) };
                self.files.insert(path, descriptor);
            }
        }
        Ok(())
    }

    fn small(&self, path: &str, content: impl Read) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = content.take(MAX_DOCUMENT_BYTES as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|source| Error::io("read", &self.label, source))?;
        match bytes.len() > MAX_DOCUMENT_BYTES {
            true => Err(self.wrong(&format!("{path} is larger than {MAX_DOCUMENT_BYTES} bytes"))),
            false => Ok(bytes),
        }
    }

    /// Stores a blob. Files that are none, such as `VERSION` of old archives, are skipped.
    fn blob(&mut self, path: &str, size: u64, content: &mut impl Read) -> Result<Option<Descriptor>> {
        if let Some(name) = path.strip_prefix("blobs/") {
            let Ok(digest) = name.replacen('/', ":", 1).parse::<Digest>() else {
                return Err(self.wrong(&format!("{path} is no blob's name")));
            };
            let descriptor = Descriptor::new("", digest, size);
            if let Start::Write(mut ingest) = self.lease.ingest(&descriptor)? {
                ingest.restart()?;
                self.copy(content, &mut ingest)?;
                ingest.commit()?;
                self.ahead.take(digest);
            }
            return Ok(Some(descriptor));
        }
        let is_blob = [".tar", ".tar.gz", ".json"].iter().any(|extension| path.ends_with(extension));
        if !is_blob && !is_hex_digest(path) {
            return Ok(None);
        }
        let mut ingest = self.lease.ingest_unnamed("")?;
        let start = self.copy(content, &mut ingest)?;
        let blob = ingest.commit()?;
        self.ahead.take(blob.digest);
        let kind = Compression::detect(&start).oci_layer();
        Ok(Some(Descriptor::new(kind, blob.digest, blob.size)))
    }

    /// Copies a file into the store and returns its first bytes.
    fn copy(&self, content: &mut impl Read, ingest: &mut Ingest) -> Result<Vec<u8>> {
        let mut buffer = vec![0; 256 << 10];
        let mut start = Vec::new();
        loop {
            let read = content.read(&mut buffer).map_err(|source| Error::io("read", &self.label, source))?;
            if read == 0 {
                return Ok(start);
            }
            if start.is_empty() {
                start = buffer[..read.min(4)].to_vec();
            }
            ingest.append(&buffer[..read])?;
        }
    }

    /// The images of `index.json`, an entry a name; `manifest.json` may know names that it does not.
    fn targets_of_index(
        &self,
        index: &[u8],
        docker: Option<&[u8]>,
    ) -> Result<Vec<(Descriptor, Vec<Reference>)>> {
        let index: Index = match Document::parse(index, media_type::OCI_INDEX) {
            Ok(Document::Index(index)) => *index,
            Ok(Document::Manifest(_)) => return Err(self.wrong("index.json is no index")),
            Err(source) => {
                return Err(Error::Document { what: format!("{}: index.json", self.label), source });
            }
        };
        let docker = docker.map(|docker| self.parse_docker(docker)).transpose()?.unwrap_or_default();
        let mut targets: Vec<(Descriptor, Vec<Reference>)> = Vec::new();
        for mut entry in index.manifests {
            let mut names: Vec<Reference> = self.names_of_entry(&entry).into_iter().collect();
            entry.annotations.clear();
            names.extend(self.names_by_config(&entry, &docker)?);
            match targets.iter_mut().find(|(target, _)| target.digest == entry.digest) {
                Some((_, known)) => known.extend(names),
                None => targets.push((entry, names)),
            }
        }
        for (_, names) in &mut targets {
            names.sort();
            names.dedup();
        }
        Ok(targets)
    }

    /// The name of an entry: containerd's annotation, or the standard's where it holds a whole name.
    fn names_of_entry(&self, entry: &Descriptor) -> Option<Reference> {
        let full = entry.annotations.get(CONTAINERD_NAME);
        let standard = entry.annotations.get(STANDARD_NAME).filter(|name| name.contains(['/', ':']));
        let name: Reference = full.or(standard)?.parse().ok()?;
        Some(name.with_default_tag())
    }

    /// The names that `manifest.json` gives to the image with this entry's configuration.
    fn names_by_config(&self, entry: &Descriptor, docker: &[DockerManifest]) -> Result<Vec<Reference>> {
        if docker.is_empty() {
            return Ok(Vec::new());
        }
        let Document::Manifest(manifest) = self.lease.store().document(entry)? else { return Ok(Vec::new()) };
        let (algorithm, hex) = (manifest.config.digest.algorithm().name(), manifest.config.digest.hex());
        let path = format!("blobs/{algorithm}/{hex}");
        let known = docker.iter().filter(|image| image.config == path);
        self.parse_names(known.flat_map(|image| image.repo_tags.iter().flatten()))
    }

    fn parse_names<'a>(&self, names: impl Iterator<Item = &'a String>) -> Result<Vec<Reference>> {
        names.map(|name| Ok(name.parse::<Reference>()?.with_default_tag())).collect()
    }

    fn parse_docker(&self, docker: &[u8]) -> Result<Vec<DockerManifest>> {
        serde_json::from_slice(docker).map_err(|error| self.wrong(&format!("manifest.json: {error}")))
    }

    /// The images of `manifest.json`, which get a manifest here, as the archive has none.
    fn targets_of_docker(&self, docker: &[u8]) -> Result<Vec<(Descriptor, Vec<Reference>)>> {
        let mut targets = Vec::new();
        for image in self.parse_docker(docker)? {
            let mut config = self.resolve(&image.config)?.clone();
            media_type::OCI_CONFIG.clone_into(&mut config.media_type);
            let parsed: ImageConfig = self.lease.store().config(&config.digest)?;
            let mut layers = Vec::new();
            for path in &image.layers {
                layers.push(self.layer(path)?);
            }
            if parsed.rootfs.diff_ids.len() != layers.len() {
                let (has, says) = (layers.len(), parsed.rootfs.diff_ids.len());
                let path = &image.config;
                return Err(self.wrong(&format!("{path} speaks of {says} layers, manifest.json of {has}")));
            }
            let manifest = Manifest {
                schema_version: 2,
                media_type: Some(media_type::OCI_MANIFEST.to_owned()),
                artifact_type: None,
                config,
                layers,
                subject: None,
                annotations: Default::default(),
            };
            let bytes = serde_json::to_vec(&manifest).expect("a manifest becomes JSON");
            let target = self.lease.put(media_type::OCI_MANIFEST, &bytes)?;
            targets.push((target, self.parse_names(image.repo_tags.iter().flatten())?));
        }
        Ok(targets)
    }

    fn layer(&self, path: &str) -> Result<Descriptor> {
        let mut layer = self.resolve(path)?.clone();
        if layer.media_type.is_empty() {
            let mut start = [0; 4];
            let read = match self.lease.store().blob(&layer.digest)? {
                Some(mut blob) => blob.file.read(&mut start).unwrap_or(0),
                None => 0,
            };
            let compression = Compression::detect(&start[..read]);
            compression.oci_layer().clone_into(&mut layer.media_type);
        }
        Ok(layer)
    }

    /// The blob at `path`, over at most a few links.
    fn resolve(&self, path: &str) -> Result<&Descriptor> {
        let mut current = path;
        for _ in 0..8 {
            if let Some(found) = self.files.get(current) {
                return Ok(found);
            }
            match self.links.get(current) {
                Some(target) => current = target,
                None => break,
            }
        }
        Err(self.wrong(&format!("manifest.json names {path}, which is not in it")))
    }
}

/// Reads the content of an archive's current entry.
struct Content<'a, R> {
    reader: &'a mut Reader<R>,
}

impl<R: BufRead> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let content = self.reader.content().map_err(std::io::Error::other)?;
        let count = content.len().min(buffer.len());
        buffer[..count].copy_from_slice(&content[..count]);
        self.reader.consume(count);
        Ok(count)
    }
}

/// The path that a link at `path` leads to. One that leaves the archive leads nowhere in it.
fn beside(path: &str, target: &str) -> String {
    let mut components: Vec<&str> = path.split('/').collect();
    components.pop();
    for component in target.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            name => components.push(name),
        }
    }
    components.join("/")
}

fn is_hex_digest(path: &str) -> bool {
    path.len() == 64 && path.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_beside() {
        assert_eq!(beside("a/layer.tar", "../b/layer.tar"), "b/layer.tar");
        assert_eq!(beside("a/layer.tar", "../../../etc/passwd"), "etc/passwd");
        assert_eq!(beside("x.tar", "y.tar"), "y.tar");
    }
}
