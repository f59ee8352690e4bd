//! `berth run` in the foreground: streams, exit codes, what is asked for and what is wrong.

use rustix::process::Signal;
use testkit::{Testbed, eventually};

use crate::{Berth, IMAGE, await_output};

#[test]
fn streams_and_the_exit_code_are_the_programs() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    let ended = berth.script(&["--rm"], "echo out; echo err >&2; exit 7").output().expect_code(7);
    assert_eq!((ended.stdout(), ended.stderr()), ("out\n".into(), "err\n".into()));
    let piped = berth.script(&["--rm", "-i"], "tr a-z A-Z").stdin("hello\n").output().expect_success();
    assert_eq!(piped.stdout(), "HELLO\n");
    // Without -i there is no input.
    let deaf = berth.script(&["--rm"], "wc -c").stdin("hello\n").output().expect_success();
    assert_eq!(deaf.stdout().trim(), "0");
    assert_eq!(
        berth.script(&["--rm"], "sh -c 'kill -9 $$'; echo not reached").output().expect_code(137).stdout(),
        ""
    );
    assert_eq!(berth.run(&["ps", "-aq"]), "");
}

#[test]
fn exit_codes_tell_whose_fault_it_was() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    fn run<'a>(words: &[&'a str]) -> Vec<&'a str> {
        [&["run", "--rm", "--network", "none"], words].concat()
    }
    let missing = berth.fails(127, &run(&[IMAGE, "nope"]));
    assert_eq!(
        missing,
        "berth: failed to start container: exec: \"nope\": executable file not found in $PATH\n"
    );
    let denied = berth.fails(126, &run(&[IMAGE, "/etc/passwd"]));
    assert!(denied.contains("permission denied"), "{denied}");
    let unknown = berth.fails(125, &run(&["--nope", IMAGE]));
    assert!(unknown.starts_with("berth: unknown flag: --nope\n\nUsage: berth run"), "{unknown}");
    let never = berth.fails(125, &run(&["--pull", "never", "nothing"]));
    assert!(never.starts_with("berth: no such image: nothing"), "{never}");
    let both = berth.fails(125, &run(&["--restart", "always", IMAGE]));
    assert!(
        both.starts_with("berth: conflicting options: cannot specify both --restart and --rm\n"),
        "{both}"
    );
    berth.fails(125, &["run"]);
    let terminal = berth.fails(1, &run(&["-it", IMAGE]));
    assert!(terminal.contains("the input device is not a TTY"), "{terminal}");
    assert_eq!(berth.run(&["ps", "-aq"]), "");
}

#[test]
fn what_is_asked_for_is_inside() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    let file = bed.path().join("env");
    std::fs::write(&file, "# comment\nFROM_FILE=yes\nBOTH=file\nHERE\n").unwrap();
    let flags = [
        "--rm",
        "--hostname",
        "box",
        "-w",
        "/tmp",
        "-u",
        "1000:50",
        "-e",
        "BOTH=flag",
        "--env-file",
        file.to_str().unwrap(),
        "--tmpfs",
        "/scratch:size=1m",
        "--read-only",
        "--ulimit",
        "nofile=100:200",
        "--add-host",
        "db:10.0.0.9",
    ];
    let script = "hostname; pwd; id -u; id -g; echo $BOTH $FROM_FILE $HERE; ulimit -n; ulimit -Hn; \
                  grep db /etc/hosts; echo x > /scratch/x; { echo x > /etc/x; } 2>&1 | sed 's/.*: //'";
    let told = berth.script(&flags, script).env("HERE", "client").output().expect_success();
    let wanted = "box\n/tmp\n1000\n50\nflag yes client\n100\n200\n10.0.0.9\tdb\nRead-only file system\n";
    assert_eq!(told.stdout(), wanted);
}

#[test]
fn entry_points_are_replaced_and_taken_away() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    let run = ["run", "--rm", "--network", "none"];
    let told = berth.run(&[&run[..], &["--entrypoint", "echo", IMAGE, "a", "-n"]].concat());
    assert_eq!(told, "a -n\n");
    let told = berth.run(&[&run[..], &["--entrypoint", "", IMAGE, "echo", "b"]].concat());
    assert_eq!(told, "b\n");
}

#[test]
fn the_id_goes_to_a_file_that_must_be_new() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    let file = bed.path().join("id");
    let path = file.to_str().unwrap();
    let run = ["run", "-d", "--network", "none", "--cidfile", path];
    let id = berth.run(&[&run[..], &[IMAGE, "true"]].concat());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), id.trim());
    let again = berth.fails(125, &[&run[..], &[IMAGE, "true"]].concat());
    assert!(again.contains("container ID file found"), "{again}");
    std::fs::remove_file(&file).unwrap();
    berth.fails(125, &[&run[..], &["--name", "!", IMAGE, "true"]].concat());
    assert!(!file.exists(), "no container, no file");
}

#[test]
fn a_name_is_there_once() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    let id = berth.detached("web", "sleep 1000");
    let taken = berth.script(&["--name", "web"], "true").output().expect_code(125).stderr();
    let told =
        format!("berth: Conflict. The container name \"/web\" is already in use by container \"{id}\".");
    assert!(taken.starts_with(&told), "{taken}");
    assert_eq!(berth.field("web", "{{.Id}} {{.Name}}"), format!("{id} /web"));
}

#[test]
fn signals_go_to_the_program() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    let script = "trap 'echo got; exit 3' INT; echo ready; while :; do sleep 0.05; done";
    let running = berth.script(&["--rm"], script).start();
    await_output(&running, "ready");
    running.signal(Signal::INT);
    assert_eq!(running.wait().expect_code(3).stdout(), "ready\ngot\n");
}

#[test]
fn a_client_that_is_killed_leaves_its_container() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    let running = berth.script(&["--name", "left"], "echo ready; sleep 1000").start();
    await_output(&running, "ready");
    running.signal(Signal::KILL);
    drop(running);
    assert_eq!(berth.field("left", "{{.State.Status}}"), "running");
    assert_eq!(berth.run(&["stop", "-t", "0", "left"]), "left\n");
    assert_eq!(berth.field("left", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
}

#[test]
fn the_built_in_image_reports_and_is_gone() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    let report = berth.run(&["run", "--rm", "--network", "none", "hello"]);
    assert!(report.starts_with("Hello from berth!"), "{report}");
    assert_eq!(berth.run(&["ps", "-aq"]), "");
}

#[test]
fn restart_policies_count() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    berth.script(&["-d", "--name", "again", "--restart", "on-failure:2"], "exit 5").output().expect_success();
    eventually("the last restart", || {
        let shown = berth.field("again", "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}");
        (shown == "exited 2 5").then_some(())
    });
}
