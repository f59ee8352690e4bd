//! What the tests of this crate share: images made of a few files, in a store of their own.
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use image::{Error, Image, Images, Platforms, Pull, Pulled, Push, Silent};
use oci::Reference;
use oci::image::{Digest, ImageConfig, RootFs};
use registry::policy::Policy;
use registry::{Config, Patience};
use snapshot::tar::{Entry, Kind, Time, Writer};
use testkit::Testbed;

/// A store in the bed.
pub fn images(bed: &Testbed, name: &str) -> Images {
    let root = bed.path().join(name);
    std::fs::create_dir_all(&root).unwrap();
    Images::open(&root).unwrap()
}

pub fn reference(text: &str) -> Reference {
    text.parse::<Reference>().unwrap().with_default_tag()
}

pub fn impatient() -> Patience {
    Patience {
        attempts: 2,
        first_pause: Duration::from_millis(1),
        stall: Duration::from_secs(5),
        ..Patience::default()
    }
}

pub fn puller(images: &Images) -> Pull {
    Pull {
        images: images.clone(),
        config: Config::default(),
        policy: Policy::accept_anything(),
        platforms: Platforms::default(),
        discard_blobs: false,
        patience: impatient(),
        progress: Arc::new(Silent),
    }
}

pub fn pull(images: &Images, name: &str) -> Result<Pulled, Error> {
    puller(images).run(&[reference(name)])
}

pub fn push(images: &Images, image: &Image, name: &str) {
    let push = Push {
        images: images.clone(),
        config: Config::default(),
        platforms: Platforms::default(),
        patience: impatient(),
        progress: Arc::new(Silent),
    };
    push.run(image, &reference(name)).unwrap();
}

pub fn find(images: &Images, name: &str) -> Image {
    images.find(name, &[reference(name)]).unwrap()
}

/// A tar archive of regular files.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (path, content) in files {
        let entry = Entry {
            path: path.as_bytes().to_vec(),
            link: Vec::new(),
            kind: Kind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: Time { seconds: 1_000_000_000, nanoseconds: 0 },
            atime: None,
            device: (0, 0),
            size: content.len() as u64,
            xattrs: Vec::new(),
            sparse: None,
        };
        writer.entry(&entry).unwrap();
        writer.content(content).unwrap();
    }
    writer.finish().unwrap()
}

/// A docker-archive as `docker save` wrote it before version 25.
pub fn docker_archive(name: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let config = ImageConfig {
        created: Some("2024-01-02T03:04:05Z".into()),
        platform: oci::image::Platform::host(),
        rootfs: RootFs {
            diff_ids: layers.iter().map(|layer| Digest::sha256(layer)).collect(),
            ..RootFs::default()
        },
        ..ImageConfig::default()
    };
    let config = serde_json::to_vec(&config).unwrap();
    let paths: Vec<String> = (0..layers.len()).map(|at| format!("{at}/layer.tar")).collect();
    let manifest = serde_json::json!([{ "Config": "config.json", "RepoTags": [name], "Layers": paths }]);
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let mut files: Vec<(&str, &[u8])> = vec![("config.json", &config)];
    files.extend(paths.iter().map(String::as_str).zip(layers.iter().map(Vec::as_slice)));
    files.push(("manifest.json", &manifest));
    tar(&files)
}

/// An image of several layers, under `name`.
pub fn load(images: &Images, name: &str, layers: &[Vec<u8>]) -> Image {
    let loaded = images.load("test", docker_archive(name, layers).as_slice()).unwrap();
    assert_eq!(loaded.len(), 1);
    find(images, name)
}

/// Three layers with a few files, one of them a megabyte.
pub fn layers() -> Vec<Vec<u8>> {
    let large: Vec<u8> = (0..1 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    vec![
        tar(&[("etc/os-release", b"NAME=test\n"), ("bin/large", &large)]),
        tar(&[("etc/motd", b"hello\n")]),
        tar(&[("etc/os-release", b"NAME=changed\n"), (".wh.nothing", b"")]),
    ]
}

/// The file of an image, as its topmost layer that has it shows it.
pub fn read(images: &Images, image: &Image, path: &str) -> Option<Vec<u8>> {
    let chain = image.config.chain_ids();
    chain.iter().rev().find_map(|chain_id| {
        let layer = images.snapshots().layer(chain_id).unwrap();
        std::fs::read(layer.path.join(path)).ok()
    })
}

/// An error with all its causes.
pub fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

/// Runs another tool that reads the same formats.
pub fn skopeo(arguments: &[&str]) -> String {
    let output = std::process::Command::new("skopeo").args(arguments).output().expect("start skopeo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}
