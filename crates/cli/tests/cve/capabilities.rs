//! Capabilities that nobody asked for.

use std::collections::BTreeMap;
use std::fs;

use serde_json::json;
use testkit::{Finished, Testbed};

use crate::run;

/// CAP_KILL, CAP_NET_BIND_SERVICE, CAP_AUDIT_WRITE: those of the default spec.
const DEFAULT: u64 = 1 << 5 | 1 << 10 | 1 << 29;
const CAP_SYS_PTRACE: u64 = 1 << 19;

/// The `Cap…` lines of /proc/self/status.
fn sets(finished: Finished) -> BTreeMap<String, u64> {
    let text = finished.expect_success().stdout();
    let lines = text.lines().filter_map(|line| line.split_once(":\t"));
    let sets: BTreeMap<_, _> =
        lines.map(|(name, mask)| (name.to_owned(), u64::from_str_radix(mask, 16).unwrap())).collect();
    assert_eq!(sets.len(), 5, "{text}");
    sets
}

const SHOW: [&str; 3] = ["grep", "^Cap", "/proc/self/status"];

fn is_like(sets: &BTreeMap<String, u64>, given: u64) {
    for (name, expected) in
        [("CapInh", 0), ("CapAmb", 0), ("CapPrm", given), ("CapEff", given), ("CapBnd", given)]
    {
        assert_eq!(sets[name], expected, "{name} of {sets:x?}");
    }
}

/// Runs `exec` with these flags in a container with the default spec.
fn exec(bed: &Testbed, flags: &[&str]) -> BTreeMap<String, u64> {
    let mut bundle = bed.bundle();
    bundle.script("exec sleep 1000");
    let runtime = bed.runtime();
    let id = bed.id();
    runtime.command(["run", "--detach", "--bundle", bundle.arg(), &id]).output().expect_success();
    let args = ["exec"].into_iter().chain(flags.iter().copied()).chain([&*id]);
    let process = flags.contains(&"--process");
    let exec = runtime.command(args.chain(if process { vec![] } else { SHOW.to_vec() })).output();
    runtime.command(["delete", "--force", &id]).output().expect_success();
    sets(exec)
}

/// Defence: the inheritable set is what the configuration says and nothing else.
#[test]
fn cve_2022_29162_the_program_inherits_no_capabilities() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    bundle.edit(|spec| spec["process"]["args"] = json!(SHOW));
    is_like(&sets(run(&bed, &bundle)), DEFAULT);
}

/// Defence: `exec --cap` adds to the bounding, effective and permitted sets, not to the inheritable one.
#[test]
fn cve_2022_29162_exec_with_a_capability_makes_none_inheritable() {
    let bed = Testbed::new();
    is_like(&exec(&bed, &["--cap", "CAP_SYS_PTRACE"]), DEFAULT | CAP_SYS_PTRACE);
}

/// Defence: exec copies the sets of the configuration, which has nothing inheritable (crun).
#[test]
fn cve_2022_27650_exec_makes_no_capability_inheritable() {
    let bed = Testbed::new();
    is_like(&exec(&bed, &[]), DEFAULT);
}

/// Defence: a process that names its capabilities gets these and no others, whatever the container has (youki).
#[test]
fn cve_2025_27612_a_process_document_gets_what_it_names() {
    let bed = Testbed::new();
    let process = bed.path().join("process.json");
    for (capabilities, expected) in [
        (json!({"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]}), 1 << 5),
        (json!({}), 0),
    ] {
        let document = json!({
            "args": SHOW, "cwd": "/", "capabilities": capabilities, "noNewPrivileges": true,
            "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
        });
        fs::write(&process, document.to_string()).unwrap();
        is_like(&exec(&bed, &["--process", process.to_str().unwrap()]), expected);
    }
}
