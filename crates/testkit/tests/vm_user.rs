//! What tests for an ordinary user may count on in the VM.

use std::fs;

/// This process's cgroup, as a directory.
fn cgroup() -> String {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap();
    format!("/sys/fs/cgroup{}", text.trim_end().strip_prefix("0::").expect("the unified hierarchy alone"))
}

#[test]
#[ignore = "needs the VM: a user with systemd --user"]
fn the_tests_have_a_session_of_their_own() {
    assert_eq!(rustix::process::geteuid().as_raw(), 1000);
    let runtime_dir = std::env::var("XDG_RUNTIME_DIR").expect("XDG_RUNTIME_DIR");
    assert_eq!(runtime_dir, "/run/user/1000");
    assert!(fs::exists(format!("{runtime_dir}/bus")).unwrap());
}

#[test]
#[ignore = "needs the VM: a user with systemd --user"]
fn the_cgroup_is_delegated_with_its_controllers() {
    let cgroup = cgroup();
    assert!(cgroup.contains("/user@1000.service/"), "{cgroup}");
    let controllers = fs::read_to_string(format!("{cgroup}/cgroup.controllers")).unwrap();
    assert_eq!(controllers.trim_end(), "cpuset cpu io memory pids");
    fs::create_dir(format!("{cgroup}/child")).unwrap();
    fs::remove_dir(format!("{cgroup}/child")).unwrap();
}

#[test]
#[ignore = "needs the VM: a user with systemd --user"]
fn there_are_subordinate_ids() {
    for path in ["/etc/subuid", "/etc/subgid"] {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.lines().any(|line| line.starts_with("tester:")), "{path}: {text}");
    }
}
