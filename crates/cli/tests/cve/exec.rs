//! What a container can do to a process that comes to it.

use std::fs;

use testkit::{Testbed, eventually};

/// Defence: who joins a container is not dumpable from before its members can see it until its exec, so nobody in there
/// may look into it, however much it looks like one of them by then.
#[test]
fn cve_2016_9962_nobody_looks_into_a_process_that_joins() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    // `[` is the shell's own, so thousands of looks a second. Processes of the container have no descriptor 3.
    bundle.script(
        "echo ready > /log
        while :; do for p in /proc/[0-9]*; do
            if [ -e $p/fd/3 ]; then echo $p $(readlink $p/fd/3) >> /log; fi
        done; done",
    );
    let log = bundle.rootfs().join("log");
    let runtime = bed.runtime();
    let id = bed.id();
    runtime.command(["run", "--detach", "--bundle", bundle.arg(), &id]).output().expect_success();
    eventually("the attacker's start", || log.exists().then_some(()));
    for _ in 0..200 {
        runtime.command(["exec", &id, "true"]).output().expect_success();
    }
    runtime.command(["delete", "--force", &id]).output().expect_success();
    assert_eq!(fs::read_to_string(&log).unwrap(), "ready\n");
}

/// Defence: so is a container's first process, which members of a shared pid namespace can see.
#[test]
fn cve_2016_9962_nobody_looks_into_an_init_of_a_shared_pid_namespace() {
    let bed = Testbed::new();
    let mut attacker = bed.bundle();
    attacker.script(
        "echo ready > /log
        while :; do for p in /proc/[0-9]*; do
            if [ -e $p/fd/3 ]; then echo $p $(readlink $p/fd/3) >> /log; fi
        done; done",
    );
    let log = attacker.rootfs().join("log");
    let runtime = bed.runtime();
    let id = bed.id();
    runtime.command(["run", "--detach", "--bundle", attacker.arg(), &id]).output().expect_success();
    eventually("the attacker's start", || log.exists().then_some(()));
    let state = runtime.command(["state", &id]).output().expect_success().stdout();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let mut victim = bed.bundle();
    victim.edit(|spec| {
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        let pid = namespaces.iter_mut().find(|namespace| namespace["type"] == "pid").unwrap();
        pid["path"] = format!("/proc/{}/ns/pid", state["pid"]).into();
    });
    for _ in 0..100 {
        runtime.command(["run", "--bundle", victim.arg(), &bed.id()]).output().expect_success();
    }
    runtime.command(["delete", "--force", &id]).output().expect_success();
    assert_eq!(fs::read_to_string(&log).unwrap(), "ready\n");
}
