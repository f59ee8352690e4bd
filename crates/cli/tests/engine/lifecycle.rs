//! From create to rm.

use std::fs;

use testkit::eventually;

use crate::host::{Host, IMAGE, refused};

#[test]
fn a_container_goes_through_its_life() {
    let host = Host::new();
    let id = host.ok(["create", "--name", "web", "--network", "none", IMAGE, "sleep", "1000"]);
    assert_eq!(id.len(), 64);
    assert_eq!(host.status("web"), "created");
    assert_eq!(host.ok(["start", "web"]), "web");
    assert_eq!(host.status("web"), "running");
    host.ok(["pause", "web"]);
    assert_eq!(host.status("web"), "paused");
    refused(host.berth(["pause", "web"]).output(), 1, "already paused");
    host.ok(["unpause", "web"]);
    host.ok(["rename", "web", "site"]);
    refused(host.berth(["stop", "web"]).output(), 1, "No such container: web");
    host.ok(["stop", "-t", "0", "site"]);
    assert_eq!(host.status(&id[..12]), "exited");
    assert_eq!(host.inspect("site", "/State/ExitCode"), 137);
    host.ok(["start", "site"]);
    host.ok(["restart", "-t", "0", "site"]);
    assert_eq!(host.status("site"), "running");
    host.ok(["kill", "site"]);
    host.await_status("site", "exited");
    host.ok(["rm", "site"]);
    let expected = [
        "create", "start", "pause", "unpause", "rename", "die", "stop", "start", "die", "stop", "start",
        "die", "destroy",
    ];
    // `stop` kills twice where it has no patience; `restart` is told by the client, `start` by the monitor.
    let others = ["kill", "restart"];
    let actions = host.actions();
    assert!(others.iter().all(|other| actions.iter().any(|action| action == other)));
    let actions: Vec<String> =
        actions.into_iter().filter(|action| !others.contains(&action.as_str())).collect();
    assert_eq!(actions, expected);
    host.leave_nothing();
}

#[test]
fn a_running_container_is_removed_by_force_only() {
    let host = Host::new();
    host.sleeper("busy");
    refused(
        host.berth(["rm", "busy"]).output(),
        1,
        "container is running: stop the container before removing",
    );
    assert_eq!(host.status("busy"), "running");
    host.ok(["rm", "-f", "busy"]);
    host.leave_nothing();
}

#[test]
fn a_name_is_taken_once() {
    let host = Host::new();
    let id = host.sleeper("one");
    let again = host.run(["--name", "one", IMAGE, "true"]).output();
    refused(again, 125, &format!("is already in use by container \"{id}\""));
    host.sleeper("two");
    refused(host.berth(["rename", "two", "one"]).output(), 1, "already in use");
    host.ok(["rm", "-f", "one"]);
    host.ok(["rename", "two", "one"]);
    host.leave_nothing();
}

#[test]
fn signals_stop_as_they_are_told_to() {
    let host = Host::new();
    let trap = "trap 'exit 5' USR1; while :; do sleep 0.05; done";
    host.run(["-d", "--name", "soft", "--stop-signal", "USR1", IMAGE, "sh", "-c", trap])
        .output()
        .expect_success();
    // The trap is set when the shell has come so far as to sleep.
    eventually("the shell sleeps", || host.ok(["top", "soft"]).contains("sleep").then_some(()));
    host.ok(["stop", "soft"]);
    assert_eq!(host.inspect("soft", "/State/ExitCode"), 5);
    host.leave_nothing();
}

#[test]
fn wait_gives_the_code_also_of_what_is_removed() {
    let host = Host::new();
    let script = "while [ ! -e /tmp/go ]; do sleep 0.02; done; exit 9";
    host.run(["-d", "--rm", "--name", "brief", IMAGE, "sh", "-c", script]).output().expect_success();
    let waiting = host.berth(["wait", "brief"]).start();
    // It has begun to wait when it watches; that it began too late would be told as well, by another code.
    host.ok(["exec", "brief", "touch", "/tmp/go"]);
    let code = waiting.wait();
    if code.status.success() {
        assert_eq!(code.stdout(), "9\n");
    } else {
        assert!(code.stderr().contains("No such container"), "{}", code.stderr());
    }
    host.leave_nothing();
}

#[test]
fn updated_limits_reach_the_kernel() {
    let host = Host::new();
    host.sleeper("limited");
    host.ok(["update", "--memory", "64m", "--memory-swap", "-1", "--restart", "on-failure:3", "limited"]);
    assert_eq!(host.inspect("limited", "/HostConfig/Memory"), 64 << 20);
    assert_eq!(host.inspect("limited", "/HostConfig/RestartPolicy/MaximumRetryCount"), 3);
    let groups =
        fs::read_to_string(format!("/proc/{}/cgroup", host.inspect("limited", "/State/Pid"))).unwrap();
    let limit = groups.lines().find_map(|line| {
        let (_, place) = line.split_once(':')?;
        let file = match place.split_once(':')? {
            ("memory", path) => format!("memory{path}/memory.limit_in_bytes"),
            ("", path) => format!("{path}/memory.max"),
            _ => return None,
        };
        fs::read_to_string(format!("/sys/fs/cgroup/{file}")).ok()
    });
    let limit = limit.expect("a limit in v1 or v2");
    assert_eq!(limit.trim(), (64 << 20).to_string());
    host.leave_nothing();
}

#[test]
fn events_are_kept_and_filtered() {
    let host = Host::new();
    host.run(["--rm", "--name", "told", "--label", "a=b", IMAGE, "true"]).output().expect_success();
    let read = |filter: &str| {
        host.ok(["events", "--since", "1", "--until", "0s", "--filter", filter, "--format", "{{.Action}}"])
    };
    assert_eq!(read("container=told"), "create\nstart\ndie\ndestroy");
    assert_eq!(read("event=die"), "die");
    assert_eq!(read("label=a=b").lines().count(), 4);
    assert_eq!(read("label=a=c"), "");
    host.leave_nothing();
}
