//! Many at once: a lock per container, none for all.

use testkit::Running;

use crate::host::{Host, IMAGE};

#[test]
fn fifty_at_once_beside_ps_exec_and_rm() {
    let host = Host::new();
    host.sleeper("steady");
    let mut running: Vec<(i32, Running)> = Vec::new();
    for number in 0..50 {
        let script = format!("exit {}", number % 5);
        running.push((number % 5, host.run(["--rm", IMAGE, "sh", "-c", &script]).start()));
        if number % 10 == 0 {
            running.push((0, host.berth(["ps", "-a"]).start()));
            running.push((0, host.berth(["exec", "steady", "true"]).start()));
            running.push((0, host.berth(["container", "prune", "-f"]).start()));
        }
    }
    for (code, run) in running {
        run.wait().expect_code(code);
    }
    assert_eq!(host.ok(["ps", "-a", "--format", "{{.Names}}"]), "steady");
    host.leave_nothing();
}

#[test]
fn one_name_for_many_is_given_once() {
    let host = Host::new();
    let runs: Vec<Running> =
        (0..8).map(|_| host.run(["-d", "--name", "wanted", IMAGE, "sleep", "1000"]).start()).collect();
    let finished: Vec<_> = runs.into_iter().map(Running::wait).collect();
    let (won, lost): (Vec<_>, Vec<_>) = finished.into_iter().partition(|run| run.status.success());
    assert_eq!(won.len(), 1);
    for run in lost {
        assert!(run.expect_code(125).stderr().contains("already in use"));
    }
    host.leave_nothing();
}
