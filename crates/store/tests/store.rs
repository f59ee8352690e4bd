//! The store on a real file system.

use std::io::Read;
use std::path::Path;

use oci::image::{Descriptor, Digest, media_type};
use store::{Follower, GcOptions, Ingest, Lease, Problem, Start, Store, StoreError};

fn temporary() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    (directory, store)
}

fn layer(content: &[u8]) -> Descriptor {
    Descriptor::new(media_type::OCI_LAYER, Digest::sha256(content), content.len() as u64)
}

fn writer(lease: &Lease, descriptor: &Descriptor) -> Box<Ingest> {
    match lease.ingest(descriptor).unwrap() {
        Start::Write(ingest) => ingest,
        Start::Present(blob) => panic!("{} is there", blob.digest),
    }
}

/// Stores an image of one layer with `content` and returns its manifest.
fn image(lease: &Lease, content: &[u8]) -> Descriptor {
    let config = lease.put(media_type::OCI_CONFIG, &[b"{\"c\":\"", content, b"\"}"].concat()).unwrap();
    let layer = lease.put(media_type::OCI_LAYER, content).unwrap();
    let json = |descriptor| serde_json::to_string(&descriptor).unwrap();
    let manifest = format!(r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#, json(config), json(layer));
    lease.put(media_type::OCI_MANIFEST, manifest.as_bytes()).unwrap()
}

fn gc(store: &Store, options: GcOptions) -> usize {
    store.gc(options, |_| Ok(())).unwrap().blobs.len()
}

#[test]
fn blobs_are_named_when_they_are_proved() {
    let (_directory, store) = temporary();
    let lease = store.lease().unwrap();
    let descriptor = layer(b"hello world");
    let mut ingest = writer(&lease, &descriptor);
    ingest.append(b"hello ").unwrap();
    assert!(store.blob(&descriptor.digest).unwrap().is_none());
    ingest.append(b"world").unwrap();
    let mut blob = ingest.commit().unwrap();
    let mut text = String::new();
    blob.file.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), blob.size), ("hello world", 11));
    assert!(matches!(lease.ingest(&descriptor).unwrap(), Start::Present(_)));
    assert_eq!(store.read(&descriptor.digest).unwrap(), b"hello world");
}

#[test]
fn wrong_content_gets_no_name_and_is_not_resumed() {
    let (_directory, store) = temporary();
    let lease = store.lease().unwrap();
    let descriptor = layer(b"right");
    let mut ingest = writer(&lease, &descriptor);
    ingest.append(b"wrong").unwrap();
    assert!(matches!(ingest.commit(), Err(StoreError::WrongDigest { .. })));
    assert_eq!(writer(&lease, &descriptor).offset(), 0);
    let mut ingest = writer(&lease, &descriptor);
    assert!(matches!(ingest.append(b"right and more"), Err(StoreError::WrongSize { more: true, .. })));
    ingest.append(b"rig").unwrap();
    assert!(matches!(ingest.commit(), Err(StoreError::WrongSize { more: false, .. })));
    assert_eq!(writer(&lease, &descriptor).offset(), 3, "what came is kept");
    assert!(store.blob(&descriptor.digest).unwrap().is_none());
}

#[test]
fn an_interrupted_download_is_resumed_by_anyone() {
    let (directory, store) = temporary();
    let content: Vec<u8> = (0..600_000u32).map(|number| number as u8).collect();
    let descriptor = layer(&content);
    let mut ingest = writer(&store.lease().unwrap(), &descriptor);
    ingest.append(&content[..400_000]).unwrap();
    drop(ingest);
    let other = Store::open(directory.path()).unwrap();
    let mut ingest = writer(&other.lease().unwrap(), &descriptor);
    assert_eq!(ingest.offset(), 400_000);
    let mut follower = ingest.follow().unwrap();
    ingest.append(&content[400_000..]).unwrap();
    ingest.commit().unwrap();
    let mut read = Vec::new();
    follower.read_to_end(&mut read).unwrap();
    assert!(read == content);
}

#[test]
fn a_follower_sees_all_and_only_proved_ends() {
    let (_directory, store) = temporary();
    let lease = store.lease().unwrap();
    let content = vec![7u8; 1 << 20];
    let follow = |mut follower: Follower| {
        std::thread::spawn(move || {
            let mut read = Vec::new();
            follower.read_to_end(&mut read).map(|_| read)
        })
    };
    let mut ingest = writer(&lease, &layer(&content));
    let reader = follow(ingest.follow().unwrap());
    for chunk in content.chunks(1000) {
        ingest.append(chunk).unwrap();
    }
    ingest.commit().unwrap();
    assert!(reader.join().unwrap().unwrap() == content);

    let mut ingest = writer(&lease, &layer(b"never finished"));
    let reader = follow(ingest.follow().unwrap());
    ingest.append(b"never").unwrap();
    drop(ingest);
    assert!(reader.join().unwrap().is_err());

    let mut ingest = writer(&lease, &layer(b"good"));
    let reader = follow(ingest.follow().unwrap());
    ingest.append(b"evil").unwrap();
    assert!(ingest.commit().is_err());
    assert!(reader.join().unwrap().is_err(), "the end of unproved content was reported");
}

#[test]
fn two_writers_of_a_blob_write_it_once() {
    let (_directory, store) = temporary();
    let content = vec![1u8; 100_000];
    let descriptor = layer(&content);
    let mut first = writer(&store.lease().unwrap(), &descriptor);
    let second = std::thread::spawn({
        let (store, descriptor) = (store.clone(), descriptor.clone());
        move || matches!(store.lease().unwrap().ingest(&descriptor).unwrap(), Start::Present(_))
    });
    first.append(&content).unwrap();
    first.commit().unwrap();
    assert!(second.join().unwrap());
    assert_eq!(std::fs::read_dir(store.root().join("ingest")).unwrap().count(), 0);
}

#[test]
fn content_without_a_known_digest_can_come_in() {
    let (_directory, store) = temporary();
    let lease = store.lease().unwrap();
    let mut ingest = lease.ingest_unnamed(media_type::OCI_LAYER).unwrap();
    ingest.append(b"from a pipe").unwrap();
    assert_eq!(ingest.commit().unwrap().digest, Digest::sha256(b"from a pipe"));
    drop(lease.ingest_unnamed(media_type::OCI_LAYER).unwrap());
    assert_eq!(std::fs::read_dir(store.root().join("ingest")).unwrap().count(), 0);
}

#[test]
fn what_is_referenced_or_leased_survives_collection() {
    let (_directory, store) = temporary();
    let lease = store.lease().unwrap();
    let kept = image(&lease, b"kept");
    store.update_references(|references| references.set("docker.io/library/kept:latest", &kept)).unwrap();
    let leased = image(&lease, b"leased");
    assert_eq!(gc(&store, GcOptions::default()), 0);
    drop(lease);
    assert_eq!(gc(&store, GcOptions::default()), 3);
    assert!(store.blob(&leased.digest).unwrap().is_none());
    assert_eq!(store.reachable_from(&kept).unwrap().descriptors().count(), 3);
    assert_eq!(store.resolve("docker.io/library/kept:latest").unwrap().unwrap().digest, kept.digest);

    // A claim holds all that a manifest points at.
    let lease = store.lease().unwrap();
    assert!(lease.claim(&kept).unwrap().is_some());
    store.update_references(|references| references.remove("docker.io/library/kept:latest")).unwrap();
    assert_eq!(gc(&store, GcOptions::default()), 0);
    drop(lease);
    assert_eq!(gc(&store, GcOptions::default()), 3);
}

#[test]
fn collection_spares_the_young_and_stops_at_a_size() {
    let (_directory, store) = temporary();
    let lease = store.lease().unwrap();
    for number in 0..4u8 {
        let blob = lease.put(media_type::OCI_LAYER, &vec![number; 40_960]).unwrap();
        let age = std::time::Duration::from_secs(1000 - u64::from(number));
        let file = std::fs::File::open(store.blob_path(&blob.digest)).unwrap();
        file.set_modified(std::time::SystemTime::now() - age).unwrap();
    }
    drop(lease);
    let options = |since, bytes| GcOptions { keep_since: since, keep_bytes: bytes };
    assert_eq!(gc(&store, options(Some(std::time::Duration::from_secs(2000)), None)), 0);
    assert_eq!(gc(&store, options(None, Some(2 * 40_960))), 2);
    assert!(store.blob(&Digest::sha256(&vec![3; 40_960])).unwrap().is_some(), "the oldest go first");
    assert_eq!(gc(&store, options(None, Some(0))), 2);
}

#[test]
fn a_dead_process_lease_is_void_and_a_partial_without_writer_goes() {
    let (_directory, store) = temporary();
    let lease = store.lease().unwrap();
    let descriptor = lease.put(media_type::OCI_LAYER, b"x").unwrap();
    drop(lease);
    // As a killed process leaves it: named, and locked by nobody.
    let name = store.root().join("leases/4194304-0");
    std::fs::write(&name, format!("{} {}\n", descriptor.digest, descriptor.media_type)).unwrap();
    let partial = writer(&store.lease().unwrap(), &layer(b"half"));
    drop(partial);
    let collected = store.gc(GcOptions::default(), |_| Ok(())).unwrap();
    assert_eq!((collected.blobs.len(), collected.partials), (1, 1));
    assert!(!name.exists());
    let lease = store.lease().unwrap();
    let _writing = writer(&lease, &layer(b"half"));
    assert_eq!(store.gc(GcOptions::default(), |_| Ok(())).unwrap().partials, 0);
}

#[test]
fn other_tools_can_read_the_layout() {
    let (_directory, store) = temporary();
    let lease = store.lease().unwrap();
    let manifest = image(&lease, b"x");
    store.update_references(|references| references.set("docker.io/library/x:1", &manifest)).unwrap();
    let text = std::fs::read(store.root().join("index.json")).unwrap();
    let index: oci::image::Index = serde_json::from_slice(&text).unwrap();
    assert_eq!(index.manifests[0].digest, manifest.digest);
    assert_eq!(index.manifests[0].annotations["org.opencontainers.image.ref.name"], "docker.io/library/x:1");
    let layout = std::fs::read_to_string(store.root().join("oci-layout")).unwrap();
    assert_eq!(layout, r#"{"imageLayoutVersion":"1.0.0"}"#);
    // What another tool adds to the index stays there.
    let edited = String::from_utf8(text).unwrap().replacen('{', r#"{"annotations":{"theirs":"1"},"#, 1);
    std::fs::write(store.root().join("index.json"), edited).unwrap();
    store.update_references(|references| references.set("docker.io/library/x:2", &manifest)).unwrap();
    assert!(std::fs::read_to_string(store.root().join("index.json")).unwrap().contains("theirs"));
}

#[test]
fn usage_is_what_du_says() {
    let (directory, store) = temporary();
    let lease = store.lease().unwrap();
    let kept = image(&lease, &vec![b'k'; 300_000]);
    store.update_references(|references| references.set("x", &kept)).unwrap();
    lease.put(media_type::OCI_LAYER, &vec![b'u'; 200_000]).unwrap();
    let mut partial = writer(&lease, &layer(&vec![b'p'; 100_000]));
    partial.append(&vec![b'p'; 50_000]).unwrap();
    let output = std::process::Command::new("du").args(["-s", "-B1"]).arg(directory.path()).output().unwrap();
    let du: u64 =
        String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let usage = store.usage().unwrap();
    assert!(usage.total().abs_diff(du) * 100 <= du, "{usage:?} and {du}");
    assert!(
        usage.referenced >= 300_000 && usage.unreferenced >= 200_000 && usage.partial >= 50_000,
        "{usage:?}"
    );
}

#[test]
fn fsck_finds_and_repair_mends() {
    let (_directory, store) = temporary();
    let lease = store.lease().unwrap();
    let manifest = image(&lease, b"layer");
    store.update_references(|references| references.set("x", &manifest)).unwrap();
    assert!(store.fsck(true).unwrap().is_empty());

    let victim = store.blob_path(&Digest::sha256(b"layer"));
    std::fs::write(&victim, b"LAYER").unwrap();
    std::fs::write(store.root().join("blobs/sha256/stray"), b"").unwrap();
    assert_eq!(store.fsck(false).unwrap().len(), 1, "without reading content only the stray shows");
    let problems = store.fsck(true).unwrap();
    assert!(matches!(&problems[..], [Problem::Corrupt { .. }, Problem::Stray(_)]), "{problems:?}");
    problems.iter().for_each(|problem| store.repair(problem).unwrap());
    let problems = store.fsck(true).unwrap();
    assert!(
        matches!(&problems[..], [Problem::Missing(missing)] if missing.parent == Some(manifest.digest)),
        "{problems:?}"
    );
    lease.put(media_type::OCI_LAYER, b"layer").unwrap();
    assert!(store.fsck(true).unwrap().is_empty());
    store.discard_blob(&Digest::sha256(b"layer")).unwrap();
    assert!(store.fsck(true).unwrap().is_empty(), "what was dropped on purpose is not missing");

    std::fs::write(store.root().join("index.json"), b"{").unwrap();
    assert!(matches!(store.references(), Err(StoreError::Index { .. })));
    let problems = store.fsck(false).unwrap();
    store.repair(&problems[0]).unwrap();
    assert!(store.references().unwrap().entries().is_empty());
}

#[test]
fn a_damaged_manifest_stops_collection() {
    let (_directory, store) = temporary();
    let lease = store.lease().unwrap();
    let manifest = image(&lease, b"layer");
    store.update_references(|references| references.set("x", &manifest)).unwrap();
    drop(lease);
    std::fs::write(store.blob_path(&manifest.digest), b"{}").unwrap();
    assert!(matches!(store.gc(GcOptions::default(), |_| Ok(())), Err(StoreError::WrongDigest { .. })));
    assert!(store.blob(&Digest::sha256(b"layer")).unwrap().is_some());
}

#[test]
fn a_full_disk_is_an_error_and_no_damage() {
    let directory = tempfile::tempdir().unwrap();
    let _mounted = Mounted::tmpfs(directory.path(), c"size=1m");
    let store = Store::open(directory.path()).unwrap();
    let lease = store.lease().unwrap();
    let small = image(&lease, b"small");
    store.update_references(|references| references.set("small", &small)).unwrap();
    let content = vec![9u8; 4 << 20];
    let mut ingest = writer(&lease, &layer(&content));
    let error =
        content.chunks(1 << 16).find_map(|chunk| ingest.append(chunk).err()).expect("4 MiB fit into 1 MiB");
    assert!(matches!(error, StoreError::Full { .. }) && error.to_string().contains("berth gc"), "{error}");
    let error = store.update_references(|references| references.set("other", &small)).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert_eq!(store.references().unwrap().entries().len(), 1);
    drop(ingest);
    assert_eq!(store.gc(GcOptions::default(), |_| Ok(())).unwrap().partials, 1);
    store.update_references(|references| references.set("other", &small)).unwrap();
    assert!(store.fsck(true).unwrap().is_empty());
}

struct Mounted<'a>(&'a Path);

impl Mounted<'_> {
    fn tmpfs<'a>(at: &'a Path, options: &std::ffi::CStr) -> Mounted<'a> {
        rustix::mount::mount("tmpfs", at, "tmpfs", rustix::mount::MountFlags::empty(), options).unwrap();
        Mounted(at)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0, rustix::mount::UnmountFlags::DETACH);
    }
}
