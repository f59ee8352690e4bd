//! Processes that pull, remove and collect in one store, and are killed at random instants.
//!
//! The test runs its own binary as workers: with `STORE_WORKER` set, the one test below is the worker.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oci::image::{Descriptor, Digest, media_type};
use store::{GcOptions, Lease, Start, Store};

const PROCESSES: usize = 8;
const IMAGES: u64 = 12;
const KILLS: usize = 300;

/// A pseudo-random sequence (splitmix64): a run can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }
}

/// The layers of image `number`; each but the last is shared with the next image.
fn layers(number: u64) -> [Vec<u8>; 3] {
    [number, number + 1, number + 100].map(|seed| {
        let mut random = Random(seed);
        (0..20_000).flat_map(|_| random.below(u64::MAX).to_ne_bytes()).collect()
    })
}

fn put(lease: &Lease, media_type: &str, content: &[u8]) -> store::Result<Descriptor> {
    let descriptor = Descriptor::new(media_type, Digest::sha256(content), content.len() as u64);
    if let Start::Write(mut ingest) = lease.ingest(&descriptor)? {
        let offset = ingest.offset() as usize;
        for chunk in content[offset..].chunks(8192) {
            ingest.append(chunk)?;
        }
        ingest.commit()?;
    }
    Ok(descriptor)
}

fn pull(store: &Store, number: u64) -> store::Result<()> {
    let lease = store.lease()?;
    let mut parts = vec![put(&lease, media_type::OCI_CONFIG, format!("{{\"image\":{number}}}").as_bytes())?];
    for layer in layers(number) {
        parts.push(put(&lease, media_type::OCI_LAYER, &layer)?);
    }
    let json: Vec<_> = parts.iter().map(|part| serde_json::to_string(part).unwrap()).collect();
    let manifest =
        format!(r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#, json[0], json[1..].join(","));
    let manifest = put(&lease, media_type::OCI_MANIFEST, manifest.as_bytes())?;
    store.update_references(|references| references.set(&format!("image:{number}"), &manifest))
}

/// Does anything for ever.
fn work(root: &Path, seed: u64) -> store::Result<()> {
    let mut random = Random(seed);
    loop {
        let store = Store::open(root)?;
        match random.below(10) {
            0..6 => pull(&store, random.below(IMAGES))?,
            6..8 => drop(store.update_references(|references| {
                references.remove(&format!("image:{}", random.below(IMAGES)))
            })?),
            8 => drop(store.gc(GcOptions::default(), |_| Ok(()))?),
            _ => assert_eq!(store.fsck(false)?.len(), 0),
        }
    }
}

/// A worker, killed at the latest when the test fails.
struct Worker(Child);

impl Worker {
    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(root: &Path, seed: u64) -> Worker {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "killed_at_any_instant_the_store_is_whole", "--nocapture"]);
    command.env("STORE_WORKER", root).env("STORE_SEED", seed.to_string()).env_remove("RUST_BACKTRACE");
    Worker(command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap())
}

#[test]
fn killed_at_any_instant_the_store_is_whole() {
    if let Ok(root) = std::env::var("STORE_WORKER") {
        let seed = std::env::var("STORE_SEED").unwrap().parse().unwrap();
        panic!("the worker failed: {:?}", work(Path::new(&root), seed).unwrap_err());
    }
    let directory = tempfile::tempdir().unwrap();
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut workers: Vec<_> = (0..PROCESSES as u64).map(|number| spawn(directory.path(), number)).collect();
    for kill in 0..KILLS {
        // The instant is what is random here; nothing is waited for.
        std::thread::sleep(Duration::from_micros(random.below(30_000)));
        let victim = &mut workers[random.below(PROCESSES as u64) as usize];
        assert!(victim.is_alive(), "a worker ended by itself");
        *victim = spawn(directory.path(), 1000 + kill as u64);
    }
    assert!(workers.iter_mut().all(Worker::is_alive), "a worker ended by itself");
    drop(workers);
    let store = Store::open(directory.path()).unwrap();
    assert!(store.fsck(true).unwrap().is_empty(), "{:?}", store.fsck(true));
    let referenced = store.references().unwrap().entries().len();
    store.gc(GcOptions::default(), |_| Ok(())).unwrap();
    assert!(store.fsck(true).unwrap().is_empty());
    for place in ["ingest", "leases", "trash"] {
        assert_eq!(std::fs::read_dir(directory.path().join(place)).unwrap().count(), 0, "{place}");
    }
    assert_eq!(store.usage().unwrap().unreferenced, 0);
    println!("{referenced} images are referenced after {KILLS} kills");
    pull(&store, 0).unwrap();
}
