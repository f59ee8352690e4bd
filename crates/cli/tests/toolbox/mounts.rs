//! `berth mounts` beside findmnt.

use std::process::{Command, Stdio};

use crate::support::{Sleeper, berth, failure, json, run, stdout, until};

#[test]
fn the_table_has_the_mounts_that_findmnt_has() {
    let sleeper = Sleeper::new("unshare", &["-m"]);
    let ours = json(berth(&["mounts", "--json", &sleeper.pid()]));
    let targets = |field: &str| -> Vec<String> {
        ours["mounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mount| mount[field].as_str().unwrap().to_owned())
            .collect()
    };
    for (column, field) in
        [("TARGET", "target"), ("SOURCE", "source"), ("FSTYPE", "fstype"), ("PROPAGATION", "propagation")]
    {
        let theirs = stdout(run("findmnt", &["-N", &sleeper.pid(), "-l", "-n", "-o", column]));
        let mut theirs: Vec<_> = theirs.lines().map(|line| line.trim_end().to_owned()).collect();
        let mut ours = targets(field);
        theirs.sort();
        ours.sort();
        assert_eq!(ours, theirs, "{column}");
    }
}

#[test]
fn overlays_show_layers_and_what_is_own() {
    let script = "set -e; mount -t tmpfs t /mnt; mkdir /mnt/a /mnt/b /mnt/u /mnt/w /mnt/m; \
                  mount -t overlay o -o lowerdir=/mnt/b:/mnt/a,upperdir=/mnt/u,workdir=/mnt/w /mnt/m; exec sleep 300";
    let child = Command::new("unshare").args(["-m", "sh", "-c", script]).stdout(Stdio::null()).spawn();
    let sleeper = Sleeper(child.unwrap());
    until(|| std::fs::read(format!("/proc/{}/comm", sleeper.pid())).unwrap() == b"sleep\n");
    let shown = json(berth(&["mounts", "--json", &sleeper.pid()]));
    let overlay =
        shown["mounts"].as_array().unwrap().iter().find(|mount| mount["target"] == "/mnt/m").unwrap().clone();
    assert_eq!(overlay["layers"], serde_json::json!(["/mnt/u", "/mnt/b", "/mnt/a"]));
    assert_eq!(overlay["difference"], "own");
    let tree = stdout(berth(&["mounts", "--tree", &sleeper.pid()]));
    assert!(tree.contains("\n    /mnt/m "), "{tree}");
    assert!(failure(berth(&["mounts", "2147483647"])).contains("there is no process"));
}
