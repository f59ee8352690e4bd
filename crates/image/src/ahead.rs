//! Layers that are unpacked while the archive that holds them is still read.
//!
//! ```text
//! this thread   archive ─► hash ─► blob 1   archive ─► hash ─► blob 2   …   manifest.json: what stands on what
//! workers                            └► inflate ─► hash ─► stage 1   …                          └► stages get names
//! ```
//!
//! Which blobs are layers, and of which image, is known at the end: what turns out to be none is thrown away, and what
//! could not be unpacked is tried again then, where its failure has a name.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use oci::image::{Compression, Digest};
use snapshot::Ahead;

use crate::Images;

/// How many layers wait in a stage at most; each has a descriptor open.
const MOST: usize = 256;

/// By DiffID.
pub(crate) type Stages = HashMap<Digest, Ahead>;

/// Threads that unpack blobs.
pub(crate) struct AheadWorkers {
    queue: Option<Sender<Digest>>,
    sent: usize,
    threads: Vec<JoinHandle<Vec<Ahead>>>,
}

impl AheadWorkers {
    /// As many as are useful; none is no harm.
    pub(crate) fn start(images: &Images) -> AheadWorkers {
        let (queue, blobs) = channel();
        let blobs = Arc::new(Mutex::new(blobs));
        let count = images.snapshots().unpack_options().workers;
        let threads = (0..count).filter_map(|_| {
            let (images, blobs) = (images.clone(), blobs.clone());
            std::thread::Builder::new().spawn(move || work(&images, &blobs)).ok()
        });
        AheadWorkers { queue: Some(queue), sent: 0, threads: threads.collect() }
    }

    /// Unpacks a complete blob, if it is a layer.
    pub(crate) fn take(&mut self, digest: Digest) {
        self.sent += 1;
        if let Some(queue) = self.queue.as_ref().filter(|_| self.sent <= MOST && !self.threads.is_empty()) {
            // Threads that are gone are not needed.
            let _ = queue.send(digest);
        }
    }

    /// Waits for what was begun.
    pub(crate) fn finish(mut self) -> Stages {
        self.queue = None;
        let threads = std::mem::take(&mut self.threads);
        let layers = threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default());
        layers.map(|layer| (*layer.diff_id(), layer)).collect()
    }
}

fn work(images: &Images, blobs: &Mutex<Receiver<Digest>>) -> Vec<Ahead> {
    let options = images.snapshots().unpack_options();
    let known = images.snapshots().layers().unwrap_or_default();
    let known: HashSet<Digest> = known.into_iter().map(|layer| layer.diff_id).collect();
    let mut layers = Vec::new();
    loop {
        let next = blobs.lock().ok().and_then(|blobs| blobs.recv().ok());
        let Some(digest) = next else { return layers };
        let Ok(Some(blob)) = images.store().blob(&digest) else { continue };
        let Some(compression) = layer_compression(&blob.file) else { continue };
        let proved = (compression == Compression::None).then_some(digest);
        // An image that is loaded again.
        if proved.is_some_and(|diff_id| known.contains(&diff_id)) {
            continue;
        }
        layers.extend(images.snapshots().apply_ahead(blob.file, proved, &options));
    }
}

/// How a blob is compressed, if it looks like a layer; documents begin with a brace.
fn layer_compression(file: &std::fs::File) -> Option<Compression> {
    use std::os::unix::fs::FileExt;
    let mut start = [0; 262];
    let read = file.read_at(&mut start, 0).ok()?;
    let compression = Compression::detect(&start[..read]);
    let is_tar = start[257..].starts_with(b"ustar");
    (compression != Compression::None || is_tar).then_some(compression)
}
