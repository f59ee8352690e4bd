//! `berth exec`

use testkit::{Testbed, eventually};

use crate::Berth;

#[test]
fn programs_run_beside_the_first() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    berth
        .script(&["-d", "--name", "web", "-e", "A=container", "-w", "/tmp"], "sleep 1000")
        .output()
        .expect_success();
    let exec = |words: &[&str]| berth.command(&[&["exec"], words].concat());
    assert_eq!(
        exec(&["web", "sh", "-c", "echo $A; pwd"]).output().expect_success().stdout(),
        "container\n/tmp\n"
    );
    let told = exec(&["-e", "A=exec", "-w", "/etc", "-u", "1000", "web", "sh", "-c", "echo $A; pwd; id -u"])
        .output();
    assert_eq!(told.expect_success().stdout(), "exec\n/etc\n1000\n");
    let piped = exec(&["-i", "web", "cat"]).stdin("in\n").output().expect_success();
    assert_eq!(piped.stdout(), "in\n");
    let split = exec(&["web", "sh", "-c", "echo out; echo err >&2; exit 9"]).output().expect_code(9);
    assert_eq!((split.stdout(), split.stderr()), ("out\n".into(), "err\n".into()));
    // Flags behind the container's name are the program's.
    assert_eq!(exec(&["web", "echo", "-e", "-d"]).output().expect_success().stdout(), "-d\n");
}

#[test]
fn exit_codes_tell_whose_fault_it_was() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    berth.detached("web", "sleep 1000");
    let missing = berth.fails(127, &["exec", "web", "nope"]);
    assert!(missing.contains("exec: \"nope\": executable file not found in $PATH"), "{missing}");
    assert!(berth.fails(126, &["exec", "web", "/etc/passwd"]).contains("permission denied"));
    assert_eq!(berth.fails(1, &["exec", "nope", "true"]), "berth: No such container: nope\n");
    berth.fails(125, &["exec", "web"]);
    berth.fails(125, &["exec", "--nope", "web", "true"]);
    berth.run(&["stop", "-t", "0", "web"]);
    assert!(berth.fails(1, &["exec", "web", "true"]).contains("is not running"));
}

#[test]
fn a_program_in_the_background_goes_on() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    berth.detached("web", "sleep 1000");
    assert_eq!(berth.run(&["exec", "-d", "web", "sh", "-c", "echo made > /made; exec sleep 500"]), "");
    eventually("the file", || {
        let seen = berth.command(&["exec", "web", "cat", "/made"]).output();
        (seen.stdout() == "made\n").then_some(())
    });
    assert!(berth.run(&["top", "web"]).contains("sleep 500"));
}
