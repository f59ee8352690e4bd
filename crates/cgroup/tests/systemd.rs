//! The conversation with systemd, on a real message bus with a stand-in for systemd.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use cgroup::{Driver, Error, Group, Host, Layout};
use common::{Sleeper, parse};
use serde_json::{Value, json};

/// A message bus of our own with a stand-in for systemd on it.
struct Bed {
    processes: Vec<Child>,
    directory: PathBuf,
    address: String,
}

impl Bed {
    fn start() -> Self {
        let python =
            Command::new("/usr/bin/python3").args(["-c", "import dbus, gi"]).stderr(Stdio::null()).status();
        assert!(
            python.is_ok_and(|status| status.success()),
            "needs the Debian packages dbus, python3-dbus and python3-gi (cargo xtask test installs them)"
        );
        let directory = std::env::temp_dir().join(format!("berth-test-bus-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut bed = Self { processes: Vec::new(), directory, address: String::new() };
        let listen = format!("unix:path={}", bed.directory.join("bus").display());
        bed.spawn(Command::new("dbus-daemon").args([
            "--session",
            "--nofork",
            "--print-address=1",
            "--address",
            &listen,
        ]));
        bed.address = bed.first_line();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/systemd1.py");
        let log = bed.log();
        let address = bed.address.clone();
        bed.spawn(Command::new("/usr/bin/python3").arg(script).arg(address).arg(log));
        assert_eq!(bed.first_line(), "ready");
        bed
    }

    fn spawn(&mut self, command: &mut Command) {
        self.processes.push(command.stdout(Stdio::piped()).spawn().unwrap());
    }

    fn first_line(&mut self) -> String {
        let output = self.processes.last_mut().unwrap().stdout.as_mut().unwrap();
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Runs the tests below, which find the bus by their environment.
#[test]
fn all_of_these_against_a_stand_in() {
    let bed = Bed::start();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--test-threads=1"])
        .env("DBUS_SYSTEM_BUS_ADDRESS", &bed.address)
        .env("BERTH_TEST_LOG", bed.log())
        .status();
    assert!(status.unwrap().success());
}

fn locate(unit: &str) -> Group {
    let host = Host::detect().unwrap();
    Group::locate(&host, &Driver::Systemd, Some(&format!("berth-test.slice:berth:{unit}")), unit, false)
        .unwrap()
}

/// The calls with this method, as `[method, arguments…]`, about `unit`.
fn calls(method: &str, unit: &str) -> Vec<Value> {
    let log = fs::read_to_string(std::env::var_os("BERTH_TEST_LOG").unwrap()).unwrap();
    let all = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|call| call[0] == method && call[1] == format!("berth-{unit}.scope")).collect()
}

#[test]
#[ignore = "run by all_of_these_against_a_stand_in"]
fn a_scope_is_started_around_a_process_and_stopped() {
    let sleeper = Sleeper::start();
    let annotations = [("org.systemd.property.CollectMode".to_owned(), "'inactive-or-failed'".to_owned())];
    let mut group = locate("one").with_annotations(&annotations.into()).unwrap();
    assert!(group.is_systemd());
    assert!(group.paths().values().all(|dir| dir.ends_with("berth.slice/berth-test.slice/berth-one.scope")));
    let limits = parse(
        r#"{"pids":{"limit":30},"devices":[{"allow":true,"type":"c","major":1,"minor":3,"access":"rw"}]}"#,
    );
    group.create(Some(&limits), Some(sleeper.pid())).unwrap();

    let started = calls("StartTransientUnit", "one");
    let properties = started[0][3].as_array().unwrap();
    let has = |name: &str, value: Value| {
        assert!(properties.contains(&json!([name, value])), "{name}: {properties:?}");
    };
    has("Slice", json!("berth-test.slice"));
    has("Delegate", json!(true));
    has("PIDs", json!([sleeper.pid()]));
    has("TasksMax", json!(30));
    has("DevicePolicy", json!("strict"));
    has("DeviceAllow", json!([["/dev/char/1:3", "rw"]]));
    has("DefaultDependencies", json!(false));
    has("CollectMode", json!("inactive-or-failed"));
    assert_eq!((&started[0][2], &started[0][4]), (&json!("replace"), &json!([])));
    if !group.is_unified() {
        assert_eq!(group.pids().unwrap(), [sleeper.pid()]);
    }

    group.apply(&parse(r#"{"pids":{"limit":40}}"#)).unwrap();
    assert_eq!(calls("SetUnitProperties", "one")[0][3], json!([["TasksMax", 40]]));
    drop(sleeper);
    group.remove().unwrap();
    assert_eq!(calls("StopUnit", "one").len(), 1);
    assert!(!group.exists());
    let slices = group.paths().into_values().filter_map(|dir| Some(dir.parent()?.parent()?.to_owned()));
    slices.for_each(|dir| {
        drop(fs::remove_dir(dir.join("berth-test.slice")).and_then(|()| fs::remove_dir(dir)));
    });
}

#[test]
#[ignore = "run by all_of_these_against_a_stand_in"]
fn a_failed_predecessor_is_cleared_away_once() {
    let sleeper = Sleeper::start();
    let mut group = locate("leftover");
    group.create(None, Some(sleeper.pid())).unwrap();
    assert_eq!(calls("StartTransientUnit", "leftover").len(), 2);
    assert_eq!(calls("ResetFailedUnit", "leftover").len(), 1);
    drop(sleeper);
    group.remove().unwrap();
}

#[test]
#[ignore = "run by all_of_these_against_a_stand_in"]
fn a_failed_job_is_an_error_that_leaves_nothing() {
    let sleeper = Sleeper::start();
    let mut group = locate("broken");
    let error = group.create(None, Some(sleeper.pid())).unwrap_err();
    assert!(matches!(&error, Error::Job { result, .. } if result == "failed"), "{error:?}");
    assert!(!group.exists());
}

#[test]
#[ignore = "run by all_of_these_against_a_stand_in"]
fn what_systemd_does_not_know_is_gone() {
    locate("unknown").remove().unwrap();
}

#[test]
#[ignore = "run by all_of_these_against_a_stand_in"]
fn the_users_manager_is_in_a_group_of_its_own() {
    let host = Host::detect().unwrap();
    let located = Group::locate(&host, &Driver::Systemd, None, "c1", true);
    if *host.layout() != Layout::Unified {
        assert!(matches!(located, Err(Error::RootlessSystemdLegacy)), "{located:?}");
    }
}
