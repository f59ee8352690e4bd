//! containerd, by its `ctr run --runc-binary`.

use std::path::PathBuf;

use testkit::{Invocation, Testbed, eventually};

use crate::daemon::Daemon;
use crate::{image, runtime};

struct Containerd<'bed> {
    bed: &'bed Testbed,
    _daemon: Daemon,
}

impl<'bed> Containerd<'bed> {
    fn start(bed: &'bed Testbed) -> Self {
        let dir = bed.path().display();
        let config = bed.path().join("containerd.toml");
        let text = format!(
            r#"
            version = 2
            root = "{dir}/containerd/root"
            state = "{dir}/containerd/state"
            disabled_plugins = ["io.containerd.grpc.v1.cri"]
            [grpc]
            address = "{dir}/containerd.sock"
            [plugins."io.containerd.internal.v1.opt"]
            path = "{dir}/containerd/opt"
            "#
        );
        std::fs::write(&config, text).expect("write containerd's config");
        let daemon = Invocation::new(bed, "containerd").arg("--config").arg(config);
        let ready = || ctr(bed, &["version"]).output().status.success();
        let containerd = Self { bed, _daemon: Daemon::start(daemon, ready) };
        let archive = image::archive(bed);
        let import = ctr(bed, &["images", "import", "--snapshotter", "native"]).arg(archive);
        import.output().expect_success();
        containerd
    }

    fn ctr(&self, args: &[&str]) -> Invocation {
        ctr(self.bed, args)
    }

    /// `ctr run` with these flags, up to the name of the container.
    fn run(&self, flags: &[&str], id: &str) -> Invocation {
        let run = self.ctr(&["run", "--snapshotter", "native"]);
        let run = run.arg("--runc-binary").arg(runtime(self.bed)).args(["--cgroup", &format!("/{id}")]);
        run.args(flags).args([image::NAME, id])
    }
}

fn ctr(bed: &Testbed, args: &[&str]) -> Invocation {
    let socket: PathBuf = bed.path().join("containerd.sock");
    Invocation::new(bed, "ctr").arg("--address").arg(socket).args(args)
}

#[test]
fn containerd_runs_a_container_and_gets_its_exit_status() {
    let bed = Testbed::new();
    let containerd = Containerd::start(&bed);
    let run = containerd.run(&["--rm"], &bed.id()).args(["sh", "-c", "echo out; echo err >&2; exit 7"]);
    let ended = run.output().expect_code(7);
    assert_eq!((ended.stdout().as_str(), ended.stderr().as_str()), ("out\n", "err\n"));
}

#[test]
fn containerd_gets_the_cause_of_a_failed_start() {
    let bed = Testbed::new();
    let containerd = Containerd::start(&bed);
    let id = bed.id();
    let ended = containerd.run(&[], &id).arg("/no/such/program").output().expect_code(1);
    let cause = ended.stderr();
    assert!(cause.contains("/no/such/program") && cause.contains("no such file or directory"), "{cause}");
    containerd.ctr(&["containers", "rm", &id]).output().expect_success();
}

#[test]
fn containerd_execs_pauses_and_kills() {
    let bed = Testbed::new();
    let containerd = Containerd::start(&bed);
    let id = bed.id();
    containerd.run(&["--detach"], &id).args(["sleep", "1000"]).output().expect_success();
    let exec = containerd.ctr(&["tasks", "exec", "--exec-id", "first", &id, "sh", "-c", "echo in; exit 3"]);
    assert_eq!(exec.output().expect_code(3).stdout(), "in\n");
    containerd.ctr(&["tasks", "pause", &id]).output().expect_success();
    let listed = |status: &str| containerd.ctr(&["tasks", "list"]).output().stdout().contains(status);
    assert!(listed("PAUSED"));
    containerd.ctr(&["tasks", "resume", &id]).output().expect_success();
    assert!(listed("RUNNING"));
    containerd.ctr(&["tasks", "metrics", &id]).output().expect_success();
    containerd.ctr(&["tasks", "kill", "--signal", "SIGKILL", &id]).output().expect_success();
    eventually("the task stops", || listed("STOPPED").then_some(()));
    containerd.ctr(&["tasks", "delete", &id]).output().expect_success();
    containerd.ctr(&["containers", "rm", &id]).output().expect_success();
}
