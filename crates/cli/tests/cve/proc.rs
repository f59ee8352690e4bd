//! /proc and /sys that are not what they seem.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;
use testkit::{Bundle, Testbed};

use crate::{add_mount, assert_empty, outside, run, without_mount};

fn assert_refused(bed: &Testbed, bundle: &Bundle, cause: &str) {
    let run = run(bed, bundle);
    assert!(!run.status.success(), "{}", run.stdout());
    assert!(run.stderr().contains(cause), "{}", run.stderr());
}

/// Puts a link in the place of an empty directory of the image.
fn replace(directory: &Path, target: &str) {
    fs::remove_dir(directory).unwrap();
    symlink(target, directory).unwrap();
}

/// Defence: nothing but a proc file system is mounted over /proc, and nothing in it but a few files. An image that
/// declares /proc as a volume would have the runtime write LSM labels to files of the attacker's.
#[test]
fn cve_2019_16884_a_volume_over_proc_is_refused() {
    for destination in ["/proc", "/./proc/", "/proc/self/attr", "/sys/../proc/thread-self"] {
        let bed = Testbed::new();
        let volume = outside(&bed);
        let mut bundle = bed.bundle();
        bundle.edit(|spec| {
            add_mount(spec, json!({"destination": destination, "source": volume, "options": ["rbind"]}));
        });
        let run = run(&bed, &bundle);
        assert!(!run.status.success(), "{destination}");
        // Some of these are no directories of a /proc: then there is nothing to mount upon.
        assert!(run.stderr().contains("/proc") || run.stderr().contains("thread-self"), "{}", run.stderr());
    }
}

/// Defence: the same, by way of a link of the image's.
#[test]
fn cve_2019_16884_a_volume_over_a_link_to_proc_is_refused() {
    let bed = Testbed::new();
    let volume = outside(&bed);
    let mut bundle = bed.bundle();
    symlink("/proc", bundle.rootfs().join("data")).unwrap();
    bundle.edit(|spec| {
        add_mount(spec, json!({"destination": "/data", "source": volume, "options": ["rbind"]}));
    });
    assert_refused(&bed, &bundle, "/proc");
}

/// Defence: proc is mounted upon a directory and never where a link leads, or what is masked below /proc later would
/// be somewhere else.
#[test]
fn cve_2019_19921_a_link_in_place_of_proc_is_refused() {
    let bed = Testbed::new();
    let bundle = bed.bundle();
    fs::create_dir_all(bundle.rootfs().join("evil/level1")).unwrap();
    replace(&bundle.rootfs().join("proc"), "evil/level1");
    assert_refused(&bed, &bundle, "must be mounted on ordinary directory");
}

/// Defence: the same, where a link is further up (the fix of 2019 looked at the last name only).
#[test]
fn cve_2023_27561_a_link_above_proc_is_refused() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    fs::create_dir_all(bundle.rootfs().join("evil/proc")).unwrap();
    symlink("evil", bundle.rootfs().join("link")).unwrap();
    bundle.edit(|spec| {
        add_mount(spec, json!({"destination": "/link/proc", "type": "proc", "source": "proc"}));
    });
    assert_refused(&bed, &bundle, "must be mounted on ordinary directory");
}

/// Defence: the same, with a tmpfs where the link leads, so that labels would be written to a file in it.
#[test]
fn cve_2023_28642_a_link_to_a_mount_in_place_of_proc_is_refused() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    fs::create_dir(bundle.rootfs().join("elsewhere")).unwrap();
    replace(&bundle.rootfs().join("proc"), "/elsewhere");
    bundle.edit(|spec| {
        let tmpfs = json!({"destination": "/elsewhere", "type": "tmpfs", "source": "tmpfs"});
        spec["mounts"].as_array_mut().unwrap().insert(0, tmpfs);
    });
    assert_refused(&bed, &bundle, "must be mounted on ordinary directory");
}

/// Defence: the same, for both (youki).
#[test]
fn cve_2025_54867_links_in_place_of_proc_and_sys_are_refused() {
    for directory in ["proc", "sys"] {
        let bed = Testbed::new();
        let target = outside(&bed);
        let bundle = bed.bundle();
        replace(&bundle.rootfs().join(directory), target.to_str().unwrap());
        assert_refused(&bed, &bundle, "must be mounted on ordinary directory");
        assert_empty(&target);
    }
}

/// Defence: kernel parameters are written through the runtime's own /proc, opened on the host. What the container has
/// by that name is nobody's business.
#[test]
fn cve_2025_52881_a_sysctl_is_not_written_to_a_false_proc() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    let false_file = bundle.rootfs().join("proc/sys/net/ipv4/ip_forward");
    fs::create_dir_all(false_file.parent().unwrap()).unwrap();
    fs::write(&false_file, "untouched").unwrap();
    bundle.edit(|spec| {
        without_mount(spec, "/proc");
        add_mount(spec, json!({"destination": "/real", "type": "proc", "source": "proc"}));
        spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    });
    bundle.script("cat /real/sys/net/ipv4/ip_forward");
    assert_eq!(run(&bed, &bundle).expect_success().stdout(), "1\n");
    assert_eq!(fs::read_to_string(&false_file).unwrap(), "untouched");
}

/// Defence: the same, for AppArmor's labels (youki wrote them to any file of that name). Where the host has no
/// AppArmor, a container with a profile must not start: a label that was written to a false file would let it.
#[test]
fn cve_2025_62596_a_label_is_not_written_to_a_false_proc() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    let rootfs = bundle.rootfs();
    let files: Vec<_> = ["thread-self", "self"]
        .into_iter()
        .flat_map(|task| {
            ["attr/exec", "attr/apparmor/exec"].map(|file| rootfs.join("proc").join(task).join(file))
        })
        .collect();
    for file in &files {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "untouched").unwrap();
    }
    bundle.edit(|spec| {
        without_mount(spec, "/proc");
        spec["process"]["apparmorProfile"] = "no-such-profile".into();
    });
    assert_refused(&bed, &bundle, "apparmor");
    for file in &files {
        assert_eq!(fs::read_to_string(file).unwrap(), "untouched", "{}", file.display());
    }
}
