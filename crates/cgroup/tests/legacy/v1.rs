//! Each fails where there is no v1 hierarchy; `cargo xtask test` leaves them out there, by this module's name.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::{Scratch, Sleeper, eventually, parse};
use cgroup::{Driver, Error, Group, Host, SubPath, with_default_devices};
use oci::spec::resources::LinuxResources;
use rustix::process::Signal;

#[test]
fn a_group_is_made_in_every_hierarchy_and_removed_from_each() {
    let group = Scratch::create("everywhere", "{}").unwrap();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    for (controller, dir) in group.paths() {
        assert!(own.contains(&format!(":{controller}:")) || own.contains(controller));
        assert!(dir.is_dir(), "{}", dir.display());
    }
    assert!(group.paths().contains_key("devices") && group.exists());
    group.remove().unwrap();
    assert!(group.is_nowhere() && !group.exists());
    group.remove().unwrap();
}

#[test]
fn a_process_moves_itself_by_the_join_files() {
    let group = Scratch::create("join", "{}").unwrap();
    let files = group.join_files().unwrap();
    assert!(files.len() > 3);
    let mut shell = Command::new("sh");
    let fds: Vec<_> = files.iter().map(std::os::fd::AsRawFd::as_raw_fd).map(|fd| fd.to_string()).collect();
    let parent = std::process::id();
    let script = format!(
        "for fd in {}; do echo 0 > /proc/{parent}/fd/$fd; done; echo in; exec sleep 1000",
        fds.join(" ")
    );
    let child = shell.arg("-c").arg(script).stdout(Stdio::piped()).spawn().unwrap();
    let sleeper = Sleeper(child);
    eventually("the shell is in", || group.pids().unwrap() == [sleeper.pid()]);
    eventually("in every hierarchy", || {
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", sleeper.pid())).unwrap();
        let name = group.dir("devices").file_name().unwrap().to_string_lossy().into_owned();
        groups.lines().filter(|line| line.contains(&name)).count() == files.len()
    });
}

#[test]
fn limits_reach_the_kernel() {
    let json = r#"{"memory":{"limit":33554432,"swap":67108864,"reservation":16777216,"swappiness":10},
        "cpu":{"shares":512,"quota":20000,"period":50000,"burst":10000,"cpus":"0","mems":"0"},
        "pids":{"limit":20}}"#;
    let group = Scratch::create("limits", json).unwrap();
    for (controller, file, value) in [
        ("memory", "memory.limit_in_bytes", "33554432"),
        ("memory", "memory.memsw.limit_in_bytes", "67108864"),
        ("memory", "memory.soft_limit_in_bytes", "16777216"),
        ("memory", "memory.swappiness", "10"),
        ("cpu", "cpu.shares", "512"),
        ("cpu", "cpu.cfs_quota_us", "20000"),
        ("cpu", "cpu.cfs_period_us", "50000"),
        ("cpu", "cpu.cfs_burst_us", "10000"),
        ("cpuset", "cpuset.cpus", "0"),
        ("cpuset", "cpuset.mems", "0"),
        ("pids", "pids.max", "20"),
    ] {
        assert_eq!(group.read(controller, file), value, "{file}");
    }
}

#[test]
fn values_that_bound_each_other_can_move_up_and_down() {
    let group = Scratch::create("order", r#"{"memory":{"limit":20971520,"swap":31457280}}"#).unwrap();
    let both = || {
        (group.read("memory", "memory.limit_in_bytes"), group.read("memory", "memory.memsw.limit_in_bytes"))
    };
    for (limit, swap) in [(52428800, 62914560), (10485760, 10485760), (104857600, 209715200)] {
        group.apply(&parse(&format!(r#"{{"memory":{{"limit":{limit},"swap":{swap}}}}}"#))).unwrap();
        assert_eq!(both(), (limit.to_string(), swap.to_string()));
    }
    group.apply(&parse(r#"{"memory":{"limit":-1}}"#)).unwrap();
    assert_eq!(both().0, "9223372036854771712");
    assert_eq!(both().1, "9223372036854771712");

    group.apply(&parse(r#"{"cpu":{"quota":5000,"period":5000,"burst":5000}}"#)).unwrap();
    group.apply(&parse(r#"{"cpu":{"quota":900000,"period":1000000,"burst":800000}}"#)).unwrap();
    group.apply(&parse(r#"{"cpu":{"quota":2000,"period":4000,"burst":1000}}"#)).unwrap();
    assert_eq!(group.read("cpu", "cpu.cfs_burst_us"), "1000");
}

#[test]
fn an_invalid_limit_leaves_nothing_behind() {
    let mut group = Scratch::locate("undo");
    let error = group.create(Some(&parse(r#"{"cpu":{"period":1}}"#)), None).unwrap_err();
    assert!(error.to_string().contains("cpu.cfs_period_us"), "{error}");
    assert!(group.is_nowhere());

    let mut nested = Scratch::at(&format!("/berth-test-{}-nest/a/b", std::process::id()));
    nested.create(Some(&parse(r#"{"cpu":{"cpus":"4096"}}"#)), None).unwrap_err();
    assert!(nested.paths().values().all(|dir| !dir.parent().unwrap().parent().unwrap().exists()));
}

#[test]
fn limits_without_a_controller_name_it() {
    let Err(error) = Scratch::create("hugetlb", r#"{"hugepageLimits":[{"pageSize":"2MB","limit":0}]}"#)
    else {
        assert!(fs::read_to_string("/proc/self/cgroup").unwrap().contains("hugetlb"));
        return;
    };
    let text = error.to_string();
    assert!(
        text.starts_with("cannot set hugetlb limit: container could not join or create cgroup"),
        "{text}"
    );
    let Err(error) = Scratch::create("unified", r#"{"unified":{"memory.high":"1"}}"#) else {
        panic!("taken")
    };
    assert!(error.to_string().contains("invalid configuration"), "{error}");
}

#[test]
fn devices_are_what_the_rules_allow() {
    let rules = parse(r#"{"devices":[{"allow":false,"access":"rwm"}]}"#).devices;
    let resources = LinuxResources { devices: with_default_devices(&rules, &[]), ..Default::default() };
    let mut group = Scratch::locate("devices");
    group.create(Some(&resources), None).unwrap();
    let list = group.read("devices", "devices.list");
    assert!(list.contains("c 1:3 rwm") && list.contains("c *:* m") && !list.contains("a *:*"), "{list}");
    let in_group = |command: &str| {
        let procs = group.dir("devices").join("tasks");
        let script = format!("echo 0 > {} && {command}", procs.display());
        Command::new("sh").arg("-c").arg(script).stderr(Stdio::null()).status().unwrap().success()
    };
    assert!(in_group("true < /dev/null"));
    assert!(!in_group("true < /dev/kmsg"));
}

#[test]
fn an_update_of_devices_denies_nothing_that_is_allowed_before_and_after() {
    let of = |rules: &str| LinuxResources {
        devices: with_default_devices(&parse(rules).devices, &[]),
        ..LinuxResources::default()
    };
    let few = of(r#"{"devices":[{"allow":false,"access":"rwm"}]}"#);
    let kmsg = r#"{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]}"#;
    let more = of(kmsg);
    let mut group = Scratch::locate("devices-update");
    group.create(Some(&few), None).unwrap();
    let tasks = group.dir("devices").join("tasks");
    let script = format!("echo 0 > {}; echo in; while true < /dev/null; do :; done", tasks.display());
    let mut user = Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut word = [0; 3];
    std::io::Read::read_exact(user.stdout.as_mut().unwrap(), &mut word).unwrap();
    for _ in 0..2000 {
        group.apply(&more).unwrap();
        group.apply(&few).unwrap();
    }
    let ended = user.try_wait().unwrap();
    user.kill().unwrap();
    user.wait().unwrap();
    assert_eq!(ended, None, "/dev/null was denied for a moment");
    assert!(!group.read("devices", "devices.list").contains("c 1:11 r"));
    group.apply(&more).unwrap();
    assert!(group.read("devices", "devices.list").contains("c 1:11 r"));
}

#[test]
fn all_processes_are_killed_also_below_and_frozen_ones() {
    let group = Scratch::create("kill", "{}").unwrap();
    let mut sleepers = [Sleeper::start(), Sleeper::start()];
    group.attach(sleepers[0].pid()).unwrap();
    let below = group.sub(&SubPath::parse(&["below/it"]).unwrap()).unwrap();
    for dir in below.paths().values() {
        fs::create_dir_all(dir).unwrap();
    }
    for file in ["cpuset.cpus", "cpuset.mems"] {
        for dir in [group.dir("cpuset").join("below"), below.paths()["cpuset"].clone()] {
            fs::write(dir.join(file), group.read("cpuset", file)).unwrap();
        }
    }
    below.attach(sleepers[1].pid()).unwrap();
    let mut pids = group.pids().unwrap();
    pids.sort_unstable();
    let mut expected = sleepers.each_ref().map(Sleeper::pid);
    expected.sort_unstable();
    assert_eq!(pids, expected);

    assert!(matches!(group.0.clone().create(None, None), Err(Error::NotEmpty { .. })));
    group.freeze().unwrap();
    assert!(group.is_frozen().unwrap());
    group.kill_all(Signal::KILL).unwrap();
    for sleeper in &mut sleepers {
        eventually("it is dead", || sleeper.is_dead());
    }
    group.remove().unwrap();
    assert!(group.is_nowhere());
}

#[test]
fn groups_in_use_by_us_are_not_killed() {
    let host = Host::detect().unwrap();
    let error = Group::locate(&host, &Driver::Cgroupfs, Some("/"), "x", false).unwrap_err();
    assert!(error.to_string().contains("root of the hierarchy"), "{error}");
    let group = Scratch::create("own", "{}").unwrap();
    let script = |pid: u32| format!("echo {pid} > {}", group.dir("devices").join("cgroup.procs").display());
    Sleeper::shell(&script(std::process::id())).0.wait().unwrap();
    let refused = group.kill_all(Signal::KILL);
    let back = fs::write("/sys/fs/cgroup/devices/cgroup.procs", std::process::id().to_string());
    back.unwrap();
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
}

#[test]
fn a_group_in_use_says_by_whom_when_it_cannot_be_taken_over() {
    let group = Scratch::create("busy", "{}").unwrap();
    let sleeper = Sleeper::start();
    group.attach(sleeper.pid()).unwrap();
    let error = group.0.clone().create(None, None).unwrap_err().to_string();
    assert!(error.contains("container's cgroup is not empty: 1 process(es) found"), "{error}");
    assert!(group.exists());
}

#[test]
fn hostile_paths_stay_below_the_hierarchy() {
    let name = format!("berth-test-{}-hostile", std::process::id());
    let group = Scratch::at(&format!("/../../../{name}/../../{name}"));
    for (controller, dir) in group.paths() {
        assert!(dir.starts_with("/sys/fs/cgroup"), "{controller}: {}", dir.display());
        assert!(dir.ends_with(&name));
    }
    let stored = serde_json::to_string(&*group).unwrap().replace(&name, "../../../tmp");
    let restored: Group = serde_json::from_str(&stored).unwrap();
    assert!(restored.paths().values().all(|dir| dir.starts_with("/sys/fs/cgroup") && dir.ends_with("tmp")));
}

#[test]
fn counters_are_read_from_every_controller() {
    let group = Scratch::create("stats", r#"{"memory":{"limit":33554432},"pids":{"limit":20}}"#).unwrap();
    let sleeper = Sleeper::start();
    group.attach(sleeper.pid()).unwrap();
    let stats = group.stats().unwrap();
    assert_eq!((stats.pids.current, stats.pids.limit), (1, 20));
    assert_eq!(stats.memory.usage.limit, 33_554_432);
    assert!(stats.memory.raw.contains_key("rss") && !stats.cpuset.cpus.is_empty());
    let json = serde_json::to_value(&stats).unwrap();
    assert!(json["hugetlb"].is_object() && json["cpu"]["usage"]["percpu"].is_array(), "{json}");
    assert!(json["memory"]["usage"]["limit"].is_u64() && json["blkio"].is_object());
}

#[test]
fn running_out_of_memory_is_told_and_counted() {
    let group = Scratch::create("oom", r#"{"memory":{"limit":8388608,"swap":8388608}}"#).unwrap();
    let events = group.oom_events().unwrap().unwrap();
    assert!(!events.wait(Duration::ZERO).unwrap() && group.oom_kills().unwrap() == 0);
    let script = format!(
        "echo 0 > {}; head -c 100M /dev/zero | tail > /dev/null",
        group.dir("memory").join("tasks").display()
    );
    let mut hog = Sleeper::shell(&script);
    assert!(events.wait(Duration::from_secs(10)).unwrap());
    eventually("it is killed", || hog.is_dead());
    assert_eq!(group.oom_kills().unwrap(), 1);
    assert_eq!(events.kills().unwrap(), 1);
}

#[test]
fn links_may_lead_to_a_hierarchy_but_not_within() {
    let link = std::env::temp_dir().join(format!("berth-test-{}-link", std::process::id()));
    std::os::unix::fs::symlink("/sys/fs/cgroup", &link).unwrap();
    let group = Scratch::locate("link");
    let stored = serde_json::to_string(&*group).unwrap();
    let mut linked: Group =
        serde_json::from_str(&stored.replace("/sys/fs/cgroup", link.to_str().unwrap())).unwrap();
    linked.create(None, None).unwrap();
    assert!(group.exists() && linked.join_files().is_ok());
    linked.remove().unwrap();
    assert!(group.is_nowhere());

    let inside = stored
        .replace("/sys/fs/cgroup", "/")
        .replace("berth-test", &format!("{}/devices/berth-test", link.display()));
    let mut inside: Group = serde_json::from_str(&inside).unwrap();
    let refused = inside.create(None, None);
    fs::remove_file(&link).unwrap();
    assert!(refused.is_err() && group.is_nowhere(), "{refused:?}");
}
