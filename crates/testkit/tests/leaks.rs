//! The leak check must find what it is there for: each test leaks on purpose.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::mount::{MountFlags, MountPropagationFlags};
use testkit::{Invocation, Testbed};

/// Runs `leak` in a bed of its own and returns what the bed said when it was dropped.
fn complaint_about(leak: impl FnOnce(&Testbed)) -> String {
    let bed = Testbed::new();
    let dir = bed.path().to_owned();
    leak(&bed);
    let panic = catch_unwind(AssertUnwindSafe(|| drop(bed))).expect_err("the leak must be found");
    assert!(!dir.exists(), "the bed must be removed whatever leaked");
    *panic.downcast::<String>().expect("a message")
}

fn assert_root() {
    assert!(rustix::process::geteuid().is_root(), "this test mounts and makes cgroups: run it as root");
}

#[test]
fn a_clean_test_passes() {
    let bed = Testbed::new();
    let dir = bed.path().to_owned();
    let bundle = bed.bundle();
    assert!(bundle.rootfs().join("bin/sh").exists());
    Invocation::new(&bed, "/bin/true").output().expect_success();
    drop(bed);
    assert!(!dir.exists());
}

#[test]
fn a_mount_is_found_and_removed() {
    assert_root();
    let mut target = None;
    let complaint = complaint_about(|bed| {
        let path = bed.path().join("mnt");
        fs::create_dir(&path).unwrap();
        rustix::mount::mount("none", &path, "tmpfs", MountFlags::empty(), None).unwrap();
        rustix::mount::mount_change(&path, MountPropagationFlags::PRIVATE).unwrap();
        target = Some(path);
    });
    let target = target.unwrap().display().to_string();
    assert!(complaint.contains(&format!("mount on {target}")), "{complaint}");
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&target));
}

fn hierarchy() -> &'static str {
    let known = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];
    known.into_iter().find(|path| fs::exists(path).unwrap()).unwrap()
}

#[test]
fn a_cgroup_of_an_engines_container_is_found_by_its_id() {
    assert_root();
    let id = format!("{:064x}", std::process::id());
    let path = format!("{}/{id}", hierarchy());
    let complaint = complaint_about(|bed| {
        let events = bed.path().join("root/events");
        fs::create_dir_all(&events).unwrap();
        let event = serde_json::json!({"Type": "container", "Action": "create", "Actor": {"ID": id}});
        fs::write(events.join("events.jsonl"), format!("{event}\nnone\n")).unwrap();
        fs::create_dir(&path).unwrap();
    });
    assert!(complaint.contains(&format!("cgroup {path}")), "{complaint}");
    assert!(!fs::exists(&path).unwrap());
}

#[test]
fn a_cgroup_is_found_and_removed() {
    assert_root();
    let mut leaked = None;
    let complaint = complaint_about(|bed| {
        let path = format!("{}/{}/child", hierarchy(), bed.name());
        fs::create_dir_all(&path).unwrap();
        leaked = Some(path);
    });
    let leaked = leaked.unwrap();
    assert!(complaint.contains(&format!("cgroup {leaked}")), "{complaint}");
    assert!(!fs::exists(&leaked).unwrap());
}

#[test]
fn a_daemon_is_found_and_killed() {
    let complaint = complaint_about(|bed| {
        // The name reaches the sleeper only through its inherited environment.
        Invocation::new(bed, "/bin/sh").args(["-c", "cd / && setsid sleep 1000 &"]).output().expect_success();
    });
    assert!(complaint.contains("sleep 1000"), "{complaint}");
}

#[test]
fn a_forgotten_container_is_found() {
    let complaint = complaint_about(|bed| fs::create_dir(bed.state_dir().join("c1")).unwrap());
    assert!(complaint.contains("state/c1"), "{complaint}");
}

#[test]
fn a_file_elsewhere_is_found_and_removed() {
    let mut leaked = None;
    let complaint = complaint_about(|bed| {
        let path = std::env::temp_dir().join(format!("x-{}.tmp", bed.name()));
        fs::write(&path, "").unwrap();
        leaked = Some(path);
    });
    let leaked = leaked.unwrap();
    assert!(complaint.contains(leaked.to_str().unwrap()), "{complaint}");
    assert!(!leaked.exists());
}
