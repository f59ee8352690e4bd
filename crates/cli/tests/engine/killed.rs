//! SIGKILL of anything at any instant leaves a state that the next command repairs.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use testkit::eventually;

use crate::host::{Host, IMAGE, entries};

fn kill(pid: i32) {
    // It may have ended by itself.
    let _ = kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL);
}

#[test]
fn a_client_killed_at_any_instant_leaves_nothing_that_stays() {
    let host = Host::new();
    for step in 0..12 {
        let run = host.run(["-d", IMAGE, "sleep", "1000"]).start();
        std::thread::sleep(Duration::from_millis(step * 5));
        run.signal(Signal::KILL);
        drop(run);
        let all = host.ok(["ps", "-a", "--format", "{{.ID}}"]);
        all.lines().for_each(|id| drop(host.ok(["rm", "-f", id])));
    }
    eventually("all monitors have ended", || {
        host.ok(["ps", "-aq"]).lines().for_each(|id| drop(host.ok(["rm", "-f", id])));
        entries(&host.root.join("run/containers")).is_empty().then_some(())
    });
    host.leave_nothing();
}

#[test]
fn without_its_monitor_a_container_goes_on_and_can_be_stopped_and_started() {
    let host = Host::new();
    let id = host.sleeper("orphan");
    kill(host.monitor(&id));
    eventually("its monitor is missed", || {
        let error = host.inspect("orphan", "/State/Error");
        error.as_str()?.contains("monitor was killed").then_some(())
    });
    assert_eq!(host.status("orphan"), "running");
    assert_eq!(host.ok(["exec", "orphan", "echo", "alive"]), "alive");
    host.ok(["stop", "-t", "0", "orphan"]);
    assert_eq!(host.status("orphan"), "exited");
    host.ok(["start", "orphan"]);
    assert_eq!(host.inspect("orphan", "/State/Error"), "");
    host.leave_nothing();
}

#[test]
fn a_container_that_died_with_its_monitor_is_exited_and_starts_again() {
    let host = Host::new();
    let id = host.sleeper("both");
    let pid = host.inspect("both", "/State/Pid").as_i64().unwrap();
    kill(host.monitor(&id));
    kill(i32::try_from(pid).unwrap());
    host.await_status("both", "exited");
    assert_eq!(host.inspect("both", "/State/ExitCode"), 255);
    host.ok(["start", "both"]);
    assert_eq!(host.status("both"), "running");
    host.leave_nothing();
}

#[test]
fn with_rm_what_died_with_its_monitor_is_removed() {
    let host = Host::new();
    let run = host.run(["-d", "--rm", "--name", "gone", IMAGE, "sleep", "1000"]).output().expect_success();
    let id = run.stdout().trim_end().to_owned();
    let pid = host.inspect("gone", "/State/Pid").as_i64().unwrap();
    kill(host.monitor(&id));
    kill(i32::try_from(pid).unwrap());
    eventually("it is removed", || host.ok(["ps", "-aq"]).is_empty().then_some(()));
    host.leave_nothing();
}

#[test]
fn a_pid_that_is_anothers_by_now_is_left_alone() {
    let host = Host::new();
    let id = host.sleeper("victim");
    let pid = host.inspect("victim", "/State/Pid").as_i64().unwrap();
    kill(host.monitor(&id));
    kill(i32::try_from(pid).unwrap());
    // Another process has the number by now: this one, which would not survive a mistake.
    let path = host.root.join("run/oci").join(&id).join("state.json");
    let text = fs::read_to_string(&path).unwrap();
    let own = text.replace(&format!("\"pid\":{pid}"), &format!("\"pid\":{}", std::process::id()));
    assert_ne!(own, text);
    fs::write(&path, own).unwrap();
    host.await_status("victim", "exited");
    host.ok(["rm", "-f", "victim"]);
    host.leave_nothing();
}

#[test]
fn what_create_and_rm_left_half_done_is_swept_away() {
    let host = Host::new();
    let id = "0".repeat(63) + "a";
    let directory = host.root.join("containers").join(&id);
    fs::create_dir_all(&directory).unwrap();
    let record = serde_json::json!({ "Id": id, "Name": "half" });
    fs::write(directory.join("container.json"), record.to_string()).unwrap();
    fs::create_dir_all(host.root.join("names")).unwrap();
    std::os::unix::fs::symlink(&id, host.root.join("names/half")).unwrap();
    std::os::unix::fs::symlink("f".repeat(64), host.root.join("names/nobody")).unwrap();
    host.sleeper("nobody");
    assert_eq!(host.ok(["ps", "-a", "--format", "{{.Names}}"]), "nobody");
    assert!(!directory.exists());
    host.sleeper("half");
    host.leave_nothing();
}
