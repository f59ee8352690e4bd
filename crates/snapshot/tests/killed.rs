//! Processes that unpack and collect in one directory, and are killed at random instants.
//!
//! The test runs its own binary as workers: with `SNAPSHOT_WORKER` set, the one test below is the worker.

mod support;

use std::collections::HashSet;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oci::image::Digest;
use snapshot::{Driver, LayerSource, Snapshots};
use support::{dir, file, layer};

const KILLS: u64 = 60;

fn archives() -> Vec<Vec<u8>> {
    let archive = |number: usize| {
        let files = (0..40).map(|index| file(format!("l{number}/f{index:02}"), &"x".repeat(index * 100)));
        layer(&std::iter::once(dir(format!("l{number}/"))).chain(files).collect::<Vec<_>>())
    };
    (0..6).map(archive).collect()
}

/// Unpacks for ever; every other round collects everything first.
fn work(root: &Path) -> snapshot::Result<()> {
    let archives = archives();
    loop {
        let snapshots = Snapshots::open_with(root, Driver::Overlay)?;
        let sources = archives.iter().map(|archive| LayerSource {
            diff_id: Digest::sha256(archive),
            open: Box::new(move || Ok(Box::new(&archive[..]) as Box<dyn Read + Send>)),
        });
        match snapshots.unpack(sources.collect(), &snapshots.unpack_options(), &mut |_| {}) {
            // Another worker collected the layer below: in an engine a lease prevents that.
            Ok(_) | Err(snapshot::SnapshotError::NoLayer(_)) => {}
            Err(error) => return Err(error),
        }
        snapshots.collect(&HashSet::new())?;
    }
}

/// A worker, killed at the latest when the test fails.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(root: &Path) -> Worker {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "killed_at_any_instant_layers_are_whole", "--nocapture"]);
    Worker(command.env("SNAPSHOT_WORKER", root).stdout(Stdio::null()).spawn().unwrap())
}

#[test]
fn killed_at_any_instant_layers_are_whole() {
    if let Ok(root) = std::env::var("SNAPSHOT_WORKER") {
        panic!("the worker failed: {}", support::chain(&work(Path::new(&root)).unwrap_err()));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut workers = [spawn(directory.path()), spawn(directory.path())];
    for kill in 0..KILLS {
        // The instant is what is random here; nothing is waited for.
        std::thread::sleep(Duration::from_micros(kill * 7919 % 40_000));
        let victim = &mut workers[kill as usize % 2];
        assert!(victim.0.try_wait().unwrap().is_none(), "a worker ended by itself");
        *victim = spawn(directory.path());
    }
    drop(workers);
    let snapshots = Snapshots::open_with(directory.path(), Driver::Overlay).unwrap();
    for layer in snapshots.layers().unwrap() {
        assert!(layer.ancestors.iter().all(|below| snapshots.has_layer(below).unwrap()));
        let mut archive = Vec::new();
        snapshot::layer::diff(std::fs::File::open(&layer.path).unwrap().as_fd(), &mut archive).unwrap();
        assert_eq!(Digest::sha256(&archive), layer.diff_id, "a layer is not whole");
    }
    snapshots.collect(&HashSet::new()).unwrap();
    for place in ["layers", "stage", "trash"] {
        assert_eq!(std::fs::read_dir(directory.path().join(place)).unwrap().count(), 0, "{place}");
    }
}
