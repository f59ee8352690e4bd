//! `--dry-run` tells everything in order, and does nothing of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::host::{Host, IMAGE, refused};

/// All that is below a directory, with the times of the last changes.
fn census(directory: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).unwrap().flatten() {
            let metadata = entry.metadata().unwrap();
            found.insert(entry.path(), metadata.modified().unwrap());
            if metadata.is_dir() {
                open.push(entry.path());
            }
        }
    }
    found
}

/// Fails unless the text has lines that begin so, in this order.
#[track_caller]
fn in_order(text: &str, beginnings: &[&str]) {
    let mut lines = text.lines().map(str::trim_start);
    for beginning in beginnings {
        assert!(lines.any(|line| line.starts_with(beginning)), "no {beginning:?}, or too early, in\n{text}");
    }
}

#[test]
fn it_tells_all_steps_and_touches_nothing() {
    let host = Host::new();
    let source = host.bed.path().join("source");
    let bind = format!("{}:/src:ro", source.display());
    let before = census(&host.root);
    let flags = ["--name", "web", "-m", "64m", "-v", "data:/data", "-v", &bind, "-p", "8080:80", "--init"];
    let run = host.berth(["run", "--dry-run", "-it"]).args(flags).args([IMAGE, "true"]).output();
    let told = run.expect_success().stdout();
    let etc = format!("mount rbind {}/containers/ID/etc/hosts at /etc/hosts", host.root.display());
    let steps = [
        "image:",
        "busybox sha256:",
        "container:",
        "take the name web",
        "make volume data",
        "root:",
        "lower ",
        "upper ",
        "files:",
        "fill volume data from /data of the image",
        &format!("make directory {}", source.display()),
        "network:",
        "ip link add berth0-",
        "ip link add VETH type veth peer name eth0 netns CONTAINER",
        "ip -n CONTAINER route add default via ",
        "nft add element",
        "cgroup:",
        "make /sys/fs/cgroup/",
        "limit memory ",
        "parent:",
        "clone3 ",
        "init:",
        &etc,
        "pivot_root",
        "exec",
    ];
    in_order(&told, &steps);
    assert_eq!(census(&host.root), before);
    assert!(!source.exists());
    let created = host.ok(["create", "--dry-run", "--network", "none", "--userns", "auto", IMAGE, "true"]);
    in_order(&created, &["map 65536 ids from 0 on", "clone3 "]);
    assert_eq!(census(&host.root), before);
}

#[test]
fn what_would_fail_fails() {
    let host = Host::new();
    let dry = |args: &[&str]| host.berth(["run", "--dry-run"]).args(args).output();
    refused(dry(&["nothing"]), 125, "a dry run pulls nothing: pull it first, with `berth pull nothing`");
    refused(dry(&["-u", "nobody-knows-me", IMAGE, "true"]), 125, "nobody-knows-me");
    refused(dry(&["--network", "nowhere", IMAGE, "true"]), 125, "nowhere");
    refused(dry(&["--mount", "type=bind,src=/not/there,dst=/x", IMAGE, "true"]), 125, "/not/there");
    host.sleeper("web");
    refused(dry(&["--name", "web", IMAGE, "true"]), 125, "is already in use");
    host.leave_nothing();
}
