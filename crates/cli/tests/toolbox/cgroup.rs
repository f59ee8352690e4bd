//! `berth cgroup` beside the files of the kernel.

use crate::support::{Sleeper, berth, failure, json, stdout};

/// A cgroup of its own in the hierarchy that limits processes; removed when it is dropped.
struct Cgroup(String);

impl Cgroup {
    fn new(name: &str) -> Self {
        let v1 = std::path::Path::new("/sys/fs/cgroup/pids");
        let root = if v1.is_dir() { v1 } else { std::path::Path::new("/sys/fs/cgroup") };
        let path = root.join(format!("toolbox-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path.into_os_string().into_string().unwrap())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(format!("{}/below", self.0));
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn limits_and_use_are_those_of_the_kernel() {
    let cgroup = Cgroup::new("show");
    std::fs::create_dir(format!("{}/below", cgroup.0)).unwrap();
    std::fs::write(format!("{}/pids.max", cgroup.0), "7").unwrap();
    let sleeper = Sleeper::new("env", &[]);
    std::fs::write(format!("{}/below/cgroup.procs", cgroup.0), sleeper.pid()).unwrap();
    let shown = json(berth(&["cgroup", "show", "--json", &sleeper.pid()]));
    let figures = shown["hierarchies"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|entry| entry["figures"].as_array().unwrap());
    let processes = figures.clone().find(|figure| figure["name"] == "processes").unwrap();
    assert_eq!(processes["used"], "1");
    assert_eq!(processes["inherited"], serde_json::json!([7, cgroup.0]));
    let text = stdout(berth(&["cgroup", "show", &sleeper.pid()]));
    assert!(text.contains(&format!("7 by {}", cgroup.0)), "{text}");

    let tree = stdout(berth(&["cgroup", "tree", &cgroup.0]));
    let drawn = format!("└─below\n  └─{} sleep 300", sleeper.pid());
    assert!(tree.ends_with(&drawn), "{tree}");
    drop(sleeper);
}

#[test]
fn the_whole_tree_and_errors() {
    assert!(!stdout(berth(&["cgroup", "tree"])).is_empty());
    assert!(failure(berth(&["cgroup", "tree", "/no/such/cgroup"])).contains("list /no/such/cgroup"));
    assert!(failure(berth(&["cgroup", "tree", "-c", "nothing"])).contains("no nothing hierarchy"));
    assert!(failure(berth(&["cgroup", "show", "2147483647"])).contains("there is no process"));
}
