//! Containers of an ordinary user: user namespaces, subordinate ids, and limits through systemd --user.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use testkit::{Bundle, Runtime, Testbed, eventually};

/// Makes a spec fit for a user: a user namespace, and nothing that only root may do.
fn make_rootless(spec: &mut Value, uids: Value, gids: Value) {
    spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    spec["linux"]["uidMappings"] = uids;
    spec["linux"]["gidMappings"] = gids;
    spec["linux"].as_object_mut().unwrap().remove("resources");
    for mount in spec["mounts"].as_array_mut().unwrap() {
        // Group 5, tty, is not mapped.
        if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|option| option != "gid=5");
        }
    }
}

fn only_me() -> Value {
    json!([{"containerID": 0, "hostID": 1000, "size": 1}])
}

fn rootless(bed: &Testbed) -> Bundle {
    let mut bundle = bed.bundle();
    bundle.edit(|spec| make_rootless(spec, only_me(), only_me()));
    bundle
}

fn systemd(bed: &Testbed) -> Runtime<'_> {
    bed.runtime().global(["--systemd-cgroup"])
}

/// A property of a unit of the user's systemd.
fn property(unit: &str, name: &str) -> String {
    let mut show = Command::new("systemctl");
    show.args(["--user", "show", "--value", "--property", name, unit]);
    String::from_utf8(show.output().unwrap().stdout).unwrap().trim_end().to_owned()
}

#[test]
#[ignore = "needs the VM: an ordinary user"]
fn a_user_is_root_inside() {
    let bed = Testbed::new();
    let mut bundle = rootless(&bed);
    bundle.script("id -u; cat /proc/self/uid_map; touch /made; hostname");
    let run = bed.runtime().command(["run", "--bundle", bundle.arg(), &bed.id()]).output().expect_success();
    let words: Vec<String> = run.stdout().split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["0", "0", "1000", "1", "container"]);
    assert!(bundle.rootfs().join("made").exists());
}

#[test]
#[ignore = "needs the VM: an ordinary user with subordinate ids"]
fn subordinate_ids_are_mapped_by_newuidmap() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    let start = |path: &str| -> u32 {
        let text = fs::read_to_string(path).unwrap();
        let line = text.lines().find(|line| line.starts_with("tester:")).unwrap();
        line.split(':').nth(1).unwrap().parse().unwrap()
    };
    let map = |first: u32| json!([{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": first, "size": 5000}]);
    bundle.edit(|spec| make_rootless(spec, map(start("/etc/subuid")), map(start("/etc/subgid"))));
    bundle.edit(|spec| spec["process"]["user"] = json!({"uid": 1000, "gid": 1000, "additionalGids": [50]}));
    bundle.script("id -u; id -G");
    let run = bed.runtime().command(["run", "--bundle", bundle.arg(), &bed.id()]).output().expect_success();
    assert_eq!(run.stdout(), "1000\n1000 50\n");
}

#[test]
#[ignore = "needs the VM: systemd --user"]
fn limits_go_through_the_users_systemd() {
    let bed = Testbed::new();
    let mut bundle = rootless(&bed);
    bundle.edit(|spec| {
        spec["process"]["args"] = json!(["sleep", "1000"]);
        spec["linux"]["cgroupsPath"] = json!(format!("user.slice:berth:{}", bed.name()));
        spec["linux"]["resources"] = json!({
            "memory": {"limit": 67_108_864},
            "cpu": {"quota": 50_000, "period": 100_000},
            "pids": {"limit": 20},
        });
    });
    let (runtime, id, scope) = (systemd(&bed), bed.id(), format!("berth-{}.scope", bed.name()));
    runtime.command(["run", "--detach", "--bundle", bundle.arg(), &id]).output().expect_success();
    assert_eq!(property(&scope, "MemoryMax"), "67108864");
    assert_eq!(property(&scope, "TasksMax"), "20");
    let cgroup = property(&scope, "ControlGroup");
    assert!(cgroup.contains("/user@1000.service/"), "{cgroup}");
    let value = |file: &str| fs::read_to_string(format!("/sys/fs/cgroup{cgroup}/{file}")).unwrap();
    assert_eq!(value("memory.max"), "67108864\n");
    assert_eq!(value("cpu.max"), "50000 100000\n");
    runtime.command(["update", "--pids-limit", "30", &id]).output().expect_success();
    assert_eq!(value("pids.max"), "30\n");
    runtime.command(["exec", &id, "true"]).output().expect_success();
    runtime.command(["delete", "--force", &id]).output().expect_success();
    eventually("the scope ends", || (property(&scope, "ActiveState") == "inactive").then_some(()));
}

#[test]
#[ignore = "needs the VM: an ordinary user"]
fn a_container_is_created_started_and_deleted() {
    let bed = Testbed::new();
    let mut bundle = rootless(&bed);
    bundle.edit(|spec| spec["process"]["args"] = json!(["sleep", "1000"]));
    let (runtime, id) = (systemd(&bed), bed.id());
    let status = || {
        let text = runtime.command(["state", &id]).output().expect_success().stdout();
        serde_json::from_str::<Value>(&text).unwrap()["status"].as_str().unwrap().to_owned()
    };
    runtime.command(["create", "--bundle", bundle.arg(), &id]).output().expect_success();
    assert_eq!(status(), "created");
    runtime.command(["start", &id]).output().expect_success();
    assert_eq!(status(), "running");
    runtime.command(["kill", &id, "KILL"]).output().expect_success();
    eventually("the container stops", || (status() == "stopped").then_some(()));
    runtime.command(["delete", &id]).output().expect_success();
}
