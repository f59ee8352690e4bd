//! Exit codes, which scripts rely on.

use crate::host::{Host, IMAGE, refused};

#[test]
fn the_exit_code_is_the_programs() {
    let host = Host::new();
    for (script, code) in [("true", 0), ("exit 7", 7), ("sh -c 'kill -9 $$'; exit $?", 137)] {
        host.run(["--rm", IMAGE, "sh", "-c", script]).output().expect_code(code);
    }
    host.leave_nothing();
}

#[test]
fn what_cannot_be_run_is_126_and_what_is_missing_127() {
    let host = Host::new();
    refused(host.run(["--rm", IMAGE, "nothing-of-that-name"]).output(), 127, "not found");
    host.run(["--rm", IMAGE, "/nothing/here"]).output().expect_code(127);
    host.run(["--rm", IMAGE, "/etc"]).output().expect_code(126);
    host.run(["--rm", IMAGE, "/etc/passwd"]).output().expect_code(126);
    host.leave_nothing();
}

#[test]
fn what_berth_cannot_do_is_125() {
    let host = Host::new();
    host.run(["--pull", "never", "no/such/image", "true"]).output().expect_code(125);
    host.run(["--runtime", "other", IMAGE, "true"]).output().expect_code(125);
    host.run(["--no-such-flag", IMAGE]).output().expect_code(125);
    host.run(["--rm", "--restart", "always", IMAGE, "true"]).output().expect_code(125);
    host.run(["--user", "nobody-knows-me", IMAGE, "true"]).output().expect_code(125);
    host.leave_nothing();
}

#[test]
fn output_and_input_are_the_programs() {
    let host = Host::new();
    let run = host.run(["--rm", "-i", IMAGE, "sh", "-c", "read a; echo got $a; echo bad >&2"]);
    let run = run.stdin("word\n").output().expect_success();
    assert_eq!((run.stdout().as_str(), run.stderr().as_str()), ("got word\n", "bad\n"));
    host.leave_nothing();
}

#[test]
fn exec_has_the_codes_of_its_program() {
    let host = Host::new();
    host.sleeper("sleeper");
    host.berth(["exec", "sleeper", "sh", "-c", "exit 3"]).output().expect_code(3);
    host.berth(["exec", "sleeper", "nothing-of-that-name"]).output().expect_code(127);
    host.berth(["exec", "sleeper", "/etc"]).output().expect_code(126);
    let cat = host.berth(["exec", "-i", "sleeper", "cat"]).stdin("through\n").output();
    assert_eq!(cat.expect_success().stdout(), "through\n");
    host.ok(["stop", "-t", "0", "sleeper"]);
    refused(host.berth(["exec", "sleeper", "true"]).output(), 1, "is not running");
    host.leave_nothing();
}

#[test]
fn an_init_passes_signals_on_and_reaps() {
    let host = Host::new();
    host.run(["--rm", "--init", IMAGE, "sh", "-c", "exit 6"]).output().expect_code(6);
    host.run(["--rm", "--init", IMAGE, "nothing-of-that-name"]).output().expect_code(127);
    host.run(["-d", "--init", "--name", "led", IMAGE, "sleep", "1000"]).output().expect_success();
    // Without an init, sleep would be the first process, and SIGTERM nothing to it.
    host.ok(["stop", "-t", "50", "led"]);
    assert_eq!(host.inspect("led", "/State/ExitCode"), 143);
    host.leave_nothing();
}
