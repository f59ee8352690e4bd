//! The tools that take turns: berth, podman, containerd's ctr, skopeo with umoci, docker.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::registry::remove;

/// A tool that moves images. What it returns is run in that order and timed.
pub trait Tool {
    /// Its name in the tables.
    fn name(&self) -> &'static str;
    /// Makes it forget everything, as on a machine that never saw an image.
    fn reset(&mut self) -> Result<(), String>;
    /// Pulls and unpacks.
    fn pull(&self, name: &str) -> Vec<Command>;
    /// Loads a docker-archive and unpacks.
    fn load(&self, archive: &Path) -> Vec<Command>;
    /// Gives what was pulled as `from` the name that it is pushed by.
    fn name_for_push(&self, from: &str, to: &str) -> Vec<Command>;
    /// Pushes.
    fn push(&self, from: &str, to: &str) -> Vec<Command>;
    /// Lists its images.
    fn list(&self) -> Vec<Command> {
        Vec::new()
    }
    /// The process that does the work for it, if it has one.
    fn daemon(&self) -> Option<u32> {
        None
    }
}

/// All tools that are installed, each with a directory of its own below `scratch`.
pub fn all(berth: &Path, scratch: &Path) -> Vec<Box<dyn Tool>> {
    let place = |name: &str| scratch.join(name);
    let mut tools: Vec<Box<dyn Tool>> =
        vec![Box::new(Berth { program: berth.to_owned(), root: place("berth"), home: place("home") })];
    let podman = Podman::new(place("podman"), scratch);
    let policy = podman.policy.clone();
    if has("podman") {
        tools.push(Box::new(podman));
    }
    if has("ctr") && has("containerd") {
        tools.push(Box::new(Ctr(Daemon::new(place("containerd"), containerd))));
    }
    if has("skopeo") && has("umoci") {
        tools.push(Box::new(Skopeo { root: place("skopeo"), policy }));
    }
    if has("docker") && has("dockerd") {
        tools.push(Box::new(Docker(Daemon::new(place("docker"), dockerd))));
    }
    tools
}

/// Whether a program is installed.
pub fn has(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).exists()))
}

struct Berth {
    program: PathBuf,
    root: PathBuf,
    home: PathBuf,
}

impl Berth {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.root).args(words).env("HOME", &self.home);
        command
    }
}

impl Tool for Berth {
    fn name(&self) -> &'static str {
        "berth"
    }

    fn reset(&mut self) -> Result<(), String> {
        remove(&self.root)
    }

    fn pull(&self, name: &str) -> Vec<Command> {
        vec![self.command(&["pull", "-q", name])]
    }

    fn load(&self, archive: &Path) -> Vec<Command> {
        let mut load = self.command(&["load", "-q", "-i"]);
        load.arg(archive);
        vec![load]
    }

    fn name_for_push(&self, from: &str, to: &str) -> Vec<Command> {
        vec![self.command(&["tag", from, to])]
    }

    fn push(&self, _: &str, to: &str) -> Vec<Command> {
        vec![self.command(&["push", "-q", to])]
    }

    fn list(&self) -> Vec<Command> {
        vec![self.command(&["images"])]
    }
}

/// podman, with all of its state below a directory.
pub struct Podman {
    root: PathBuf,
    policy: PathBuf,
}

impl Podman {
    /// Its state goes below `root`; a policy that takes any image is written into `scratch`.
    pub fn new(root: PathBuf, scratch: &Path) -> Podman {
        let policy = scratch.join("policy.json");
        // Where this can't be written, nothing else can be either, and that is said later.
        let _ = fs::write(&policy, r#"{ "default": [{ "type": "insecureAcceptAnything" }] }"#);
        Podman { root, policy }
    }

    /// The policy, for the commands that ask for one.
    pub fn policy(&self) -> &Path {
        &self.policy
    }

    /// A command of podman's.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("podman");
        let directories = [
            ("--root", "storage"),
            ("--runroot", "run"),
            ("--tmpdir", "tmp"),
            ("--network-config-dir", "networks"),
        ];
        for (flag, directory) in directories {
            command.arg(flag).arg(self.root.join(directory));
        }
        command.args(["--cgroup-manager=cgroupfs", "--storage-driver=overlay", "--events-backend=file"]);
        // crun, its default, refuses hybrid cgroups.
        command.arg("--runtime=runc");
        command.args(words).env("HOME", &self.root);
        command
    }

    fn trusting(&self, words: &[&str]) -> Command {
        let mut command = self.command(words);
        command.arg("--signature-policy").arg(&self.policy);
        command
    }
}

impl Tool for Podman {
    fn name(&self) -> &'static str {
        "podman"
    }

    fn reset(&mut self) -> Result<(), String> {
        remove(&self.root)?;
        fs::create_dir_all(&self.root).map_err(|error| error.to_string())
    }

    fn pull(&self, name: &str) -> Vec<Command> {
        let mut pull = self.trusting(&["pull", "-q", "--tls-verify=false"]);
        pull.arg(name);
        vec![pull]
    }

    fn load(&self, archive: &Path) -> Vec<Command> {
        let mut load = self.trusting(&["load", "-q"]);
        load.arg("-i").arg(archive);
        vec![load]
    }

    fn name_for_push(&self, _: &str, _: &str) -> Vec<Command> {
        Vec::new()
    }

    fn push(&self, from: &str, to: &str) -> Vec<Command> {
        let mut push = self.trusting(&["push", "-q", "--tls-verify=false"]);
        push.args([from, to]);
        vec![push]
    }
}

struct Skopeo {
    root: PathBuf,
    policy: PathBuf,
}

impl Skopeo {
    fn copy(&self, from: &str, to: &str) -> Command {
        let mut command = Command::new("skopeo");
        command.arg("--policy").arg(&self.policy).args(["copy", "-q"]);
        command.args(["--src-tls-verify=false", "--dest-tls-verify=false", from, to]).env("HOME", &self.root);
        command
    }

    fn layout(&self) -> String {
        format!("{}/layout:1", self.root.display())
    }

    fn unpack(&self) -> Command {
        let mut unpack = Command::new("umoci");
        unpack.args(["unpack", "--image", &self.layout()]).arg(self.root.join("bundle"));
        unpack
    }
}

impl Tool for Skopeo {
    fn name(&self) -> &'static str {
        "skopeo+umoci"
    }

    fn reset(&mut self) -> Result<(), String> {
        remove(&self.root)?;
        fs::create_dir_all(&self.root).map_err(|error| error.to_string())
    }

    fn pull(&self, name: &str) -> Vec<Command> {
        vec![self.copy(&format!("docker://{name}"), &format!("oci:{}", self.layout())), self.unpack()]
    }

    fn load(&self, archive: &Path) -> Vec<Command> {
        let from = format!("docker-archive:{}", archive.display());
        vec![self.copy(&from, &format!("oci:{}", self.layout())), self.unpack()]
    }

    fn name_for_push(&self, _: &str, _: &str) -> Vec<Command> {
        Vec::new()
    }

    fn push(&self, _: &str, to: &str) -> Vec<Command> {
        vec![self.copy(&format!("oci:{}", self.layout()), &format!("docker://{to}"))]
    }
}

/// A daemon with its data below a directory.
/// Gives a daemon at a directory, and a question that succeeds once it is ready.
pub type Start = fn(&Path) -> Result<(Command, Command), String>;

pub struct Daemon {
    directory: PathBuf,
    command: Start,
    running: Option<Child>,
}

impl Daemon {
    /// `command` gives the daemon at a directory, and a question that succeeds once it is ready.
    pub fn new(directory: PathBuf, command: Start) -> Daemon {
        Daemon { directory, command, running: None }
    }

    /// Starts it anew, with nothing in its directory.
    pub fn restart(&mut self) -> Result<(), String> {
        self.stop();
        remove(&self.directory)?;
        fs::create_dir_all(&self.directory).map_err(|error| error.to_string())?;
        let (mut daemon, mut question) = (self.command)(&self.directory)?;
        let log = fs::File::create(self.directory.join("log")).map_err(|error| error.to_string())?;
        daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.running = Some(daemon.spawn().map_err(|error| format!("{:?}: {error}", daemon.get_program()))?);
        question.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let deadline = Instant::now() + Duration::from_secs(60);
        while !question.status().is_ok_and(|status| status.success()) {
            if Instant::now() > deadline {
                return Err(format!("{:?} does not get ready", daemon.get_program()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn stop(&mut self) {
        let Some(mut child) = self.running.take() else { return };
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&child),
            rustix::process::Signal::TERM,
        );
        let _ = child.wait();
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(Child::id)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
        let _ = remove(&self.directory);
    }
}

fn containerd(directory: &Path) -> Result<(Command, Command), String> {
    let config = directory.join("config.toml");
    let dir = directory.display();
    let text = format!(
        "version = 2\nroot = \"{dir}/root\"\nstate = \"{dir}/state\"\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{dir}/sock\"\n\
         [plugins.\"io.containerd.internal.v1.opt\"]\npath = \"{dir}/opt\"\n"
    );
    fs::write(&config, text).map_err(|error| error.to_string())?;
    let mut daemon = Command::new("containerd");
    daemon.arg("--config").arg(config);
    Ok((daemon, ctr(directory, &["version"])))
}

fn ctr(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(directory.join("sock")).args(words);
    command
}

struct Ctr(Daemon);

impl Tool for Ctr {
    fn name(&self) -> &'static str {
        "ctr"
    }

    fn reset(&mut self) -> Result<(), String> {
        self.0.restart()
    }

    fn pull(&self, name: &str) -> Vec<Command> {
        vec![ctr(&self.0.directory, &["images", "pull", "--plain-http", "--snapshotter=overlayfs", name])]
    }

    fn load(&self, archive: &Path) -> Vec<Command> {
        let mut load = ctr(&self.0.directory, &["images", "import", "--snapshotter=overlayfs"]);
        load.arg(archive);
        vec![load]
    }

    fn name_for_push(&self, from: &str, to: &str) -> Vec<Command> {
        vec![ctr(&self.0.directory, &["images", "tag", from, to])]
    }

    fn push(&self, _: &str, to: &str) -> Vec<Command> {
        vec![ctr(&self.0.directory, &["images", "push", "--plain-http", to])]
    }

    fn daemon(&self) -> Option<u32> {
        self.0.pid()
    }
}

/// dockerd at a directory, and how to ask whether it is ready.
/// Without a bridge, for it would write rules of the host's.
pub fn dockerd(directory: &Path) -> Result<(Command, Command), String> {
    let (mut daemon, question) = dockerd_with_bridge(directory)?;
    daemon.args(["--iptables=false", "--ip6tables=false", "--bridge=none", "--ip-forward=false"]);
    Ok((daemon, question))
}

/// The same with its bridge; for a network namespace of its own.
pub fn dockerd_with_bridge(directory: &Path) -> Result<(Command, Command), String> {
    let mut daemon = Command::new("dockerd");
    for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
        daemon.arg(flag).arg(directory.join(name));
    }
    daemon.arg("--host").arg(socket(directory));
    daemon.args(["--storage-driver=overlay2", "--exec-opt=native.cgroupdriver=cgroupfs"]);
    Ok((daemon, docker(directory, &["version"])))
}

fn socket(directory: &Path) -> String {
    format!("unix://{}/sock", directory.display())
}

/// A command of docker's, for the daemon at that directory.
pub fn docker(directory: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(words).env("DOCKER_HOST", socket(directory)).env("DOCKER_CONFIG", directory.join("config"));
    command
}

struct Docker(Daemon);

impl Tool for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn reset(&mut self) -> Result<(), String> {
        self.0.restart()
    }

    fn pull(&self, name: &str) -> Vec<Command> {
        vec![docker(&self.0.directory, &["pull", "-q", name])]
    }

    fn load(&self, archive: &Path) -> Vec<Command> {
        let mut load = docker(&self.0.directory, &["load", "-q", "-i"]);
        load.arg(archive);
        vec![load]
    }

    fn name_for_push(&self, from: &str, to: &str) -> Vec<Command> {
        vec![docker(&self.0.directory, &["tag", from, to])]
    }

    fn push(&self, _: &str, to: &str) -> Vec<Command> {
        vec![docker(&self.0.directory, &["push", "-q", to])]
    }

    fn daemon(&self) -> Option<u32> {
        self.0.pid()
    }
}
