//! Limits, devices, freezing and statistics on cgroup v2 with the cgroupfs driver.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use testkit::{Bundle, Runtime, Testbed, eventually};

/// A running container in a cgroup named after its bed.
struct Sleeper<'bed> {
    runtime: Runtime<'bed>,
    id: String,
    cgroup: PathBuf,
}

impl<'bed> Sleeper<'bed> {
    /// Runs `sleep` with these resources.
    fn with_resources(bed: &'bed Testbed, resources: Value) -> Self {
        let mut bundle = bed.bundle();
        let name = bed.name();
        bundle.edit(|spec| {
            spec["process"]["args"] = json!(["sleep", "1000"]);
            spec["linux"]["cgroupsPath"] = json!(format!("/{name}/box"));
            spec["linux"]["resources"] = resources;
        });
        Self::run(bed, &bundle)
    }

    fn run(bed: &'bed Testbed, bundle: &Bundle) -> Self {
        let (runtime, id) = (bed.runtime(), bed.id());
        runtime.command(["run", "--detach", "--bundle", bundle.arg(), &id]).output().expect_success();
        Self { runtime, id, cgroup: format!("/sys/fs/cgroup/{}/box", bed.name()).into() }
    }

    /// The value of a file of the container's cgroup.
    fn read(&self, file: &str) -> String {
        let path = self.cgroup.join(file);
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        text.trim_end().to_owned()
    }

    fn exec(&self, args: &[&str]) -> testkit::Finished {
        self.runtime.command(["exec", &self.id]).args(args).output()
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        self.runtime.command(["delete", "--force", &self.id]).output();
        // The parent was made for this test by the runtime, which leaves parents in place.
        drop(fs::remove_dir(self.cgroup.parent().unwrap()));
    }
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn limits_reach_the_kernel() {
    let bed = Testbed::new();
    let sleeper = Sleeper::with_resources(
        &bed,
        json!({
            "memory": {"limit": 67_108_864, "reservation": 33_554_432, "swap": 100_663_296},
            "cpu": {"quota": 50_000, "period": 100_000, "shares": 2048, "cpus": "0", "mems": "0"},
            "pids": {"limit": 20},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}],
            "unified": {"memory.high": "50331648"},
        }),
    );
    assert_eq!(sleeper.read("memory.max"), "67108864");
    assert_eq!(sleeper.read("memory.low"), "33554432");
    assert_eq!(sleeper.read("memory.swap.max"), "33554432");
    assert_eq!(sleeper.read("memory.high"), "50331648");
    assert_eq!(sleeper.read("cpu.max"), "50000 100000");
    assert_eq!(sleeper.read("cpuset.cpus"), "0");
    assert_eq!(sleeper.read("cpuset.mems"), "0");
    assert_eq!(sleeper.read("pids.max"), "20");
    assert_eq!(sleeper.read("hugetlb.2MB.max"), "4194304");
    // The default of both scales, 1024 shares, is a weight of 100 or, by the older formula, of 39; twice
    // as many must be more than the default in either.
    let weight: u32 = sleeper.read("cpu.weight").parse().unwrap();
    assert!((79..=250).contains(&weight), "{weight}");
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn update_changes_what_it_names_and_nothing_else() {
    let bed = Testbed::new();
    let sleeper = Sleeper::with_resources(
        &bed,
        json!({"memory": {"limit": 67_108_864}, "pids": {"limit": 20}, "cpu": {"quota": 50_000, "period": 100_000}}),
    );
    let update = ["update", "--memory", "134217728", "--cpu-quota", "25000", &sleeper.id];
    sleeper.runtime.command(update).output().expect_success();
    assert_eq!(sleeper.read("memory.max"), "134217728");
    assert_eq!(sleeper.read("cpu.max"), "25000 100000");
    assert_eq!(sleeper.read("pids.max"), "20");
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn a_process_beyond_the_limit_is_not_started() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    bundle.edit(|spec| spec["linux"]["resources"]["pids"] = json!({"limit": 20}));
    bundle.script("for i in $(seq 30); do sleep 100 & done");
    let run = bed.runtime().command(["run", "--bundle", bundle.arg(), &bed.id()]).output();
    assert!(!run.status.success());
    assert!(run.stderr().contains("fork"), "{}", run.stderr());
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn devices_are_filtered_by_a_program() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    let disk = fs::read_to_string("/sys/block/vda/dev").unwrap();
    let (major, minor) = disk.trim().split_once(':').unwrap();
    let (major, minor): (u32, u32) = (major.parse().unwrap(), minor.parse().unwrap());
    let name = bed.name();
    bundle.edit(|spec| {
        spec["process"]["args"] = json!(["sleep", "1000"]);
        spec["linux"]["cgroupsPath"] = json!(format!("/{name}/box"));
        spec["linux"]["devices"] = json!([
            {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229},
            {"path": "/dev/disk", "type": "b", "major": major, "minor": minor},
        ]);
        spec["linux"]["resources"] = json!({"devices": [
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "r"},
        ]});
    });
    let sleeper = Sleeper::run(&bed, &bundle);
    let works = |script: &str| sleeper.exec(&["sh", "-c", script]).status.success();
    let all = || {
        assert!(works("echo x >/dev/null && head -c 1 /dev/zero"), "the default devices must work");
        assert!(works(": </dev/fuse"), "what is allowed for reading may be read");
        assert!(!works("echo x >/dev/fuse"), "what is allowed for reading may not be written");
        assert!(!works(": </dev/disk"), "what is not allowed may not be read");
    };
    all();
    sleeper.runtime.command(["update", "--pids-limit", "50", &sleeper.id]).output().expect_success();
    all();
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn a_paused_container_stands_still() {
    let bed = Testbed::new();
    let sleeper = Sleeper::with_resources(&bed, json!({}));
    let frozen = || sleeper.read("cgroup.events").contains("frozen 1");
    let state = || {
        let text = sleeper.runtime.command(["state", &sleeper.id]).output().expect_success().stdout();
        serde_json::from_str::<Value>(&text).unwrap()["status"].clone()
    };
    sleeper.runtime.command(["pause", &sleeper.id]).output().expect_success();
    assert!(frozen());
    assert_eq!(state(), "paused");
    sleeper.runtime.command(["resume", &sleeper.id]).output().expect_success();
    assert!(!frozen());
    assert_eq!(state(), "running");
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn events_tell_the_usage() {
    let bed = Testbed::new();
    let sleeper =
        Sleeper::with_resources(&bed, json!({"memory": {"limit": 67_108_864}, "pids": {"limit": 20}}));
    let text = sleeper.runtime.command(["events", "--stats", &sleeper.id]).output().expect_success().stdout();
    let event: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(event["type"], "stats");
    assert_eq!(event["id"], json!(sleeper.id));
    let data = &event["data"];
    assert_eq!(data["pids"], json!({"current": 1, "limit": 20}));
    assert_eq!(data["memory"]["usage"]["limit"], 67_108_864);
    assert!(data["memory"]["usage"]["usage"].as_u64().unwrap() > 0, "{text}");
    assert!(data["cpu"]["usage"]["total"].as_u64().unwrap() > 0, "{text}");
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn delete_removes_what_the_container_nested() {
    let bed = Testbed::new();
    let sleeper = Sleeper::with_resources(&bed, json!({}));
    fs::create_dir_all(sleeper.cgroup.join("a/b")).unwrap();
    let pid = fs::read_to_string(sleeper.cgroup.join("cgroup.procs")).unwrap();
    fs::write(sleeper.cgroup.join("a/b/cgroup.procs"), pid.trim()).unwrap();
    sleeper.runtime.command(["kill", "--all", &sleeper.id, "KILL"]).output();
    eventually("the container stops", || sleeper.read("cgroup.events").contains("populated 0").then_some(()));
    sleeper.runtime.command(["delete", &sleeper.id]).output().expect_success();
    assert!(!sleeper.cgroup.exists());
}

#[test]
#[ignore = "needs the VM: cgroup v2"]
fn the_container_sees_its_own_cgroup_as_the_root() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    bundle.edit(|spec| {
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "cgroup"}));
        spec["linux"]["resources"]["pids"] = json!({"limit": 17});
    });
    bundle.script("cat /proc/self/cgroup /sys/fs/cgroup/pids.max; echo 5 >/sys/fs/cgroup/pids.max");
    let run = bed.runtime().command(["run", "--bundle", bundle.arg(), &bed.id()]).output();
    assert_eq!(run.stdout(), "0::/\n17\n");
    assert!(run.stderr().contains("Read-only"), "{}", run.stderr());
}
