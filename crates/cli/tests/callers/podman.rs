//! podman, by its `--runtime`, with conmon beside each container.

use testkit::{Invocation, Testbed};

use crate::cgroup::Parent;
use crate::{image, runtime};

struct Podman<'bed> {
    bed: &'bed Testbed,
    parent: Parent,
}

impl<'bed> Podman<'bed> {
    fn new(bed: &'bed Testbed) -> Self {
        let podman = Self { bed, parent: Parent::new(bed) };
        let policy = bed.path().join("policy.json");
        std::fs::write(&policy, r#"{ "default": [{ "type": "insecureAcceptAnything" }] }"#)
            .expect("write a policy");
        let load = podman.command(&["load", "--signature-policy"]).arg(policy);
        load.arg("--input").arg(image::archive(bed)).output().expect_success();
        podman
    }

    fn command(&self, args: &[&str]) -> Invocation {
        let dir = |name: &str| format!("{}/{name}", self.bed.path().display());
        Invocation::new(self.bed, "podman")
            .args(["--root", &dir("storage"), "--runroot", &dir("run"), "--tmpdir", &dir("tmp")])
            .args(["--cgroup-manager=cgroupfs", "--storage-driver=vfs", "--events-backend=file"])
            .arg("--runtime")
            .arg(runtime(self.bed))
            .args(args)
    }

    /// `podman run`; limits are named, for podman's own are more than a host without CAP_SYS_RESOURCE grants.
    fn run(&self, flags: &[&str]) -> Invocation {
        self.command(&["run", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"])
            .args(["--cgroup-parent", &self.parent.path()])
            .args(flags)
            .arg(image::NAME)
    }

    /// What podman prints, when it succeeds.
    #[track_caller]
    fn podman(&self, args: &[&str]) -> String {
        self.command(args).output().expect_success().stdout()
    }
}

#[test]
fn podman_runs_a_container_and_gets_its_exit_status() {
    let bed = Testbed::new();
    let podman = Podman::new(&bed);
    for network in ["--network=none", "--network=host"] {
        let run = podman.run(&["--rm", network]).args(["sh", "-c", "echo out; exit 7"]);
        assert_eq!(run.output().expect_code(7).stdout(), "out\n");
    }
}

/// podman makes of these causes the exit statuses of a shell.
#[test]
fn podman_gets_the_cause_of_a_failed_start() {
    let bed = Testbed::new();
    let podman = Podman::new(&bed);
    for (program, code) in [("/no/such/program", 127), ("/etc/passwd", 126)] {
        podman.run(&["--rm", "--network=none"]).arg(program).output().expect_code(code);
    }
}

#[test]
fn podman_gives_terminals() {
    let bed = Testbed::new();
    let podman = Podman::new(&bed);
    let run = podman.run(&["--rm", "--tty", "--network=none"]).arg("tty").output();
    assert_eq!(run.expect_success().stdout(), "/dev/pts/0\r\n");
}

#[test]
fn podman_execs_pauses_measures_and_stops() {
    let bed = Testbed::new();
    let podman = Podman::new(&bed);
    let id = bed.id();
    let run = podman.run(&["--detach", "--name", &id, "--memory=64m", "--network=none"]);
    run.args(["sleep", "1000"]).output().expect_success();
    let exec = podman.command(&["exec", &id, "sh", "-c", "echo in; exit 3"]).output();
    assert_eq!(exec.expect_code(3).stdout(), "in\n");
    podman.podman(&["pause", &id]);
    let status = || podman.podman(&["inspect", "--format", "{{.State.Status}}", &id]);
    assert_eq!(status(), "paused\n");
    podman.podman(&["unpause", &id]);
    assert_eq!(status(), "running\n");
    let stats = podman.podman(&["stats", "--no-stream", "--format", "{{.MemUsage}}", &id]);
    assert!(stats.contains("67.11MB"), "{stats}");
    podman.podman(&["stop", "--time=1", &id]);
    assert_eq!(podman.podman(&["inspect", "--format", "{{.State.ExitCode}}", &id]), "137\n");
    podman.podman(&["rm", &id]);
}
