//! dockerd, by its `--add-runtime`, with the containerd that it starts itself.

use std::path::Path;

use testkit::{Invocation, Testbed, eventually};

use crate::cgroup::Parent;
use crate::daemon::Daemon;
use crate::{image, runtime};

pub struct Dockerd<'bed> {
    bed: &'bed Testbed,
    _daemon: Daemon,
    _parent: Parent,
}

impl<'bed> Dockerd<'bed> {
    fn start(bed: &'bed Testbed) -> Self {
        Self::with_runtime(bed, &runtime(bed))
    }

    /// dockerd whose containers are made by a program, with the image.
    pub fn with_runtime(bed: &'bed Testbed, runtime: &Path) -> Self {
        let parent = Parent::new(bed);
        let dir = bed.path();
        let daemon = Invocation::new(bed, "dockerd")
            .args(["--data-root", &format!("{}/docker", dir.display())])
            .args(["--exec-root", &format!("{}/exec", dir.display())])
            .args(["--pidfile", &format!("{}/docker.pid", dir.display())])
            .args(["--host", &socket(bed)])
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none", "--ip-forward=false"])
            .args(["--storage-driver=vfs", "--exec-opt=native.cgroupdriver=cgroupfs"])
            .args(["--cgroup-parent", &parent.path()])
            .args(["--add-runtime", &format!("tested={}", runtime.display())])
            .args(["--default-runtime", "tested"]);
        let daemon = Daemon::start(daemon, || docker(bed, &["version"]).output().status.success());
        docker(bed, &["load", "--input"]).arg(image::archive(bed)).output().expect_success();
        Self { bed, _daemon: daemon, _parent: parent }
    }

    /// What docker prints, when it succeeds.
    #[track_caller]
    pub fn docker(&self, args: &[&str]) -> String {
        docker(self.bed, args).output().expect_success().stdout()
    }

    /// Starts a container that sleeps.
    fn sleeper(&self) -> String {
        let id = self.bed.id();
        self.docker(&["run", "--detach", "--name", &id, "--network=none", image::NAME, "sleep", "1000"]);
        id
    }
}

fn socket(bed: &Testbed) -> String {
    format!("unix://{}/docker.sock", bed.path().display())
}

pub fn docker(bed: &Testbed, args: &[&str]) -> Invocation {
    // A configuration of the user's own could name another daemon.
    let docker = Invocation::new(bed, "docker").env("DOCKER_CONFIG", bed.path().join("config"));
    docker.env("DOCKER_HOST", socket(bed)).args(args)
}

#[test]
fn dockerd_runs_a_container_and_gets_its_exit_status() {
    let bed = Testbed::new();
    let _dockerd = Dockerd::start(&bed);
    let run = docker(&bed, &["run", "--rm", "--network=none", "--name", &bed.id(), image::NAME]);
    let ended = run.args(["sh", "-c", "echo out; echo err >&2; exit 7"]).output().expect_code(7);
    assert_eq!((ended.stdout().as_str(), ended.stderr().trim_end()), ("out\n", "err"));
}

/// docker makes of these causes the exit statuses of a shell.
#[test]
fn dockerd_gets_the_cause_of_a_failed_start() {
    let bed = Testbed::new();
    let dockerd = Dockerd::start(&bed);
    for (program, code) in [("/no/such/program", 127), ("/etc/passwd", 126)] {
        let id = bed.id();
        let run = docker(&bed, &["run", "--network=none", "--name", &id, image::NAME, program]);
        let ended = run.output().expect_code(code);
        assert!(ended.stderr().contains(program), "{}", ended.stderr());
        dockerd.docker(&["rm", &id]);
    }
}

#[test]
fn dockerd_execs_and_stops() {
    let bed = Testbed::new();
    let dockerd = Dockerd::start(&bed);
    let id = dockerd.sleeper();
    let exec = docker(&bed, &["exec", "--env", "A=b", "--workdir", "/tmp", &id, "sh", "-c"]);
    assert_eq!(exec.arg("echo $A $PWD; exit 3").output().expect_code(3).stdout(), "b /tmp\n");
    let unknown = docker(&bed, &["exec", &id, "/no/such/program"]).output().expect_code(126);
    let cause = unknown.stdout() + &unknown.stderr();
    assert!(cause.contains("/no/such/program"), "{cause}");
    dockerd.docker(&["stop", "--time=1", &id]);
    assert_eq!(dockerd.docker(&["inspect", "--format", "{{.State.ExitCode}}", &id]), "137\n");
    dockerd.docker(&["start", &id]);
    dockerd.docker(&["kill", &id]);
    dockerd.docker(&["rm", &id]);
}

#[test]
fn dockerd_gives_terminals() {
    let bed = Testbed::new();
    let dockerd = Dockerd::start(&bed);
    let tty = dockerd.docker(&["run", "--rm", "--tty", "--network=none", image::NAME, "tty"]);
    assert_eq!(tty, "/dev/pts/0\r\n");
    let id = dockerd.sleeper();
    assert_eq!(
        dockerd.docker(&["exec", "--tty", &id, "sh", "-c", "tty; tty >&2"]),
        "/dev/pts/0\r\n".repeat(2)
    );
    dockerd.docker(&["rm", "--force", &id]);
}

#[test]
fn dockerd_measures_updates_and_pauses() {
    let bed = Testbed::new();
    let dockerd = Dockerd::start(&bed);
    let id = dockerd.sleeper();
    dockerd.docker(&["update", "--memory=64m", "--memory-swap=64m", "--cpus=0.5", "--pids-limit=50", &id]);
    let stats = dockerd.docker(&["stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", &id]);
    assert!(stats.contains("/ 64MiB") && stats.ends_with(" 1\n"), "{stats}");
    dockerd.docker(&["pause", &id]);
    assert_eq!(dockerd.docker(&["inspect", "--format", "{{.State.Status}}", &id]), "paused\n");
    dockerd.docker(&["unpause", &id]);
    let top = dockerd.docker(&["top", &id]);
    assert!(top.contains("sleep 1000"), "{top}");
    dockerd.docker(&["kill", &id]);
    eventually("the container ends", || {
        let status = dockerd.docker(&["inspect", "--format", "{{.State.Status}}", &id]);
        (status == "exited\n").then_some(())
    });
    dockerd.docker(&["rm", &id]);
}
