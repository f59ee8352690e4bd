//! A file system without room: a clear error, and a store that goes on working.

mod support;

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use support::{find, images, load, pull, push, tar, told};
use testkit::{DockerRegistry, Testbed};

/// A file system of a few megabytes in memory, which is unmounted at the end.
struct Small(PathBuf);

impl Small {
    fn new(path: &Path) -> Small {
        std::fs::create_dir(path).unwrap();
        mount("tmpfs", path, "tmpfs", MountFlags::empty(), Some(c"size=6m"))
            .unwrap_or_else(|error| panic!("mount a tmpfs (this test needs root): {error}"));
        Small(path.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_is_told_and_survived() {
    let bed = Testbed::new();
    let server = DockerRegistry::start(&bed);
    let here = images(&bed, "here");
    let (small, large) = (format!("{}/small:1", server.address()), format!("{}/large:1", server.address()));
    let fits = load(&here, &small, &[tar(&[("file", &[1; 100_000])])]);
    push(&here, &fits, &small);
    let exceeds = load(&here, &large, &[tar(&[("file", &[2; 5_000_000])])]);
    push(&here, &exceeds, &large);

    let disk = Small::new(&bed.path().join("disk"));
    let there = image::Images::open(&disk.0).unwrap();
    let error = pull(&there, &large).unwrap_err();
    let told = told(&error).to_lowercase();
    assert!(told.contains("no space left") || told.contains("no room"), "{told}");
    assert!(there.fsck(true).unwrap().is_clean());
    there.gc(Default::default()).unwrap();
    pull(&there, &small).unwrap();
    find(&there, &small);
    assert!(there.fsck(true).unwrap().is_clean());
}
