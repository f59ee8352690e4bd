//! `berth logs` and `berth events`

use testkit::{Testbed, eventually};

use crate::{Berth, await_output};

#[test]
fn what_was_written_is_shown_by_stream_time_and_number() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    berth.script(&["--name", "job"], "echo one; echo two; echo err >&2").output().expect_success();
    let logs = berth.command(&["logs", "job"]).output().expect_success();
    assert_eq!((logs.stdout(), logs.stderr()), ("one\ntwo\n".into(), "err\n".into()));
    let last = berth.command(&["logs", "-n", "2", "job"]).output().expect_success();
    assert_eq!(last.stdout() + &last.stderr(), "two\nerr\n");
    let timed = berth.run(&["logs", "-t", "job"]);
    let (time, text) = timed.lines().next().unwrap().split_once(' ').unwrap();
    assert!(time.ends_with('Z') && time.len() == 30 && text == "one", "{timed}");
    assert_eq!(berth.run(&["logs", "--since", "2030-01-01", "job"]), "");
    assert_eq!(berth.run(&["logs", "--until", "1h", "job"]), "");
    assert_eq!(berth.run(&["logs", "--since", "1h", "job"]), "one\ntwo\n");
    assert!(berth.fails(1, &["logs", "--since", "soon", "job"]).contains("is no point in time"));
    assert!(berth.fails(1, &["logs", "-n", "few", "job"]).contains("expected a number of lines, or all"));
    assert_eq!(berth.fails(1, &["logs", "nope"]), "berth: No such container: nope\n");
}

#[test]
fn logs_are_followed_to_the_end() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    let directory = bed.path().join("shared");
    std::fs::create_dir(&directory).unwrap();
    let bind = format!("{}:/shared", directory.display());
    let script = "echo before; until test -e /shared/go; do sleep 0.02; done; echo after";
    berth.script(&["-d", "--name", "job", "-v", &bind], script).output().expect_success();
    let following = berth.command(&["logs", "-f", "job"]).start();
    await_output(&following, "before");
    std::fs::write(directory.join("go"), "").unwrap();
    assert_eq!(following.wait().expect_success().stdout(), "before\nafter\n");
}

#[test]
fn events_tell_a_containers_life() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    let following = berth.command(&["events", "-f", "type=container", "--format", "{{.Action}}"]).start();
    // It may not be there yet when something happens: let things happen until it is.
    eventually("the first event", || {
        berth.script(&["--rm"], "true").output().expect_success();
        following.stdout().contains("destroy").then_some(())
    });
    berth.script(&["--rm", "--name", "job"], "exit 3").output().expect_code(3);
    let all = ["events", "--since", "0", "--until", "0s", "-f", "container=job", "--format", "{{.Action}}"];
    let told = berth.run(&all);
    assert_eq!(told, "create\nstart\ndie\ndestroy\n", "{told}");
    let die = [
        "events",
        "--since",
        "0",
        "--until",
        "0s",
        "-f",
        "event=die",
        "-f",
        "container=job",
        "--format",
        "json",
    ];
    let die: serde_json::Value = serde_json::from_str(berth.run(&die).trim()).unwrap();
    assert_eq!(die["Actor"]["Attributes"]["exitCode"], "3");
    drop(following);
}
