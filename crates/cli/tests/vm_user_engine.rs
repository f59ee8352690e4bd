//! Containers of an ordinary user, with limits through the user's own systemd.

#[expect(dead_code, reason = "other tests need more of it")]
#[path = "engine/host.rs"]
mod host;

use std::fs;

use host::{Host, IMAGE};

/// A file of a container's cgroup.
fn limit(host: &Host, name: &str, file: &str) -> String {
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", host.inspect(name, "/State/Pid"))).unwrap();
    let group = groups.lines().find_map(|line| line.strip_prefix("0::")).expect("a cgroup of v2");
    let path = format!("/sys/fs/cgroup{group}/{file}");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {path}: {error}")).trim_end().to_owned()
}

#[test]
#[ignore = "needs the VM: an ordinary user's systemd"]
fn limits_reach_the_kernel() {
    let host = Host::new();
    let run =
        host.run(["-d", "--name", "web", "--memory", "64m", "--pids-limit", "50", IMAGE, "sleep", "1000"]);
    let run = run.output().expect_success();
    assert_eq!(run.stderr(), "", "no limit is left out");
    assert_eq!(host.ok(["exec", "web", "id", "-u"]), "0");
    assert_eq!(limit(&host, "web", "memory.max"), (64 << 20).to_string());
    assert_eq!(limit(&host, "web", "pids.max"), "50");
    host.ok(["update", "--memory", "32m", "--memory-swap", "32m", "web"]);
    assert_eq!(limit(&host, "web", "memory.max"), (32 << 20).to_string());
    host.ok(["pause", "web"]);
    assert_eq!(limit(&host, "web", "cgroup.freeze"), "1");
    host.ok(["unpause", "web"]);
    assert_eq!(host.ok(["stop", "-t", "0", "web"]), "web");
    host.leave_nothing();
    // Its files belong to ids that are the user's through berth alone.
    host.ok(["rmi", IMAGE]);
}
