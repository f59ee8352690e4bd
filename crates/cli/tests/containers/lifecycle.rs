//! Containers in the background, through all that may become of them.

use testkit::{Testbed, eventually};

use crate::{Berth, IMAGE};

#[test]
fn from_creation_to_removal() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    let create = ["create", "--network", "none", "--name", "web", IMAGE, "sleep", "1000"];
    let id = berth.run(&create).trim().to_owned();
    let status = || berth.field("web", "{{.State.Status}}");
    assert_eq!((id.len(), status().as_str()), (64, "created"));
    assert_eq!(berth.run(&["ps", "-q"]), "");
    assert_eq!(berth.run(&["start", "web"]), "web\n");
    assert_eq!(berth.run(&["start", "web"]), "web\n");
    assert_eq!(berth.run(&["ps", "-q", "--no-trunc"]).trim(), id);
    assert_eq!((berth.run(&["pause", &id[..12]]).trim(), status().as_str()), (&id[..12], "paused"));
    assert!(berth.fails(1, &["pause", "web"]).contains("is already paused"));
    assert!(berth.run(&["ps"]).contains("(Paused)"));
    berth.run(&["unpause", "web"]);
    berth.run(&["restart", "-t", "0", "web"]);
    assert_eq!(status(), "running");
    assert!(
        berth.fails(1, &["rm", "web"]).contains("container is running: stop the container before removing")
    );
    berth.run(&["rename", "web", "site"]);
    assert_eq!(berth.run(&["kill", "site"]), "site\n");
    assert_eq!(berth.run(&["wait", "site"]), "137\n");
    assert!(berth.fails(1, &["kill", "site"]).contains("is not running"));
    assert_eq!(berth.run(&["stop", "site"]), "site\n", "what does not run has stopped");
    assert!(berth.run(&["ps", "-a"]).contains("Exited (137)"));
    assert_eq!(berth.run(&["rm", "site"]), "site\n");
    assert_eq!(berth.fails(1, &["rm", "site"]), "berth: No such container: site\n");
    assert_eq!(berth.run(&["rm", "-f", "site"]), "");
}

#[test]
fn one_that_is_missing_stops_no_other() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    for name in ["one", "two"] {
        berth.detached(name, "sleep 1000");
    }
    let stopped = berth.command(&["stop", "-t", "0", "one", "nope", "two"]).output().expect_code(1);
    assert_eq!(stopped.stdout(), "one\ntwo\n");
    assert_eq!(stopped.stderr(), "berth: No such container: nope\n");
    let pruned = berth.run(&["container", "prune", "-f"]);
    assert!(
        pruned.starts_with("Deleted Containers:\n") && pruned.contains("Total reclaimed space: "),
        "{pruned}"
    );
    assert_eq!(berth.run(&["ps", "-aq"]), "");
}

#[test]
fn stopping_asks_first() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    berth.detached("polite", "trap 'exit 4' TERM; trap 'exit 5' USR1; while :; do sleep 0.05; done");
    eventually("the trap", || berth.run(&["top", "polite"]).contains("sleep 0.05").then_some(()));
    berth.run(&["stop", "polite"]);
    assert_eq!(berth.field("polite", "{{.State.ExitCode}}"), "4");
    berth.run(&["start", "polite"]);
    eventually("the trap", || berth.run(&["top", "polite"]).contains("sleep 0.05").then_some(()));
    berth.run(&["stop", "-s", "USR1", "polite"]);
    assert_eq!(berth.field("polite", "{{.State.ExitCode}}"), "5");
}

#[test]
fn lists_are_filtered_and_formatted() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    let id = berth.detached("web", "sleep 1000");
    let create =
        ["create", "--network", "none", "--name", "job", "-l", "org.my-team=blue", IMAGE, "echo", "a \"b\""];
    berth.run(&create);
    let table = berth.run(&["ps", "-a"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("CONTAINER ID   IMAGE     COMMAND "), "{table}");
    assert!(lines[1].contains("\"echo a \\\"b\\\"\"") && lines[1].ends_with("job"), "{table}");
    assert!(lines[2].starts_with(&id[..12]) && lines[2].contains("Up "), "{table}");
    let names = |flags: &[&str]| berth.run(&[&["ps", "--format", "{{.Names}}"], flags].concat());
    assert_eq!(names(&["-a"]), "job\nweb\n");
    assert_eq!(names(&["-l"]), "job\n");
    assert_eq!(names(&["-n", "1"]), "job\n");
    assert_eq!(names(&["-f", "status=created"]), "job\n");
    assert_eq!(names(&["-a", "-f", "name=^w"]), "web\n");
    assert_eq!(names(&["-a", "-f", "label=org.my-team=blue"]), "job\n");
    assert_eq!(names(&["-a", "-f", "ancestor=busybox", "-f", "before=job"]), "web\n");
    assert_eq!(names(&["-a", "-f", "since=web"]), "job\n");
    assert!(berth.fails(1, &["ps", "-f", "colour=red"]).contains("invalid filter 'colour'"));
    let labels = berth.run(&["ps", "-a", "--format", "table {{.Names}}\t{{.Label \"org.my-team\"}}"]);
    assert_eq!(labels, "NAMES     my team\njob       blue\nweb       \n");
    let json: serde_json::Value =
        serde_json::from_str(berth.run(&["ps", "--format", "json"]).trim()).unwrap();
    assert_eq!((json["Names"].as_str(), json["State"].as_str()), (Some("web"), Some("running")));
    assert!(berth.run(&["ps", "-as"]).contains("(virtual "));
}

#[test]
fn limits_are_changed_while_it_runs() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    berth.detached("web", "sleep 1000");
    assert_eq!(
        berth.run(&["update", "web", "--pids-limit", "50", "-m", "64m", "--memory-swap", "-1"]),
        "web\n"
    );
    let shown = berth.field("web", "{{.HostConfig.PidsLimit}} {{.HostConfig.Memory}}");
    assert_eq!(shown, format!("50 {}", 64 << 20));
    let file = "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max";
    assert_eq!(berth.run(&["exec", "web", "sh", "-c", file]).trim(), "50");
    berth.fails(125, &["update", "web"]);
    berth.run(&["update", "--restart", "always", "web"]);
    assert_eq!(berth.field("web", "{{.HostConfig.RestartPolicy.Name}}"), "always");
    berth.run(&["update", "--restart", "no", "web"]);
}

#[test]
fn one_that_is_to_be_removed_is_restarted_before() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    berth.script(&["-d", "--rm", "--name", "brief"], "sleep 1000").output().expect_success();
    berth.run(&["exec", "brief", "touch", "/kept"]);
    for _ in 0..2 {
        let before = berth.field("brief", "{{.State.Pid}}");
        berth.run(&["restart", "-t", "0", "brief"]);
        assert_ne!(berth.field("brief", "{{.State.Pid}}"), before);
        berth.run(&["exec", "brief", "test", "-e", "/kept"]);
    }
    berth.run(&["stop", "-t", "0", "brief"]);
    assert_eq!(berth.run(&["ps", "-aq"]), "");
}
