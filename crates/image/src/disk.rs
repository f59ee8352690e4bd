//! What images take on disk, counted as du counts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use oci::image::{Descriptor, Digest};

use crate::{Error, Images, Result};

/// What has a number of its own, or is another's to count.
const COUNTED: [&str; 4] = ["images", "layers", "snapshots", "volumes"];

/// Bytes on disk.
#[derive(Clone, Debug, Default)]
pub struct DiskUsage {
    /// Blobs, references, partials.
    pub store: store::Usage,
    /// Unpacked layers that images stand on.
    pub layers: u64,
    /// Unpacked layers that no image stands on: what a collection frees.
    pub unused_layers: u64,
    /// Snapshots: what containers changed.
    pub snapshots: u64,
    /// Everything else but volumes: records, logs, locks.
    pub other: u64,
    /// The images, largest first.
    pub images: Vec<ImageUsage>,
}

/// What one image takes: its blobs and its unpacked layers.
#[derive(Clone, Debug)]
pub struct ImageUsage {
    /// Its id.
    pub id: Digest,
    /// Its names.
    pub names: Vec<String>,
    /// When it was made, RFC 3339.
    pub created: Option<String>,
    /// All of it.
    pub size: u64,
    /// What other images use, too.
    pub shared: u64,
    /// What goes when the image goes.
    pub unique: u64,
}

/// What images consist of. The first layer and its blob have one digest, where that is not compressed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Piece {
    /// Unpacked, by its chain id.
    Layer(Digest),
    Blob(Digest),
}

impl Images {
    /// What is taken, and by which image.
    pub fn disk_usage(&self) -> Result<DiskUsage> {
        let mut pieces: HashMap<Piece, u64> = HashMap::new();
        for layer in self.snapshots().layers()? {
            let directory = layer.path.parent().unwrap_or(&layer.path);
            pieces.insert(Piece::Layer(layer.chain_id), disk_bytes(directory)?);
        }
        let all_layers: u64 = pieces.values().sum();
        let mut parts: Vec<(ImageUsage, HashSet<Piece>)> = Vec::new();
        let mut used_layers = HashSet::new();
        for target in self.targets()?.values() {
            let Ok(image) = self.image(target) else { continue };
            let mut used: HashSet<Piece> = HashSet::new();
            for layer in image.config.chain_ids().into_iter().map(Piece::Layer) {
                if pieces.contains_key(&layer) {
                    used.insert(layer);
                    used_layers.insert(layer);
                }
            }
            for descriptor in self.store().reachable_from(target)?.descriptors() {
                if let Ok(metadata) = fs::symlink_metadata(self.store().blob_path(&descriptor.digest)) {
                    let blob = Piece::Blob(descriptor.digest);
                    pieces.insert(blob, metadata.blocks() * 512);
                    used.insert(blob);
                }
            }
            let usage = ImageUsage {
                id: *image.id(),
                names: image.names,
                created: image.config.created,
                size: 0,
                shared: 0,
                unique: 0,
            };
            parts.push((usage, used));
        }
        let mut users: HashMap<Piece, usize> = HashMap::new();
        parts.iter().flat_map(|(_, used)| used).for_each(|piece| *users.entry(*piece).or_default() += 1);
        let mut images: Vec<ImageUsage> = parts
            .into_iter()
            .map(|(mut usage, used)| {
                usage.size = used.iter().map(|piece| pieces[piece]).sum();
                usage.unique = used.iter().filter(|piece| users[piece] == 1).map(|piece| pieces[piece]).sum();
                usage.shared = usage.size - usage.unique;
                usage
            })
            .collect();
        images.sort_by_key(|usage| std::cmp::Reverse(usage.size));
        let layers = used_layers.iter().map(|layer| pieces[layer]).sum();
        Ok(DiskUsage {
            store: self.store().usage()?,
            layers,
            unused_layers: all_layers - layers,
            snapshots: disk_bytes(&self.snapshots().root().join("snapshots"))?,
            other: self.other_bytes()?,
            images,
        })
    }

    /// What lies beside images, snapshots and volumes, and the directories that hold those.
    fn other_bytes(&self) -> Result<u64> {
        let root = self.snapshots().root();
        let own = |path: &Path| fs::symlink_metadata(path).map_or(0, |metadata| metadata.blocks() * 512);
        let mut total = own(root) + own(&root.join("layers"));
        for entry in fs::read_dir(root).map_err(|source| Error::io("list", root, source))? {
            let entry = entry.map_err(|source| Error::io("list", root, source))?;
            if !COUNTED.iter().any(|counted| entry.file_name() == *counted) {
                total += disk_bytes(&entry.path())?;
            }
        }
        Ok(total)
    }

    /// What the references point at, each once.
    fn targets(&self) -> Result<BTreeMap<Digest, Descriptor>> {
        let references = self.store().references()?;
        Ok(references.entries().iter().map(|entry| (*entry.digest(), entry.descriptor.clone())).collect())
    }
}

/// What `path` and all below it take. A file with several names counts once; what vanishes meanwhile or is mounted there,
/// nothing.
fn disk_bytes(path: &Path) -> Result<u64> {
    let mut seen = HashSet::new();
    let mut total = 0;
    let device = fs::symlink_metadata(path).map(|metadata| metadata.dev()).unwrap_or_default();
    let mut open = vec![path.to_owned()];
    while let Some(current) = open.pop() {
        let read = (|| -> io::Result<()> {
            let metadata = fs::symlink_metadata(&current)?;
            if metadata.dev() != device {
                return Ok(());
            }
            if metadata.nlink() > 1 && !metadata.is_dir() && !seen.insert((metadata.dev(), metadata.ino())) {
                return Ok(());
            }
            total += metadata.blocks() * 512;
            if metadata.is_dir() {
                for entry in fs::read_dir(&current)? {
                    open.push(entry?.path());
                }
            }
            Ok(())
        })();
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => read.map_err(|source| Error::io("measure", &current, source))?,
        }
    }
    Ok(total)
}
