//! What tests for root may count on in the VM.

use std::fs;

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn cgroups_are_unified_with_all_controllers() {
    let controllers = read("/sys/fs/cgroup/cgroup.controllers");
    for controller in ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "misc"] {
        assert!(
            controllers.split_whitespace().any(|it| it == controller),
            "no {controller} in {controllers}"
        );
    }
}

#[test]
#[ignore = "needs the VM: systemd"]
fn systemd_is_the_init() {
    assert_eq!(read("/proc/1/comm"), "systemd\n");
    assert!(fs::exists("/run/dbus/system_bus_socket").unwrap());
}

#[test]
#[ignore = "needs the VM: AppArmor"]
fn apparmor_is_enabled() {
    assert_eq!(read("/sys/module/apparmor/parameters/enabled"), "Y\n");
    assert!(fs::exists("/sbin/apparmor_parser").unwrap());
}

#[test]
#[ignore = "needs the VM: root"]
fn the_tests_are_root() {
    assert!(rustix::process::geteuid().is_root());
    assert!(testkit::berth_binary().is_file());
}
