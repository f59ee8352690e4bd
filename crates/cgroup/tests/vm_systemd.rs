//! Against systemd itself, as root in the VM.
#![allow(missing_docs)]

mod common;

use std::process::Command;

use cgroup::{Driver, Error, Group, Host, with_default_devices};
use common::{Sleeper, eventually, parse};
use oci::spec::resources::LinuxResources;
use rustix::process::Signal;

fn locate(name: &str) -> Group {
    let host = Host::detect().unwrap();
    let path = format!("berth-test.slice:berth:{name}");
    Group::locate(&host, &Driver::Systemd, Some(&path), name, false).unwrap()
}

/// The value of a property of the scope, as systemctl shows it.
fn property(name: &str, property: &str) -> String {
    let unit = format!("berth-{name}.scope");
    let output = Command::new("systemctl").args(["show", "--value", "-p", property, &unit]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
#[ignore = "needs the VM: systemd"]
fn a_scope_has_the_limits_until_it_is_removed() {
    let mut sleeper = Sleeper::start();
    let mut group = locate("limits");
    let json = r#"{"memory":{"limit":33554432,"swap":50331648},"cpu":{"shares":1024,"quota":20000,"period":50000,"cpus":"0"},
        "pids":{"limit":30},"devices":[{"allow":false,"access":"rwm"}]}"#;
    let limits = parse(json);
    let limits = LinuxResources { devices: with_default_devices(&limits.devices, &[]), ..limits };
    group.create(Some(&limits), Some(sleeper.pid())).unwrap();
    assert_eq!(group.pids().unwrap(), [sleeper.pid()]);
    for (name, value) in [
        ("MemoryMax", "33554432"),
        ("MemorySwapMax", "16777216"),
        ("CPUWeight", "100"),
        ("CPUQuotaPerSecUSec", "400ms"),
        ("AllowedCPUs", "0"),
        ("TasksMax", "30"),
        ("Delegate", "yes"),
        ("Slice", "berth-test.slice"),
        ("DevicePolicy", "strict"),
    ] {
        assert_eq!(property("limits", name), value, "{name}");
    }
    let dir = group.paths()[""].clone();
    let read = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap().trim().to_owned();
    assert_eq!(read("cpu.max"), "20000 50000");
    assert_eq!(read("memory.swap.max"), "16777216");

    group.apply(&parse(r#"{"pids":{"limit":40},"memory":{"limit":67108864,"swap":67108864}}"#)).unwrap();
    assert_eq!(
        (property("limits", "TasksMax"), property("limits", "MemoryMax")),
        ("40".into(), "67108864".into())
    );
    // A reload must not undo what was set.
    assert!(Command::new("systemctl").arg("daemon-reload").status().unwrap().success());
    assert_eq!((read("pids.max"), read("memory.max")), ("40".into(), "67108864".into()));

    group.kill_all(Signal::KILL).unwrap();
    eventually("it is dead", || sleeper.is_dead());
    group.remove().unwrap();
    assert!(!group.exists());
    assert_eq!(property("limits", "LoadState"), "not-found");
}

#[test]
#[ignore = "needs the VM: systemd"]
fn a_scope_in_use_is_not_taken_over() {
    let first = Sleeper::start();
    let second = Sleeper::start();
    let mut group = locate("twice");
    group.create(None, Some(first.pid())).unwrap();
    let error = group.clone().create(None, Some(second.pid())).unwrap_err();
    assert!(matches!(error, Error::Systemd { .. }), "{error:?}");
    assert_eq!(group.pids().unwrap(), [first.pid()]);
    drop(first);
    group.remove().unwrap();
}
