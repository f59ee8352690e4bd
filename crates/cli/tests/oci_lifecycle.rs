//! The life of a container through the OCI command line, as runc's callers drive it.

use std::fs;
use std::os::unix::net::UnixDatagram;

use serde_json::{Value, json};
use testkit::{Bundle, ConsoleSocket, Finished, Runtime, Testbed, eventually};

fn state(runtime: &Runtime<'_>, id: &str) -> Value {
    let text = runtime.command(["state", id]).output().expect_success().stdout();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn await_status(runtime: &Runtime<'_>, id: &str, status: &str) {
    eventually(status, || (state(runtime, id)["status"] == status).then_some(()));
}

/// A detached container that sleeps; returns its id.
fn sleeper(bed: &Testbed, bundle: &mut Bundle) -> String {
    bundle.edit(|spec| spec["process"]["args"] = json!(["sleep", "1000"]));
    let id = bed.id();
    bed.runtime().command(["run", "--detach", "--bundle", bundle.arg(), &id]).output().expect_success();
    id
}

fn delete(bed: &Testbed, id: &str) -> Finished {
    bed.runtime().command(["delete", "--force", id]).output().expect_success()
}

#[test]
fn run_returns_output_and_exit_status() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    bundle.script("echo out; echo err >&2; cat; exit 7");
    let run = bed.runtime().command(["run", "--bundle", bundle.arg(), &bed.id()]).stdin("in\n").output();
    let run = run.expect_code(7);
    assert_eq!((run.stdout().as_str(), run.stderr().as_str()), ("out\nin\n", "err\n"));
}

#[test]
fn run_returns_128_and_the_signal_that_killed() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    bundle.edit(|spec| spec["process"]["args"] = json!(["sleep", "1000"]));
    let (runtime, id) = (bed.runtime(), bed.id());
    let run = runtime.command(["run", "--bundle", bundle.arg(), &id]).start();
    eventually("the container runs", || {
        let state = runtime.command(["state", &id]).output().stdout();
        state.contains("\"running\"").then_some(())
    });
    runtime.command(["kill", &id, "KILL"]).output().expect_success();
    run.wait().expect_code(128 + 9);
}

#[test]
fn a_container_goes_from_created_to_deleted() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    bundle.script("touch /started; exec sleep 1000");
    let (runtime, id, pid_file) = (bed.runtime(), bed.id(), bed.path().join("pid"));
    let create = ["create", "--bundle", bundle.arg(), "--pid-file", pid_file.to_str().unwrap(), &id];
    runtime.command(create).output().expect_success();
    let created = state(&runtime, &id);
    assert_eq!(created["id"], json!(id));
    assert_eq!(created["status"], "created");
    assert_eq!(created["bundle"], bundle.arg());
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), created["pid"].to_string());
    assert!(!bundle.rootfs().join("started").exists(), "nothing of the container runs before start");

    runtime.command(["start", &id]).output().expect_success();
    await_status(&runtime, &id, "running");
    eventually("the script runs", || bundle.rootfs().join("started").exists().then_some(()));
    let refused = runtime.command(["delete", &id]).output();
    assert!(!refused.status.success(), "a running container is not deleted without --force");

    runtime.command(["kill", &id, "KILL"]).output().expect_success();
    await_status(&runtime, &id, "stopped");
    runtime.command(["delete", &id]).output().expect_success();
    let gone = runtime.command(["state", &id]).output();
    assert!(!gone.status.success());
    assert!(gone.stderr().contains("does not exist"), "{}", gone.stderr());
}

#[test]
fn an_id_is_taken_once() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    let id = sleeper(&bed, &mut bundle);
    let second = bed.runtime().command(["run", "--detach", "--bundle", bundle.arg(), &id]).output();
    assert!(!second.status.success());
    assert!(second.stderr().contains("exist"), "{}", second.stderr());
    delete(&bed, &id);
}

#[test]
fn exec_joins_the_container() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    let id = sleeper(&bed, &mut bundle);
    let script = "hostname; id -u; pwd; echo $COLOUR; cat /proc/1/comm; exit 5";
    let exec = ["exec", "--user", "1000", "--cwd", "/tmp", "--env", "COLOUR=red", &id, "sh", "-c", script];
    let exec = bed.runtime().command(exec).output().expect_code(5);
    assert_eq!(exec.stdout(), "container\n1000\n/tmp\nred\nsleep\n");
    delete(&bed, &id);
}

#[test]
fn list_and_ps_show_what_runs() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    let id = sleeper(&bed, &mut bundle);
    let runtime = bed.runtime();
    let list = runtime.command(["list", "--format", "json"]).output().expect_success().stdout();
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list[0]["id"], json!(id));
    assert_eq!(list[0]["status"], "running");
    assert_eq!(runtime.command(["list", "--quiet"]).output().expect_success().stdout(), format!("{id}\n"));
    let pids = runtime.command(["ps", "--format", "json", &id]).output().expect_success().stdout();
    assert_eq!(serde_json::from_str::<Value>(&pids).unwrap(), json!([list[0]["pid"]]));
    delete(&bed, &id);
}

#[test]
fn pause_stops_the_clock_of_a_container() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    let id = sleeper(&bed, &mut bundle);
    let runtime = bed.runtime();
    runtime.command(["pause", &id]).output().expect_success();
    assert_eq!(state(&runtime, &id)["status"], "paused");
    runtime.command(["resume", &id]).output().expect_success();
    assert_eq!(state(&runtime, &id)["status"], "running");
    delete(&bed, &id);
}

#[test]
fn a_terminal_goes_over_the_console_socket() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    bundle.edit(|spec| {
        spec["process"]["terminal"] = json!(true);
        spec["process"]["args"] = json!(["sh"]);
        spec["process"]["consoleSize"] = json!({"height": 33, "width": 77});
    });
    let (runtime, id, console) = (bed.runtime(), bed.id(), ConsoleSocket::listen(&bed));
    let socket = console.path().to_str().unwrap();
    runtime
        .command(["create", "--bundle", bundle.arg(), "--console-socket", socket, &id])
        .output()
        .expect_success();
    let mut terminal = console.terminal();
    runtime.command(["start", &id]).output().expect_success();
    terminal.write("stty size; tty\n");
    let seen = terminal.read_until("/dev/pts/0").to_owned();
    assert!(seen.contains("33 77"), "{seen}");
    delete(&bed, &id);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    bundle.edit(|spec| spec["process"]["args"] = json!(["/no/such/program"]));
    let run = bed.runtime().command(["run", "--bundle", bundle.arg(), &bed.id()]).output();
    assert!(!run.status.success());
    assert!(run.stderr().contains("/no/such/program"), "{}", run.stderr());
}

#[test]
fn a_spec_is_printed_that_runs() {
    let bed = Testbed::new();
    let bundle = bed.bundle();
    let config = bundle.path().join("config.json");
    fs::remove_file(&config).unwrap();
    let runtime = bed.runtime();
    runtime.command(["spec", "--bundle", bundle.arg()]).output().expect_success();
    let mut spec: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = json!(["id", "-u"]);
    fs::write(&config, spec.to_string()).unwrap();
    let run = runtime.command(["run", "--bundle", bundle.arg(), &bed.id()]).output().expect_success();
    assert_eq!(run.stdout(), "0\n");
}

#[test]
fn a_created_container_ends_by_an_ordinary_signal() {
    let bed = Testbed::new();
    let bundle = bed.bundle();
    let (runtime, id) = (bed.runtime(), bed.id());
    runtime.command(["create", "--bundle", bundle.arg(), &id]).output().expect_success();
    runtime.command(["kill", &id]).output().expect_success();
    await_status(&runtime, &id, "stopped");
    let started = runtime.command(["start", &id]).output();
    assert!(started.stderr().contains("has stopped"), "{}", started.stderr());
    delete(&bed, &id);
}

#[test]
fn every_signal_number_goes_to_all_processes() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    bundle.script("trap 'touch /real-time' 36; (trap 'touch /too' 36; touch /ready; while :; do sleep 0.1; done) & while :; do sleep 0.1; done");
    let (runtime, id) = (bed.runtime(), bed.id());
    runtime.command(["run", "--detach", "--bundle", bundle.arg(), &id]).output().expect_success();
    runtime.command(["kill", "--all", &id, "0"]).output().expect_success();
    // Before its trap is set, it would end the second shell.
    eventually("both traps are set", || bundle.rootfs().join("ready").exists().then_some(()));
    // Once: the next one would end what the traps run.
    runtime.command(["kill", "--all", &id, "SIGRTMIN+2"]).output().expect_success();
    eventually("both shells get the signal", || {
        ["real-time", "too"].iter().all(|name| bundle.rootfs().join(name).exists()).then_some(())
    });
    delete(&bed, &id);
}

#[test]
fn what_its_caller_cannot_be_told_of_does_not_stay() {
    let bed = Testbed::new();
    let bundle = bed.bundle();
    let (runtime, id) = (bed.runtime(), bed.id());
    let create = ["create", "--bundle", bundle.arg(), "--pidfd-socket", "/nonexistent/socket", &id];
    let refused = runtime.command(create).output().expect_code(1);
    assert!(refused.stderr().contains("/nonexistent/socket"), "{}", refused.stderr());
    assert!(runtime.command(["state", &id]).output().stderr().contains("does not exist"));
}

#[test]
fn few_descriptors_for_the_program_are_enough_for_many_mounts_of_a_user_namespace() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    let source = bed.path().join("source");
    fs::create_dir(&source).unwrap();
    bundle.edit(|spec| {
        let map = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        (spec["linux"]["uidMappings"], spec["linux"]["gidMappings"]) = (map.clone(), map);
        spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "hard": 12, "soft": 12}]);
        spec["process"]["args"] = json!(["sh", "-c", "ulimit -n; ls -d /mnt/*/ | wc -l"]);
        let mounts = (0..40).map(|i| {
            json!({"destination": format!("/mnt/{i}"), "type": "bind", "source": source, "options": ["bind"]})
        });
        spec["mounts"].as_array_mut().unwrap().extend(mounts);
    });
    let run = bed.runtime().command(["run", "--bundle", bundle.arg(), &bed.id()]).output();
    assert_eq!(run.expect_success().stdout(), "12\n40\n");
}

/// What a service manager hears of the container `id`, whose program says that it is ready.
fn heard(manager: &UnixDatagram, runtime: &Runtime<'_>, id: &str) -> String {
    let pid = &eventually("the container runs", || {
        let state = runtime.command(["state", id]).output().stdout();
        let state: Value = serde_json::from_str(&state).ok()?;
        (state["status"] == "running").then(|| state["pid"].clone())
    });
    let inside = format!("/proc/{pid}/root/run/notify/notify.sock");
    let says = |message: &[u8]| UnixDatagram::unbound().unwrap().send_to(message, &inside).unwrap();
    says(b"STATUS=not yet");
    says(b"STATUS=now\nREADY=1\n");
    let messages = (0..2).map(|_| {
        let mut message = [0; 64];
        let n = manager.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..n]).replace(&format!("={pid}\n"), "=INIT\n")
    });
    messages.collect()
}

#[test]
fn readiness_is_passed_on_to_the_service_manager() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    bundle.script("echo $NOTIFY_SOCKET > /told; exec sleep 1000");
    let (runtime, path) = (bed.runtime(), bed.path().join("manager"));
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(testkit::patience())).unwrap();
    let barrier = || {
        // Its descriptor is closed as nobody takes it, which lets the sender go.
        let n = manager.recv(&mut [0; 64]).unwrap();
        assert_eq!(n, "BARRIER=1".len());
    };

    let id = bed.id();
    let run = ["run", "--detach", "--bundle", bundle.arg(), &id];
    let run = runtime.command(run).env("NOTIFY_SOCKET", &path).start();
    assert_eq!(heard(&manager, &runtime, &id), "READY=1\nMAINPID=INIT\n");
    barrier();
    run.wait().expect_success();
    assert_eq!(fs::read_to_string(bundle.rootfs().join("told")).unwrap(), "/run/notify/notify.sock\n");
    delete(&bed, &id);

    let id = bed.id();
    let create = ["create", "--bundle", bundle.arg(), &id];
    runtime.command(create).env("NOTIFY_SOCKET", &path).output().expect_success();
    let start = runtime.command(["start", &id]).env("NOTIFY_SOCKET", &path).start();
    assert_eq!(heard(&manager, &runtime, &id), "READY=1\nMAINPID=INIT\n");
    barrier();
    start.wait().expect_success();
    delete(&bed, &id);

    // In the foreground it is the runtime that the manager watches.
    let id = bed.id();
    let run = runtime.command(["run", "--bundle", bundle.arg(), &id]).env("NOTIFY_SOCKET", &path).start();
    let heard = heard(&manager, &runtime, &id);
    assert!(heard.starts_with("READY=1\nMAINPID=") && !heard.contains("INIT"), "{heard}");
    runtime.command(["kill", &id, "KILL"]).output().expect_success();
    run.wait().expect_code(128 + 9);
}

#[test]
fn a_service_that_ends_before_it_is_ready_is_not_waited_for() {
    let bed = Testbed::new();
    let bundle = bed.bundle();
    let (id, path) = (bed.id(), bed.path().join("manager"));
    let _manager = UnixDatagram::bind(&path).unwrap();
    let run = ["run", "--detach", "--bundle", bundle.arg(), &id];
    bed.runtime().command(run).env("NOTIFY_SOCKET", &path).output().expect_success();
    delete(&bed, &id);
}

#[test]
fn a_mount_is_shared_among_the_containers_own_namespaces_if_it_says_so() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    bundle.script("grep ' /mnt/shared ' /proc/self/mountinfo | grep -c shared:");
    bundle.edit(|spec| {
        let source = bed.path();
        let mount = json!({"destination": "/mnt/shared", "type": "bind", "source": source, "options": ["bind", "shared"]});
        spec["mounts"].as_array_mut().unwrap().push(mount);
    });
    let run = bed.runtime().command(["run", "--bundle", bundle.arg(), &bed.id()]).output();
    assert_eq!(run.expect_success().stdout(), "1\n");
}

#[test]
fn a_profile_older_than_faccessat2_does_not_hide_the_program() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    bundle.edit(|spec| {
        let refuse = json!({"names": ["faccessat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1});
        spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [refuse]});
        spec["process"]["noNewPrivileges"] = json!(false);
        spec["process"]["args"] = json!(["true"]);
    });
    bed.runtime().command(["run", "--bundle", bundle.arg(), &bed.id()]).output().expect_success();
}
