//! Frozen containers are removed, and thawed whatever a killed `pause` wrote down.

use std::path::Path;

use testkit::{Invocation, Testbed, berth_binary};

fn berth(bed: &Testbed, args: &[&str]) -> Invocation {
    Invocation::new(bed, berth_binary()).arg("--root").arg(bed.path().join("root")).args(args)
}

/// Freezes a container's cgroup, of either version.
fn freeze(id: &str) {
    let v1 = Path::new("/sys/fs/cgroup/freezer/berth").join(id);
    let v2 = Path::new("/sys/fs/cgroup/berth").join(id);
    let written = if v1.exists() {
        std::fs::write(v1.join("freezer.state"), "FROZEN")
    } else {
        std::fs::write(v2.join("cgroup.freeze"), "1")
    };
    written.expect("freeze");
}

#[test]
fn a_frozen_container_is_removed_and_thawed() {
    let bed = Testbed::new();
    let bundle = bed.bundle();
    let archive = bed.path().join("rootfs.tar");
    let pack = Invocation::new(&bed, "tar").arg("-cf").arg(&archive).arg("-C").arg(bundle.rootfs()).arg(".");
    pack.output().expect_success();
    berth(&bed, &["import", archive.to_str().expect("a path of the bed is text"), "app:1"])
        .output()
        .expect_success();
    let name = bed.id();
    let run = ["run", "-d", "--network", "none", "--name", &name, "app:1", "sleep", "1000"];
    let id = berth(&bed, &run).output().expect_success().stdout();
    // As a `pause` leaves it that is killed before it writes its state.
    freeze(id.trim());
    berth(&bed, &["unpause", &name]).output().expect_success();
    berth(&bed, &["unpause", &name]).output().expect_code(1);
    berth(&bed, &["pause", &name]).output().expect_success();
    berth(&bed, &["rm", "-f", &name]).output().expect_success();
}
