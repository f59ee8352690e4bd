//! Any bytes as a layer: nothing outside the layer's root changes, and what is accepted can be archived again.
#![no_main]

use std::os::fd::AsFd;

use libfuzzer_sys::fuzz_target;
use snapshot::layer::{ApplyOptions, Devices, XattrNamespace, apply, diff};

fuzz_target!(|archive: &[u8]| {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(directory.path().join("canary"), "alive").unwrap();
    let options = ApplyOptions {
        devices: Devices::Skip,
        max_entries: 1000,
        max_file_size: 1 << 20,
        max_memory: 1 << 20,
        ..ApplyOptions::for_this_process(XattrNamespace::User)
    };
    let handle = std::fs::File::open(&root).unwrap();
    let applied = apply(archive, handle.as_fd(), &options);
    assert_eq!(std::fs::read_to_string(directory.path().join("canary")).unwrap(), "alive");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    if applied.is_ok() {
        diff(handle.as_fd(), std::io::sink()).unwrap();
    }
});
