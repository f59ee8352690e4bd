//! Containers within a container.

use testkit::berth_binary;

use crate::host::{Host, IMAGE, refused};

/// A container that may run containers, with berth and the archive of an image in it.
#[track_caller]
fn nested(host: &Host, script: &str) -> String {
    let berth = format!("{}:/usr/bin/berth:ro", berth_binary().display());
    let archive = format!("{}:/image.tar:ro", host.bed.path().join("busybox.tar").display());
    let run = host.run(["--rm", "--nest", "-v", &berth, "-v", &archive, IMAGE, "sh", "-ec", script]);
    run.output().expect_success().stdout()
}

#[test]
fn a_container_runs_containers() {
    let host = Host::new();
    let script = "export PATH=$PATH:/usr/bin; cat /proc/self/uid_map
        berth run --rm --network none hello | grep '^capabilities'
        berth import /image.tar inner >/dev/null
        berth run -d --name one --network none inner sleep 1000 >/dev/null
        berth exec one sh -c 'id -u; readlink /proc/self/ns/user; ps | grep -c sleep'
        readlink /proc/self/ns/user
        berth rm -f one; berth ps -aq | wc -l";
    let text = nested(&host, script);
    let lines: Vec<&str> = text.lines().collect();
    assert!(!lines[0].split_whitespace().eq(["0", "0", "4294967295"]), "{text}");
    assert_eq!(lines[1], "capabilities  14 of 41");
    // It shares the user namespace of the container around it, and has a pid namespace of its own.
    assert_eq!((lines[2], lines[3] == lines[5]), ("0", true), "{text}");
    assert_eq!(lines[6..], ["one", "0"]);
    host.leave_nothing();
}

#[test]
fn a_container_within_has_a_network() {
    let host = Host::new();
    let script = "export PATH=$PATH:/usr/bin
        berth import /image.tar inner >/dev/null
        berth run --rm inner sh -c 'ip -o link show eth0 | grep -c UP'";
    assert_eq!(nested(&host, script), "1\n");
    host.leave_nothing();
}

#[test]
fn what_nesting_gives_is_no_power_over_the_host() {
    let host = Host::new();
    // The host's name, its kernel parameters, its clock, its devices, its memory.
    for denied in [
        "echo 1 >/proc/sys/kernel/panic",
        "echo x >/proc/sysrq-trigger",
        "head -c1 /proc/kcore",
        "date -s 2020-01-01; test $(date +%Y) = 2020",
        "mknod /x b 8 0 && head -c1 /x",
        "mount -t ext4 /dev/vda /tmp",
        "echo 1 >/sys/fs/cgroup/cgroup.procs",
        "dmesg -c",
    ] {
        let run = host.run(["--rm", "--nest", IMAGE, "sh", "-c", denied]).output();
        assert_ne!(run.status.code(), Some(0), "{denied} succeeds");
    }
    host.leave_nothing();
}

#[test]
fn nesting_needs_a_user_namespace() {
    let host = Host::new();
    let run = |flag: &[&str]| host.run(["--rm", "--nest"]).args(flag).args([IMAGE, "true"]).output();
    refused(run(&["--privileged"]), 125, "--nest and --privileged");
    refused(run(&["--userns", "host"]), 125, "its root would be the host's");
    host.leave_nothing();
}
