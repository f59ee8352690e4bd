//! Programs that call an OCI runtime in earnest, from Debian's packages: containerd, dockerd, podman.
//!
//! Each test starts its own, with directories, sockets and a cgroup that carry the test's name.
//! `CALLERS_RUNTIME=/usr/sbin/runc` holds another runtime to the same tests, which proves the tests.

mod cgroup;
mod containerd;
mod daemon;
mod dockerd;
mod golden;
mod image;
mod podman;

use std::path::PathBuf;

use testkit::Testbed;

/// The runtime under test: berth behind a link that makes it one.
fn runtime(bed: &Testbed) -> PathBuf {
    if let Some(path) = std::env::var_os("CALLERS_RUNTIME") {
        return path.into();
    }
    let link = bed.path().join("berth-oci");
    if !link.exists() {
        std::os::unix::fs::symlink(testkit::berth_binary(), &link).expect("link berth-oci");
    }
    link
}
