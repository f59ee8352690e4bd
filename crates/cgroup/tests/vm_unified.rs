//! Against cgroup v2 alone, as root: in the VM with all controllers, and on a hybrid host in a mount namespace
//! that shows v2 alone, without controllers.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use cgroup::{Error, SubPath, with_default_devices};
use common::{Scratch, Sleeper, eventually, parse};
use oci::spec::resources::LinuxResources;
use rustix::process::Signal;

/// Runs the tests below; not the one that needs a controller which v1 has on this host.
#[test]
fn all_of_these_on_a_view_of_v2_alone() {
    let script = "mount -t cgroup2 cgroup2 /sys/fs/cgroup && grep -qw memory /sys/fs/cgroup/cgroup.controllers || \
                  set -- --skip an_update_below_the_usage_is_refused; exec \"$0\" --ignored \"$@\"";
    let program = std::env::current_exe().unwrap();
    let status = Command::new("unshare").args(["--mount", "sh", "-c", script]).arg(program).status().unwrap();
    assert!(status.success(), "{status}");
}

fn has_controller(name: &str) -> bool {
    fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap().split_whitespace().any(|c| c == name)
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn a_group_is_one_directory_with_all_controllers() {
    let group = Scratch::create("v2", "{}").unwrap();
    assert!(group.is_unified() && group.exists());
    let offered = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap();
    assert_eq!(group.read("", "cgroup.controllers"), offered.trim());
    let nested = format!("{}/a/b", group.dir("").strip_prefix("/sys/fs/cgroup").unwrap().display());
    let mut nested = Scratch::at(&format!("/{nested}"));
    nested.create(None, None).unwrap();
    assert_eq!(nested.read("", "cgroup.controllers"), offered.trim());
    nested.remove().unwrap();
    group.remove().unwrap();
    assert!(group.is_nowhere());
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn limits_reach_the_kernel_or_name_their_controller() {
    let cases = [
        ("memory", r#"{"memory":{"limit":33554432,"reservation":1048576}}"#, "memory.max", "33554432"),
        ("memory", r#"{"memory":{"limit":33554432,"swap":50331648}}"#, "memory.swap.max", "16777216"),
        ("cpu", r#"{"cpu":{"shares":1024}}"#, "cpu.weight", "100"),
        ("cpu", r#"{"cpu":{"quota":20000,"period":50000}}"#, "cpu.max", "20000 50000"),
        ("cpu", r#"{"cpu":{"idle":1}}"#, "cpu.idle", "1"),
        ("cpuset", r#"{"cpu":{"cpus":"0","mems":"0"}}"#, "cpuset.cpus", "0"),
        ("pids", r#"{"pids":{"limit":20}}"#, "pids.max", "20"),
        ("pids", r#"{"unified":{"pids.max":"21"}}"#, "pids.max", "21"),
        (
            "hugetlb",
            r#"{"hugepageLimits":[{"pageSize":"2MB","limit":2097152}]}"#,
            "hugetlb.2MB.max",
            "2097152",
        ),
    ];
    for (controller, resources, file, value) in cases {
        match Scratch::create(controller, resources) {
            Ok(group) => assert_eq!(group.read("", file), value, "{file}"),
            Err(error) => {
                assert!(!has_controller(controller), "{error}");
                let text = error.to_string();
                assert!(text.contains(controller) && text.contains("not available"), "{text}");
            }
        }
    }
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn an_update_below_the_usage_is_refused_if_asked_to_check() {
    assert!(has_controller("memory"), "the memory controller is not in v2 here");
    let group = Scratch::create("check", r#"{"memory":{"limit":67108864}}"#).unwrap();
    let sleeper = Sleeper::shell("sleep 1000 & wait");
    group.attach(sleeper.pid()).unwrap();
    let script = format!(
        "echo $$ > {}/cgroup.procs; head -c 8M /dev/zero > /dev/shm/berth-test-$PPID",
        group.dir("").display()
    );
    Command::new("sh").args(["-c", &script]).status().unwrap();
    let file = format!("/dev/shm/berth-test-{}", std::process::id());
    let error = group.apply(&parse(r#"{"memory":{"limit":4096,"checkBeforeUpdate":true}}"#)).unwrap_err();
    fs::remove_file(file).unwrap();
    assert!(error.to_string().starts_with("rejecting memory limit 4096 <= usage"), "{error}");
    assert_eq!(group.read("", "memory.max"), "67108864");
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn an_error_leaves_nothing_behind() {
    let mut group = Scratch::locate("undo");
    let error = group.create(Some(&parse(r#"{"unified":{"nonsense.max":"1"}}"#)), None).unwrap_err();
    assert!(error.to_string().contains("controller \"nonsense\" not available"), "{error}");
    assert!(group.is_nowhere());
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn devices_are_filtered_and_the_filter_is_replaced() {
    let rules = parse(r#"{"devices":[{"allow":false,"access":"rwm"}]}"#).devices;
    let resources = LinuxResources { devices: with_default_devices(&rules, &[]), ..Default::default() };
    let mut group = Scratch::locate("devices");
    group.create(Some(&resources), None).unwrap();
    let can = |command: &str| {
        let script = format!("echo 0 > {}/cgroup.procs && {command}", group.dir("").display());
        Command::new("sh").arg("-c").arg(script).stderr(Stdio::null()).status().unwrap().success()
    };
    let made = format!("/tmp/berth-test-{}-node", std::process::id());
    assert!(can("true < /dev/null") && can("true > /dev/null"));
    assert!(!can("true < /dev/kmsg"));
    assert!(can(&format!("mknod {made} c 1 11")) && !can(&format!("true < {made}")));
    fs::remove_file(&made).unwrap();

    let more = with_default_devices(
        &parse(r#"{"devices":[{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]}"#).devices,
        &[],
    );
    group.apply(&LinuxResources { devices: more, ..Default::default() }).unwrap();
    assert!(can("true < /dev/kmsg") && !can("true > /dev/kmsg") && !can("true <> /dev/kmsg"));
    assert_eq!(sys::bpf::device_filters(fs::File::open(group.dir("")).unwrap()).unwrap().len(), 1);

    let deny = parse(
        r#"{"devices":[{"allow":true,"access":"rwm"},{"allow":false,"type":"c","major":1,"minor":11,"access":"w"}]}"#,
    );
    group.apply(&deny).unwrap();
    assert!(can("true < /dev/kmsg") && !can("true <> /dev/kmsg") && can("true > /dev/null"));
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn freezing_waits_and_killing_reaches_all_below() {
    let group = Scratch::create("kill", "{}").unwrap();
    let below = group.sub(&SubPath::parse(&["below/it"]).unwrap()).unwrap();
    fs::create_dir_all(&below.paths()[""]).unwrap();
    let mut sleepers = [Sleeper::start(), Sleeper::start()];
    group.attach(sleepers[0].pid()).unwrap();
    below.attach(sleepers[1].pid()).unwrap();
    let state = |pid: u32| fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
    group.freeze().unwrap();
    assert!(group.is_frozen().unwrap() && !below.is_frozen().unwrap());
    assert!(group.read("", "cgroup.events").contains("frozen 1"), "{}", state(sleepers[0].pid()));
    assert!(matches!(group.0.clone().create(None, None), Err(Error::NotEmpty { .. })));
    group.kill_all(Signal::KILL).unwrap();
    for sleeper in &mut sleepers {
        eventually("it is dead", || sleeper.is_dead());
    }
    group.remove().unwrap();
    assert!(group.is_nowhere());
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn other_signals_leave_a_frozen_group_frozen() {
    let group = Scratch::create("signal", "{}").unwrap();
    let mut sleeper = Sleeper::start();
    group.attach(sleeper.pid()).unwrap();
    group.freeze().unwrap();
    group.kill_all(Signal::TERM).unwrap();
    assert!(group.is_frozen().unwrap());
    group.thaw().unwrap();
    eventually("it is dead", || sleeper.is_dead());
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn a_frozen_group_is_not_taken_over() {
    let group = Scratch::create("frozen", "{}").unwrap();
    group.freeze().unwrap();
    let error = group.0.clone().create(None, None).unwrap_err();
    assert!(error.to_string().contains("container's cgroup unexpectedly frozen"), "{error}");
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn a_deep_tree_below_is_removed() {
    let group = Scratch::create("deep", "{}").unwrap();
    let mut dir = group.dir("");
    for _ in 0..300 {
        dir.push("d");
    }
    fs::create_dir_all(&dir).unwrap();
    group.remove().unwrap();
    assert!(group.is_nowhere());
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn an_init_that_moved_is_followed() {
    let group = Scratch::create("moved", "{}").unwrap();
    let sleeper = Sleeper::start();
    group.attach(sleeper.pid()).unwrap();
    assert!(group.of_init(sleeper.pid()).unwrap().is_none());
    let below = group.sub(&SubPath::parse(&["init"]).unwrap()).unwrap();
    fs::create_dir(&below.paths()[""]).unwrap();
    below.attach(sleeper.pid()).unwrap();
    let moved = group.of_init(sleeper.pid()).unwrap().unwrap();
    assert_eq!(moved.paths(), below.paths());
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn counters_and_events_are_read() {
    let group = Scratch::create("stats", "{}").unwrap();
    let sleeper = Sleeper::start();
    group.attach(sleeper.pid()).unwrap();
    let stats = group.stats().unwrap();
    assert_eq!(stats.pids.current, 1);
    assert!(stats.cpu.usage.percpu.is_empty());
    assert_eq!(stats.cpu.psi.is_some(), Path::new("/proc/pressure/cpu").exists());
    assert_eq!(!stats.memory.raw.is_empty(), has_controller("memory"));
    assert_eq!(group.oom_kills().unwrap(), 0);
    let events = group.oom_events().unwrap();
    assert_eq!(events.is_some(), has_controller("memory"));
    if let Some(events) = events {
        group.apply(&parse(r#"{"memory":{"limit":8388608,"swap":8388608}}"#)).unwrap();
        let script = format!(
            "echo 0 > {}/cgroup.procs; head -c 100M /dev/zero | tail > /dev/null",
            group.dir("").display()
        );
        let mut hog = Sleeper::shell(&script);
        eventually("it is killed", || hog.is_dead());
        assert!(events.wait(Duration::from_secs(10)).unwrap());
        assert!(events.kills().unwrap() >= 1 && group.oom_kills().unwrap() >= 1);
    }
}
