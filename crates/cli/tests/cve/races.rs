//! Races: what is looked at first and used later, with somebody in between. The attacker shares the root file system,
//! as another container with the same volume does.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};
use testkit::Testbed;

use crate::race::Race;
use crate::{add_mount, assert_empty, outside, without_mount};

/// Has a spec's container run `script` in a root file system that others have, too.
fn share(spec: &mut Value, rootfs: &Path, script: &str) {
    spec["root"]["path"] = json!(rootfs);
    spec["process"]["args"] = json!(["sh", "-c", script]);
}

/// Defence: a mount's place is found by one openat2(2) with RESOLVE_IN_ROOT, and used by descriptor.
///
/// Half of the time a part of the path is a link to a directory of the host's. What is mounted must be below the
/// container's root each time, and nothing may be made on the host.
#[test]
fn cve_2021_30465_a_mounts_place_is_exchanged_with_a_link() {
    let bed = Testbed::new();
    let outside = outside(&bed);
    let bundle = bed.bundle();
    let volume = bundle.rootfs().join("volume");
    fs::create_dir_all(volume.join("place")).unwrap();
    symlink(&outside, volume.join("link")).unwrap();
    let race = Race { one: &volume.join("place"), other: &volume.join("link") };
    let configure = |spec: &mut Value| {
        share(spec, &bundle.rootfs(), "grep -c /marker' ' /proc/self/mountinfo");
        add_mount(spec, json!({"destination": "/volume/place/marker", "type": "tmpfs", "source": "tmpfs"}));
    };
    race.run(configure, |_, run| {
        if run.status.success() {
            assert_eq!(run.stdout(), "1\n");
        }
        assert_empty(&outside);
    });
}

/// Defence: missing directories and files are made one by one in directories that are held open, each found below the
/// root without following links.
#[test]
fn cve_2024_45310_a_directory_on_the_way_is_exchanged_with_a_link() {
    let bed = Testbed::new();
    let outside = outside(&bed);
    let bundle = bed.bundle();
    let volume = bundle.rootfs().join("volume");
    fs::create_dir_all(volume.join("place")).unwrap();
    symlink(format!("../../../../../../../..{}", outside.display()), volume.join("link")).unwrap();
    let source = bed.path().join("source");
    fs::write(&source, "").unwrap();
    let race = Race { one: &volume.join("place"), other: &volume.join("link") };
    let configure = |spec: &mut Value| {
        share(spec, &bundle.rootfs(), "true");
        // A new name for each process, for what was made stays.
        let new = format!("/volume/place/{:p}", spec);
        let file = json!({"destination": format!("{new}/file"), "source": source, "options": ["bind"]});
        add_mount(spec, file);
        add_mount(spec, json!({"destination": format!("{new}/dir/a/b"), "type": "tmpfs", "source": "tmpfs"}));
        spec["process"]["cwd"] = format!("{new}/cwd/a/b").into();
    };
    race.run(configure, |_, _| {
        assert_empty(&outside);
        // To be made anew by the next start.
        for name in ["place", "link"] {
            let place = volume.join(name);
            if place.is_symlink() {
                continue;
            }
            for entry in fs::read_dir(place).into_iter().flatten().flatten() {
                drop(fs::remove_dir_all(entry.path()));
            }
        }
    });
}

/// Defence: what is below /proc is masked by way of the mounted proc itself, which is held open from before it was
/// attached: no path that leads to it is walked again.
///
/// The name in the image where proc is mounted is exchanged with a link to a directory that has files to be masked,
/// too. However long the exchange goes on, the program must not be able to read what should be masked.
fn race_for_proc(one: &str, other: &str) {
    let bed = Testbed::new();
    let bundle = bed.bundle();
    let rootfs = bundle.rootfs();
    fs::create_dir_all(rootfs.join("false/self")).unwrap();
    for file in ["keys", "sched_debug", "timer_list", "kcore"] {
        fs::write(rootfs.join("false").join(file), "").unwrap();
    }
    symlink("/false", rootfs.join(other)).unwrap();
    let race = Race { one: &rootfs.join(one), other: &rootfs.join(other) };
    let script = format!("cat /{one}/keys /{other}/keys /{one}/keys /{other}/keys 2> /dev/null; true");
    race.run(
        |spec| share(spec, &rootfs, &script),
        |_, run| assert!(!run.status.success() || run.stdout().is_empty(), "not masked: {}", run.stdout()),
    );
}

#[test]
fn cve_2019_19921_proc_is_exchanged_with_a_link() {
    race_for_proc("proc", "other");
}

#[test]
fn cve_2023_27561_proc_is_exchanged_with_a_longer_link() {
    race_for_proc("proc", "another-name-for-it");
}

/// Defence: /dev/null is opened without following links, and what was opened is checked and used by descriptor.
#[test]
fn cve_2025_31133_dev_null_is_exchanged_with_a_link() {
    let bed = Testbed::new();
    let bundle = bed.bundle();
    let dev = bundle.rootfs().join("dev");
    let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::from_raw_mode(0o666));
    let null = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(rustix::fs::CWD, dev.join("null"), kind, mode, null).unwrap();
    symlink("/wanted", dev.join("link")).unwrap();
    fs::write(bundle.rootfs().join("wanted"), "the wanted").unwrap();
    fs::write(bundle.rootfs().join("masked"), "the hidden").unwrap();
    let race = Race { one: &dev.join("null"), other: &dev.join("link") };
    let configure = |spec: &mut Value| {
        for destination in ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"] {
            without_mount(spec, destination);
        }
        spec["linux"]["maskedPaths"].as_array_mut().unwrap().push("/masked".into());
        share(spec, &bundle.rootfs(), "cat /masked");
    };
    race.run(configure, |_, run| assert_eq!(run.stdout(), ""));
}

/// Defence: kernel parameters are written through the runtime's own /proc.
#[test]
fn cve_2025_52881_proc_is_exchanged_while_sysctls_are_written() {
    let bed = Testbed::new();
    let bundle = bed.bundle();
    let rootfs = bundle.rootfs();
    let false_file = rootfs.join("false/sys/net/ipv4/ip_forward");
    fs::create_dir_all(false_file.parent().unwrap()).unwrap();
    fs::write(&false_file, "untouched").unwrap();
    symlink("/false", rootfs.join("other")).unwrap();
    let race = Race { one: &rootfs.join("proc"), other: &rootfs.join("other") };
    let configure = |spec: &mut Value| {
        spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
        share(spec, &rootfs, "true");
    };
    race.run(configure, |_, _| assert_eq!(fs::read_to_string(&false_file).unwrap(), "untouched"));
}
