//! Paths that are hidden by /dev/null, when that is something else.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;
use testkit::{Bundle, Testbed};

use crate::{run, without_mount};

/// A container whose /dev is the image's, with a file to mask, and one that the attacker wants to see in its place.
fn with_own_dev(bed: &Testbed) -> Bundle {
    let mut bundle = bed.bundle();
    fs::write(bundle.rootfs().join("masked"), "the hidden").unwrap();
    fs::write(bundle.rootfs().join("wanted"), "the wanted").unwrap();
    bundle.edit(|spec| {
        for destination in ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"] {
            without_mount(spec, destination);
        }
        spec["linux"]["maskedPaths"].as_array_mut().unwrap().push("/masked".into());
        spec["process"]["args"] = json!(["cat", "/masked"]);
    });
    bundle
}

/// Whatever the image has for /dev/null, the container does not start, or reads nothing.
fn assert_nothing_seen(bed: &Testbed, bundle: &Bundle) {
    let run = run(bed, bundle);
    let seen = run.stdout();
    assert!(!run.status.success() && seen.is_empty(), "{}: {seen}{}", run.status, run.stderr());
}

/// Defence: the mask is opened without following links, and its device number is that of the null device.
#[test]
fn cve_2025_31133_a_link_in_place_of_dev_null_masks_nothing() {
    let bed = Testbed::new();
    let bundle = with_own_dev(&bed);
    symlink("/wanted", bundle.rootfs().join("dev/null")).unwrap();
    assert_nothing_seen(&bed, &bundle);
}

/// Defence: the same (youki).
#[test]
fn cve_2025_62161_a_file_in_place_of_dev_null_masks_nothing() {
    let bed = Testbed::new();
    let bundle = with_own_dev(&bed);
    fs::write(bundle.rootfs().join("dev/null"), "the wanted").unwrap();
    assert_nothing_seen(&bed, &bundle);
}

/// Defence: the same. A device is not enough: it could be any.
#[test]
fn cve_2025_62161_another_device_in_place_of_dev_null_masks_nothing() {
    let bed = Testbed::new();
    let bundle = with_own_dev(&bed);
    let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::RWXU);
    let path = bundle.rootfs().join("dev/null");
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, rustix::fs::makedev(1, 8)).unwrap();
    assert_nothing_seen(&bed, &bundle);
}
