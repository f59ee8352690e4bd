//! Restart policies and health.

use testkit::eventually;

use crate::host::{Host, IMAGE};

#[test]
fn on_failure_restarts_as_often_as_it_says() {
    let host = Host::new();
    let run = ["-d", "--name", "failing", "--restart", "on-failure:2", IMAGE, "sh", "-c", "exit 3"];
    host.run(run).output().expect_success();
    host.await_status("failing", "exited");
    assert_eq!(host.inspect("failing", "/RestartCount"), 2);
    assert_eq!(host.inspect("failing", "/State/ExitCode"), 3);
    assert_eq!(host.actions().iter().filter(|action| *action == "die").count(), 3);
    host.leave_nothing();
}

#[test]
fn what_always_restarts_can_be_stopped() {
    let host = Host::new();
    let run = ["-d", "--name", "eager", "--restart", "always", IMAGE, "sh", "-c", "exit 1"];
    host.run(run).output().expect_success();
    host.await_status("eager", "restarting");
    host.ok(["stop", "eager"]);
    assert_eq!(host.status("eager"), "exited");
    host.leave_nothing();
}

#[test]
fn health_is_checked_and_told() {
    let host = Host::new();
    let check = ["--health-cmd", "test -e /tmp/well", "--health-interval", "50ms", "--health-retries", "2"];
    let run = host.run(["-d", "--name", "patient"]).args(check).args([IMAGE, "sleep", "1000"]);
    run.output().expect_success();
    let is = |status: &str| {
        eventually(&format!("it is {status}"), || {
            (host.inspect("patient", "/State/Health/Status") == status).then_some(())
        });
    };
    is("unhealthy");
    host.ok(["exec", "patient", "touch", "/tmp/well"]);
    is("healthy");
    assert!(host.ok(["ps"]).contains("(healthy)"));
    assert!(host.actions().contains(&"health_status: healthy".to_owned()));
    host.leave_nothing();
}
