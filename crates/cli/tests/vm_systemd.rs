//! The systemd driver: a transient scope for each container, with its limits as properties.

use std::fs;
use std::process::Command;

use serde_json::json;
use testkit::{Bundle, Runtime, Testbed, eventually};

/// A property of a unit, as `systemctl show` prints it.
fn property(unit: &str, name: &str) -> String {
    let show =
        Command::new("systemctl").args(["show", "--value", "--property", name, unit]).output().unwrap();
    String::from_utf8(show.stdout).unwrap().trim_end().to_owned()
}

/// A bundle of a sleeping container in the scope `berth-<bed>.scope` of system.slice.
fn scoped(bed: &Testbed) -> (Bundle, String) {
    let mut bundle = bed.bundle();
    bundle.edit(|spec| {
        spec["process"]["args"] = json!(["sleep", "1000"]);
        spec["linux"]["cgroupsPath"] = json!(format!("system.slice:berth:{}", bed.name()));
    });
    (bundle, format!("berth-{}.scope", bed.name()))
}

fn runtime(bed: &Testbed) -> Runtime<'_> {
    bed.runtime().global(["--systemd-cgroup"])
}

#[test]
#[ignore = "needs the VM: systemd"]
fn limits_become_properties_of_a_scope() {
    let bed = Testbed::new();
    let (mut bundle, scope) = scoped(&bed);
    bundle.edit(|spec| {
        spec["linux"]["resources"] = json!({
            "memory": {"limit": 67_108_864, "reservation": 33_554_432},
            "cpu": {"quota": 50_000, "period": 100_000, "cpus": "0-1"},
            "pids": {"limit": 20},
        });
    });
    let (runtime, id) = (runtime(&bed), bed.id());
    runtime.command(["run", "--detach", "--bundle", bundle.arg(), &id]).output().expect_success();
    assert_eq!(property(&scope, "ActiveState"), "active");
    assert_eq!(property(&scope, "Slice"), "system.slice");
    assert_eq!(property(&scope, "Delegate"), "yes");
    assert_eq!(property(&scope, "MemoryMax"), "67108864");
    assert_eq!(property(&scope, "MemoryLow"), "33554432");
    assert_eq!(property(&scope, "CPUQuotaPerSecUSec"), "500ms");
    assert_eq!(property(&scope, "AllowedCPUs"), "0-1");
    assert_eq!(property(&scope, "TasksMax"), "20");
    let cgroup = format!("/sys/fs/cgroup{}", property(&scope, "ControlGroup"));
    assert_eq!(fs::read_to_string(format!("{cgroup}/memory.max")).unwrap(), "67108864\n");
    assert_eq!(fs::read_to_string(format!("{cgroup}/cpu.max")).unwrap(), "50000 100000\n");

    runtime.command(["update", "--memory", "134217728", &id]).output().expect_success();
    assert_eq!(property(&scope, "MemoryMax"), "134217728", "systemd must know, or it would undo the update");
    assert_eq!(property(&scope, "TasksMax"), "20");

    runtime.command(["delete", "--force", &id]).output().expect_success();
    eventually("the scope ends", || (property(&scope, "ActiveState") == "inactive").then_some(()));
}

#[test]
#[ignore = "needs the VM: systemd"]
fn annotations_set_properties() {
    let bed = Testbed::new();
    let (mut bundle, scope) = scoped(&bed);
    bundle.edit(|spec| {
        spec["annotations"] = json!({
            "org.systemd.property.TimeoutStopUSec": "uint64 123000000",
            "org.systemd.property.CollectMode": "'inactive-or-failed'",
        });
    });
    let (runtime, id) = (runtime(&bed), bed.id());
    runtime.command(["run", "--detach", "--bundle", bundle.arg(), &id]).output().expect_success();
    assert_eq!(property(&scope, "TimeoutStopUSec"), "2min 3s");
    assert_eq!(property(&scope, "CollectMode"), "inactive-or-failed");
    runtime.command(["delete", "--force", &id]).output().expect_success();
}

#[test]
#[ignore = "needs the VM: systemd"]
fn a_reload_of_systemd_leaves_devices_filtered() {
    let bed = Testbed::new();
    let (mut bundle, _) = scoped(&bed);
    // The guest's root disk: there is a node for it, but no rule that allows it.
    let disk = fs::read_to_string("/sys/block/vda/dev").unwrap();
    let (major, minor) = disk.trim().split_once(':').unwrap();
    let (major, minor): (u32, u32) = (major.parse().unwrap(), minor.parse().unwrap());
    bundle.edit(|spec| {
        spec["linux"]["devices"] =
            json!([{"path": "/dev/disk", "type": "b", "major": major, "minor": minor}]);
    });
    let (runtime, id) = (runtime(&bed), bed.id());
    runtime.command(["run", "--detach", "--bundle", bundle.arg(), &id]).output().expect_success();
    assert!(Command::new("systemctl").arg("daemon-reload").status().unwrap().success());
    let exec = |script: &str| runtime.command(["exec", &id, "sh", "-c", script]).output().status.success();
    assert!(exec("echo x >/dev/null"));
    assert!(!exec(": </dev/disk"));
    runtime.command(["delete", "--force", &id]).output().expect_success();
}

#[test]
#[ignore = "needs the VM: systemd"]
fn a_start_that_fails_leaves_no_scope() {
    let bed = Testbed::new();
    let (mut bundle, scope) = scoped(&bed);
    bundle.edit(|spec| spec["process"]["args"] = json!(["/no/such/program"]));
    let run = runtime(&bed).command(["run", "--bundle", bundle.arg(), &bed.id()]).output();
    assert!(!run.status.success());
    eventually("the scope ends", || (property(&scope, "ActiveState") == "inactive").then_some(()));
}

#[test]
#[ignore = "needs the VM: systemd"]
fn a_slice_is_made_for_whom_names_one() {
    let bed = Testbed::new();
    let (mut bundle, scope) = scoped(&bed);
    let slice = format!("{}-inner.slice", bed.name());
    bundle.edit(|spec| spec["linux"]["cgroupsPath"] = json!(format!("{slice}:berth:{}", bed.name())));
    let (runtime, id) = (runtime(&bed), bed.id());
    runtime.command(["run", "--detach", "--bundle", bundle.arg(), &id]).output().expect_success();
    let outer = bed.name();
    assert_eq!(property(&scope, "ControlGroup"), format!("/{outer}.slice/{slice}/{scope}"));
    runtime.command(["delete", "--force", &id]).output().expect_success();
    assert!(Command::new("systemctl").args(["stop", &format!("{outer}.slice")]).status().unwrap().success());
}
