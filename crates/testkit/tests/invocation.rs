//! Commands end by their deadline, and their output is there at any time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use testkit::{Invocation, Testbed, eventually};

#[test]
fn output_and_exit_status_come_back() {
    let bed = Testbed::new();
    let command = Invocation::new(&bed, "/bin/sh").args(["-c", "cat; echo err >&2; exit 3"]).stdin("in");
    let finished = command.output().expect_code(3);
    assert_eq!((finished.stdout().as_str(), finished.stderr().as_str()), ("in", "err\n"));
}

#[test]
fn a_hang_ends_at_the_deadline() {
    let bed = Testbed::new();
    let command = Invocation::new(&bed, "/bin/sleep").arg("1000").deadline(Duration::from_millis(50));
    let running = command.start();
    let pid = running.pid();
    let panic = catch_unwind(AssertUnwindSafe(|| running.wait())).expect_err("the deadline must pass");
    assert!(panic.downcast::<String>().unwrap().contains("not done within 50ms"));
    assert!(!std::fs::exists(format!("/proc/{pid}")).unwrap());
}

#[test]
fn a_detached_writer_does_not_block_the_test() {
    let bed = Testbed::new();
    let script = "(while test ! -e stop; do sleep 0.01; done; echo late) & echo early";
    let command = Invocation::new(&bed, "/bin/sh").args(["-c", script]).with(|it| {
        it.current_dir(bed.path());
    });
    let finished = command.output().expect_success();
    assert_eq!(finished.stdout(), "early\n");
    std::fs::write(bed.path().join("stop"), "").unwrap();
    eventually("the late line", || (finished.stdout() == "early\nlate\n").then_some(()));
}
