//! Containers with a user namespace of their own.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use testkit::{Running, eventually};

use crate::host::{Host, IMAGE, entries, refused};

/// Where the high ids begin, or those that this machine sets aside for containers.
fn first_id(map: &str) -> u32 {
    let numbers: Vec<u32> = map.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert_eq!((numbers[0], numbers.len()), (0, 3), "{map}");
    assert!(numbers[1] >= 65_536, "{map}");
    numbers[1]
}

/// A detached container with ids of its own.
fn sleeper(host: &Host, name: &str) -> u32 {
    let args = ["-d", "--name", name, "--userns", "auto", IMAGE, "sleep", "1000"];
    host.run(args).output().expect_success();
    first_id(&host.ok(["exec", name, "cat", "/proc/self/uid_map"]))
}

#[track_caller]
fn nothing_is_leased(host: &Host) {
    // A monitor may be about to remove what `ps` shows no more.
    eventually("no range is taken", || entries(&host.root.join("idmaps")).is_empty().then_some(()));
}

#[test]
fn root_within_is_somebody_else_outside() {
    let host = Host::new();
    let script = "id -u; stat -c %u:%g /bin/busybox /etc/hosts; echo '#' >>/etc/hosts; touch /new; stat -c %u /new; \
                  cat /proc/self/uid_map; cmp /proc/self/uid_map /proc/self/gid_map";
    let run = host.run(["--rm", "--userns", "auto:size=1000", IMAGE, "sh", "-c", script]).output();
    let text = run.expect_success().stdout();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..4], ["0", "0:0", "0:0", "0"]);
    first_id(lines[4]);
    assert!(lines[4].ends_with(" 1000"), "{}", lines[4]);
    for (mode, uid) in [("auto", "0"), ("private", "1000")] {
        let run = host.run(["--rm", "--userns", mode, "-u", uid, IMAGE, "sh", "-c", "echo out >/dev/stdout"]);
        assert_eq!(run.output().expect_success().stdout(), "out\n");
    }
    host.leave_nothing();
    nothing_is_leased(&host);
}

#[test]
fn a_range_is_one_containers_until_it_is_removed() {
    let host = Host::new();
    let (one, two) = (sleeper(&host, "one"), sleeper(&host, "two"));
    assert_ne!(one, two);
    assert_eq!(host.ok(["exec", "one", "id", "-u"]), "0");
    host.ok(["restart", "-t", "0", "one"]);
    assert_eq!(first_id(&host.ok(["exec", "one", "cat", "/proc/self/uid_map"])), one);
    assert_eq!(host.inspect("one", "/HostConfig/UsernsMode"), "auto");
    assert_eq!(host.inspect("one", "/Kernel/UidMap/0"), format!("0 {one} 65536"));
    host.ok(["rm", "-f", "one"]);
    assert_eq!(entries(&host.root.join("idmaps")), [two.to_string()]);
    assert_eq!(sleeper(&host, "three"), one);
    host.leave_nothing();
    nothing_is_leased(&host);
}

#[test]
fn many_at_once_share_no_range() {
    let host = Host::new();
    let args = ["--userns", "auto", IMAGE, "cat", "/proc/self/uid_map"];
    let runs: Vec<Running> = (0..8).map(|_| host.run(args).start()).collect();
    let firsts: BTreeSet<u32> =
        runs.into_iter().map(|run| first_id(&run.wait().expect_success().stdout())).collect();
    assert_eq!(firsts.len(), 8);
    host.leave_nothing();
    nothing_is_leased(&host);
}

#[test]
fn files_on_disk_belong_to_whom_the_container_says() {
    let host = Host::new();
    let script = "touch /data/root /data/user; chown 5:6 /data/user; sleep 1000";
    let args = ["-d", "--name", "web", "--userns", "auto", "-v", "data:/data", IMAGE, "sh", "-c", script];
    host.run(args).output().expect_success();
    let data = host.root.join("volumes/data/_data");
    eventually("the files are made", || {
        let metadata = fs::metadata(data.join("user")).ok()?;
        ((metadata.uid(), metadata.gid()) == (5, 6)).then_some(())
    });
    assert_eq!(fs::metadata(data.join("root")).unwrap().uid(), 0);
    host.ok(["exec", "web", "sh", "-c", "touch /mine; chown 5:6 /mine"]);
    assert!(host.ok(["diff", "web"]).lines().any(|line| line == "A /mine"));
    host.ok(["commit", "web", "copy"]);
    assert_eq!(host.ok(["run", "--rm", "--network", "none", "copy", "stat", "-c", "%u:%g", "/mine"]), "5:6");
    host.leave_nothing();
    nothing_is_leased(&host);
}

#[test]
fn files_are_copied_into_and_out_of_one_that_runs() {
    let host = Host::new();
    sleeper(&host, "web");
    let file = host.bed.path().join("file");
    fs::write(&file, "text").unwrap();
    std::os::unix::fs::chown(&file, Some(7), Some(8)).unwrap();
    let file = file.to_str().unwrap();
    host.ok(["cp", file, "web:/plain"]);
    host.ok(["cp", "-a", file, "web:/kept"]);
    let owners = host.ok(["exec", "web", "stat", "-c", "%u:%g", "/plain", "/kept"]);
    assert_eq!(owners, "0:0\n7:8");
    let back = host.bed.path().join("back");
    host.ok(["cp", "-a", "web:/kept", back.to_str().unwrap()]);
    let metadata = fs::metadata(&back).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.len()), (7, 8, 4));
    host.ok(["rm", "-f", "web"]);
    host.leave_nothing();
    nothing_is_leased(&host);
}

#[test]
fn maps_can_be_given() {
    let host = Host::new();
    let args = ["--rm", "--uidmap", "0:100000:10", "--uidmap", "10:200000:5", "--gidmap", "0:300000:10"];
    let script = ["sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map"];
    let run = host.run(args.into_iter().chain([IMAGE]).chain(script)).output();
    let text = run.expect_success().stdout();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words, ["0", "100000", "10", "10", "200000", "5", "0", "300000", "10"]);
    host.leave_nothing();
}

#[test]
fn what_does_not_go_together_is_refused() {
    let host = Host::new();
    for (flags, words) in [
        (&["--userns", "auto", "--privileged"][..], "leave out --privileged or --userns auto"),
        (&["--userns", "auto", "--pid", "host"], "leave out --pid host or --userns auto"),
        (&["--userns", "auto", "--uidmap", "0:1:1"], "leave out --uidmap"),
        (&["--userns", "keep-id"], "as root take --userns auto"),
        (&["--userns", "nomap"], "as root take --userns auto"),
        (&["--userns", "auto:size=0"], "expected auto or auto:size=N"),
        (&["--uidmap", "0:1:x"], "expected CONTAINER:HOST:SIZE"),
    ] {
        let run = host.run(flags.iter().copied().chain([IMAGE, "true"])).output();
        refused(run, 125, words);
    }
    host.leave_nothing();
    nothing_is_leased(&host);
}
