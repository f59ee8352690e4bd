//! Unpacking an image's layers: several at once, committed in order.
//!
//! Workers take layers from the lowest up and apply each to a stage of its own; what a layer holds does not
//! depend on those below it. The calling thread commits what is ready, lowest first: one syncfs for all layers
//! that became ready meanwhile, then their names. Killed at any instant this leaves whole layers on whole
//! layers, and stages that nobody holds.

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use oci::image::Digest;
use oci::image::config::chain_ids;

use crate::layer::{Applied, ApplyOptions, Expected, LayerError, apply, inflate, limit_exceeded};
use crate::layers::Record;
use crate::stage::{Stage, sync_directory};
use crate::{Ahead, Result, SnapshotError, Snapshots, attributes};

/// How long written data waits for the disk while layers are applied.
const WRITE_BACK: Duration = Duration::from_millis(500);

/// A layer's archive, compressed or not.
pub struct LayerSource<'a> {
    /// The digest of the archive without its compression.
    pub diff_id: Digest,
    /// Opens the archive. Called in a worker, and only if the layer is not unpacked yet. The stream may wait
    /// for a download; if it fails, so does the unpacking.
    pub open: Box<dyn FnOnce() -> io::Result<Box<dyn Read + Send + 'a>> + Send + 'a>,
}

/// How layers are unpacked.
#[derive(Clone, Debug)]
pub struct UnpackOptions {
    /// How many at once.
    pub workers: usize,
    /// The most bytes that one layer's archive may inflate to; the file system's free space without.
    pub max_bytes: Option<u64>,
    /// How each is applied.
    pub apply: ApplyOptions,
    /// Whether a layer is on the disk before it gets its name. Without, it may be damaged after a power cut: only for
    /// layers that their owner can make again, and checks whenever they are used.
    pub durable: bool,
}

/// A layer to be unpacked, with its place in the chain.
struct Task<'a> {
    chain_id: Digest,
    ancestors: Vec<Digest>,
    source: LayerSource<'a>,
    ahead: Option<Ahead>,
}

/// A layer applied to its stage.
struct Ready {
    chain_id: Digest,
    record: Record,
    stage: Stage,
    implied: Vec<Vec<u8>>,
}

impl Snapshots {
    /// The options for this process.
    pub fn unpack_options(&self) -> UnpackOptions {
        let workers = std::thread::available_parallelism().map_or(1, |count| count.get().min(4));
        let apply = ApplyOptions::for_this_process(self.xattrs());
        UnpackOptions { workers, max_bytes: None, apply, durable: true }
    }

    /// Unpacks the layers of an image, lowest first, except those that are there, and returns the chain id of
    /// the topmost. `committed` hears the DiffID of each layer that is named or was there. What an error leaves
    /// unpacked stays for the next attempt.
    pub fn unpack(
        &self,
        layers: Vec<LayerSource<'_>>,
        options: &UnpackOptions,
        committed: &mut dyn FnMut(&Digest),
    ) -> Result<Option<Digest>> {
        self.unpack_with(layers, &mut HashMap::new(), options, committed)
    }

    /// The same, with layers that were applied ahead, by DiffID: those are not opened.
    pub fn unpack_with(
        &self,
        layers: Vec<LayerSource<'_>>,
        ahead: &mut HashMap<Digest, Ahead>,
        options: &UnpackOptions,
        committed: &mut dyn FnMut(&Digest),
    ) -> Result<Option<Digest>> {
        let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id).collect();
        let chain = chain_ids(&diff_ids);
        let mut tasks = Vec::new();
        for (at, source) in layers.into_iter().enumerate() {
            match self.has_layer(&chain[at])? {
                true => committed(&source.diff_id),
                false => tasks.push(Task {
                    chain_id: chain[at],
                    ancestors: chain[..at].iter().rev().copied().collect(),
                    ahead: ahead.remove(&source.diff_id),
                    source,
                }),
            }
        }
        if !tasks.is_empty() {
            self.run(tasks, options, committed)?;
        }
        Ok(chain.last().copied())
    }

    fn run(
        &self,
        tasks: Vec<Task<'_>>,
        options: &UnpackOptions,
        committed: &mut dyn FnMut(&Digest),
    ) -> Result<()> {
        let limit = match options.max_bytes {
            Some(limit) => limit,
            None => self.free_bytes()?,
        };
        let stop = AtomicBool::new(false);
        let (queue, outcomes): (Vec<_>, Vec<_>) = tasks
            .into_iter()
            .map(|task| {
                let (sender, receiver) = channel();
                ((task, sender), receiver)
            })
            .unzip();
        let workers = options.workers.clamp(1, queue.len().max(1));
        let queue = Mutex::new(queue.into_iter());
        std::thread::scope(|scope| {
            for worker in 0..workers {
                let work = || self.work(&queue, &stop, options, limit);
                match std::thread::Builder::new().spawn_scoped(scope, work) {
                    // Those that are there do the work of the others.
                    Err(_) if worker > 0 => break,
                    started => started
                        .map_err(|error| SnapshotError::io("start a thread for", self.root(), error))?,
                };
            }
            let result = self.commit_in_order(&outcomes, options.durable, committed);
            stop.store(result.is_err(), Ordering::Relaxed);
            // Workers notice that nobody waits for what they make.
            drop(outcomes);
            result
        })
    }

    /// Applies layers until there are none left or it is no use any more.
    fn work<'a>(
        &self,
        queue: &Mutex<impl Iterator<Item = (Task<'a>, Sender<Result<Ready>>)>>,
        stop: &AtomicBool,
        options: &UnpackOptions,
        limit: u64,
    ) {
        loop {
            let next = queue.lock().ok().and_then(|mut queue| queue.next());
            let Some((task, outcome)) = next else { return };
            if stop.load(Ordering::Relaxed) {
                return;
            }
            // A dropped receiver drops the stage, which removes it.
            let _ = outcome.send(self.apply_one(task, options, limit));
        }
    }

    fn apply_one(&self, task: Task<'_>, options: &UnpackOptions, limit: u64) -> Result<Ready> {
        let Task { chain_id, ancestors, source: LayerSource { diff_id, open }, ahead } = task;
        if let Some(Ahead { bytes, implied, stage, .. }) = ahead {
            let record = Record { diff_id, ancestors, bytes };
            stage.write("layer.json", &record)?;
            return Ok(Ready { chain_id, record, stage, implied });
        }
        let stage = self.stage()?;
        let root = stage.make_directory("fs", 0o755)?;
        let unpack = || {
            let compressed = open().map_err(|error| LayerError::from(crate::tar::TarError::Read(error)))?;
            std::thread::scope(|scope| {
                let mut inflated = inflate(scope, compressed, limit, Expected::Nothing(diff_id.algorithm()))
                    .map_err(|error| LayerError::from(crate::tar::TarError::Read(error)))?;
                let applied = apply(&mut inflated, root.as_fd(), &options.apply);
                let applied = applied.map_err(|error| limit_exceeded(error, limit))?;
                match inflated.digest() {
                    actual if actual == diff_id => Ok(applied),
                    actual => Err(LayerError::WrongDiffId { expected: diff_id, actual }),
                }
            })
        };
        let Applied { bytes, implied, .. } =
            unpack().map_err(|source| SnapshotError::Unpack { diff_id, source: Box::new(source) })?;
        let record = Record { diff_id, ancestors, bytes };
        stage.write("layer.json", &record)?;
        Ok(Ready { chain_id, record, stage, implied })
    }

    /// Commits each layer once it and all below it are ready.
    fn commit_in_order(
        &self,
        outcomes: &[Receiver<Result<Ready>>],
        durable: bool,
        committed: &mut dyn FnMut(&Digest),
    ) -> Result<()> {
        let mut at = 0;
        while at < outcomes.len() {
            let mut batch = vec![self.await_layer(&outcomes[at])??];
            at += 1;
            let mut failed = Ok(());
            while let Some(outcome) = outcomes.get(at).and_then(|outcome| outcome.try_recv().ok()) {
                at += 1;
                match outcome {
                    Ok(ready) => batch.push(ready),
                    // What is whole below it is kept.
                    Err(error) => {
                        failed = Err(error);
                        break;
                    }
                }
            }
            self.commit_batch(batch, durable, committed)?;
            failed?;
        }
        Ok(())
    }

    /// Waits for a layer, and has the disk work on what was written until then: the last sync has less to do.
    fn await_layer(&self, outcome: &Receiver<Result<Ready>>) -> Result<Result<Ready>> {
        loop {
            match outcome.recv_timeout(WRITE_BACK) {
                Ok(ready) => return Ok(ready),
                Err(RecvTimeoutError::Timeout) => self.sync()?,
                Err(RecvTimeoutError::Disconnected) => {
                    let died = io::Error::other("a worker died");
                    return Err(SnapshotError::io("unpack into", &self.root, died));
                }
            }
        }
    }

    fn commit_batch(
        &self,
        batch: Vec<Ready>,
        durable: bool,
        committed: &mut dyn FnMut(&Digest),
    ) -> Result<()> {
        let mut below = self.files_below(&batch[0].record);
        for ready in &batch {
            attributes::inherit(&ready.stage, &ready.implied, &below)?;
            below.push(ready.stage.path().join("fs"));
        }
        if durable {
            self.sync()?;
        }
        for Ready { chain_id, record, stage, .. } in batch {
            self.name_layer(&chain_id, &record, stage, durable)?;
            committed(&record.diff_id);
        }
        Ok(())
    }

    /// Commits one staged layer.
    pub(crate) fn commit_layer(
        &self,
        chain_id: &Digest,
        record: &Record,
        stage: Stage,
        implied: &[Vec<u8>],
    ) -> Result<()> {
        attributes::inherit(&stage, implied, &self.files_below(record))?;
        self.sync()?;
        self.name_layer(chain_id, record, stage, true)
    }

    /// The directories of the layers below one, lowest first.
    fn files_below(&self, record: &Record) -> Vec<PathBuf> {
        record.ancestors.iter().rev().map(|chain_id| self.layer_files(chain_id)).collect()
    }

    /// Writes everything in the file system to the disk: one call for any number of files.
    fn sync(&self) -> Result<()> {
        rustix::fs::syncfs(&self.directory).map_err(|error| SnapshotError::io("sync", &self.root, error))
    }

    /// Gives a synced layer its name, if its parent is still there. If another process was faster, ours is as
    /// good as its and goes.
    fn name_layer(&self, chain_id: &Digest, record: &Record, stage: Stage, durable: bool) -> Result<()> {
        let _lock = self.lock_shared()?;
        if let Some(parent) = record.ancestors.first()
            && !self.has_layer(parent)?
        {
            return Err(SnapshotError::NoLayer(*parent));
        }
        stage.name(&self.layer_path(chain_id))?;
        if durable { sync_directory(&self.root.join("layers")) } else { Ok(()) }
    }

    /// What unprivileged users may still write to the file system, in bytes.
    pub(crate) fn free_bytes(&self) -> Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.directory);
        let stat = stat.map_err(|error| SnapshotError::io("ask for free space at", &self.root, error))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
