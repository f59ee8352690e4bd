//! Terminals.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;
use testkit::{ConsoleSocket, Testbed};

use crate::without_mount;

/// Defence: the multiplexer that is opened must be that of a devpts; the other end of the terminal comes from it by
/// ioctl, and is mounted by descriptor. No name in the container's /dev is trusted.
#[test]
fn cve_2025_52565_a_false_multiplexer_is_refused() {
    for target in ["/dev/null", "/wanted", "/proc/sysrq-trigger"] {
        let bed = Testbed::new();
        let mut bundle = bed.bundle();
        let dev = bundle.rootfs().join("dev");
        fs::write(bundle.rootfs().join("wanted"), "").unwrap();
        fs::create_dir(dev.join("pts")).unwrap();
        symlink(target, dev.join("pts/ptmx")).unwrap();
        bundle.edit(|spec| {
            for destination in ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"] {
                without_mount(spec, destination);
            }
            spec["process"]["terminal"] = json!(true);
        });
        let console = ConsoleSocket::listen(&bed);
        let socket = console.path().to_str().unwrap();
        let create = ["create", "--bundle", bundle.arg(), "--console-socket", socket, &bed.id()];
        let create = bed.runtime().command(create).output();
        assert!(!create.status.success(), "{target}");
        assert!(create.stderr().contains("/dev/pts/ptmx"), "{}", create.stderr());
    }
}

/// Defence: /dev/console is never a link, so that the terminal covers no other file: one of /proc that the container
/// may not write is writable where the terminal's mount lies over what should have made it read-only.
#[test]
fn cve_2025_52565_a_console_that_is_a_link_is_refused() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    fs::write(bundle.rootfs().join("covered"), "").unwrap();
    symlink("/covered", bundle.rootfs().join("dev/console")).unwrap();
    bundle.edit(|spec| {
        for destination in ["/dev", "/dev/shm", "/dev/mqueue"] {
            without_mount(spec, destination);
        }
        spec["process"]["terminal"] = json!(true);
    });
    let console = ConsoleSocket::listen(&bed);
    let socket = console.path().to_str().unwrap();
    let create = ["create", "--bundle", bundle.arg(), "--console-socket", socket, &bed.id()];
    let create = bed.runtime().command(create).output();
    assert!(!create.status.success());
    assert!(create.stderr().contains("/dev/console"), "{}", create.stderr());
}
