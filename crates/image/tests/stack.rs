//! What a container's root is made of.

mod support;

use image::PartKind;
use support::{images, layers, load};
use testkit::Testbed;

#[test]
fn changes_then_the_engines_files_then_the_layers() {
    let bed = Testbed::new();
    let images = images(&bed, "root");
    let image = load(&images, "app:1", &layers());
    let snapshot = images.prepare("box", &image).unwrap();
    std::fs::write(snapshot.path().join("fs/new"), vec![1; 10_000]).unwrap();
    let parts = images.parts_of(&snapshot, Some(&image.config)).unwrap();
    let kinds: Vec<PartKind> = parts.iter().map(|part| part.kind).collect();
    assert_eq!(kinds, [&[PartKind::Changes, PartKind::Engine][..], &[PartKind::Layer; 3]].concat());
    assert!(parts[0].bytes.unwrap() >= 10_000);
    let diff_ids: Vec<_> = parts.iter().rev().filter_map(|part| part.diff_id).collect();
    assert_eq!(diff_ids, image.config.rootfs.diff_ids);
    assert!(parts[4].path.join("bin/large").exists());

    let data = snapshot.layout().unwrap().graph_driver_data();
    let names: Vec<&str> = data.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["LowerDir", "MergedDir", "UpperDir", "WorkDir"]);
    let lower: Vec<&str> = data[0].1.split(':').collect();
    let paths: Vec<String> = parts[1..].iter().map(|part| part.path.display().to_string()).collect();
    assert_eq!(lower, paths);
}

#[test]
fn over_the_host_there_are_two() {
    let bed = Testbed::new();
    let images = images(&bed, "root");
    let host = images.find("host", &[]).unwrap();
    let snapshot = images.prepare("box", &host).unwrap();
    let parts = images.parts_of(&snapshot, None).unwrap();
    let shown: Vec<_> = parts.iter().map(|part| (part.kind, part.path.as_path())).collect();
    assert_eq!(shown[1], (PartKind::Host, std::path::Path::new("/")));
    assert_eq!((shown.len(), shown[0].0), (2, PartKind::Changes));
}
