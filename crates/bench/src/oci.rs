//! The OCI runtime beside runc, crun and youki, and the floor.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sys::process::NamespaceFlags;

use crate::Options;
use crate::bundle::{self, Scratch, Variant};
use crate::measure::{Contestant, race, time, time_silent};
use crate::report::{Goal, Report};

const WARM_UP: usize = 10;

/// A runtime under its name.
#[derive(Clone)]
struct Runtime {
    name: String,
    path: PathBuf,
}

struct Bench<'a> {
    options: &'a Options,
    scratch: Scratch,
    floor: PathBuf,
    nothing: PathBuf,
    berth: Runtime,
    report: Report,
}

/// Measures everything and prints the tables.
pub fn run(options: &Options) -> Result<(), String> {
    let io = |error: std::io::Error| error.to_string();
    let beside = |name: &str| std::env::current_exe().map(|exe| exe.with_file_name(name)).map_err(io);
    if !options.cpus.is_empty() {
        sys::sched::set_affinity(&options.cpus).map_err(io)?;
    }
    let scratch = Scratch::new().map_err(io)?;
    let link = scratch.0.join("berth-oci");
    symlink(std::fs::canonicalize(&options.berth).map_err(io)?, &link).map_err(io)?;
    let mut bench = Bench {
        options,
        floor: beside("floor")?,
        nothing: beside("nothing")?,
        berth: Runtime { name: "berth".into(), path: link },
        scratch,
        report: Report::new(options),
    };
    let peers: Vec<Runtime> = bench.peers();
    bench.report.versions(peers.iter().map(|peer| (peer.name.as_str(), peer.path.as_path())));
    bench.report.section("This host (v1 or hybrid cgroups)");
    let runc: Vec<_> = peers.iter().filter(|peer| peer.name.starts_with("runc")).cloned().collect();
    bench.starts("run", Variant::default(), &runc)?;
    bench.starts("run, Docker's seccomp profile", Variant { seccomp: true, ..Variant::default() }, &runc)?;
    bench.lives(Variant::default(), &runc)?;
    bench.execs(Variant { stays: true, ..Variant::default() }, &runc)?;
    bench.questions()?;
    bench.memory()?;
    pure_cgroup2()?;
    bench.report.section(
        "A private view of pure cgroup v2, without resources and rlimits (crun and youki need both)",
    );
    let bare = Variant { bare: true, ..Variant::default() };
    bench.starts("run", bare, &peers)?;
    bench.starts("run, Docker's seccomp profile", Variant { seccomp: true, ..bare }, &peers)?;
    bench.lives(bare, &peers)?;
    bench.execs(Variant { stays: true, ..bare }, &peers)?;
    bench.report.finish()
}

/// Containers of different runtimes must not meet in one cgroup.
fn id(runtime: &Runtime) -> String {
    format!("bench-{}", runtime.name)
}

/// A mount namespace of our own in which the host's cgroups are v2's alone.
fn pure_cgroup2() -> Result<(), String> {
    use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: rustix::io::Errno| format!("{what}: {error}")
    };
    sys::process::unshare(NamespaceFlags::MOUNT).map_err(|error| error.to_string())?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(failed("make / private"))?;
    unmount("/sys/fs/cgroup", UnmountFlags::DETACH).map_err(failed("unmount /sys/fs/cgroup"))?;
    mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MountFlags::empty(), None).map_err(failed("mount cgroup2"))
}

impl Bench<'_> {
    fn peers(&self) -> Vec<Runtime> {
        let found = ["crun", "runc"].into_iter().filter_map(|name| {
            let paths = ["/usr/bin", "/usr/sbin"].map(|dir| Path::new(dir).join(name));
            let path = paths.into_iter().find(|path| path.exists())?;
            Some(Runtime { name: name.to_owned(), path })
        });
        let named =
            self.options.peers.iter().map(|(name, path)| Runtime { name: name.clone(), path: path.clone() });
        found.chain(named).collect()
    }

    fn bundle(&self, variant: Variant) -> Result<PathBuf, String> {
        let path = self.scratch.0.join("bundle");
        bundle::make(&path, &self.nothing, &self.options.berth, variant)?;
        Ok(path)
    }

    fn command(&self, runtime: &Runtime) -> Command {
        let mut command = Command::new(&runtime.path);
        command.arg("--root").arg(self.scratch.0.join(format!("state-{}", runtime.name)));
        command
    }

    fn with_berth<'r>(&'r self, peers: &'r [Runtime]) -> impl Iterator<Item = &'r Runtime> {
        std::iter::once(&self.berth).chain(peers)
    }

    fn starts(&mut self, row: &str, variant: Variant, peers: &[Runtime]) -> Result<(), String> {
        let bundle = self.bundle(variant)?;
        let root = bundle.join("rootfs");
        let this = &*self;
        let mut contestants = vec![Contestant {
            name: "floor".into(),
            run: Box::new(|| time(Command::new(&this.floor).arg(&root).arg("/nothing"))),
        }];
        for runtime in this.with_berth(peers) {
            let bundle = &bundle;
            contestants.push(Contestant {
                name: runtime.name.clone(),
                run: Box::new(move || {
                    time(this.command(runtime).args(["run", "--bundle"]).arg(bundle).arg(id(runtime)))
                }),
            });
        }
        let (figures, failures) = race(contestants, WARM_UP, self.options.many_runs());
        let goals = [("floor", 1.6), ("crun", 0.45), ("youki", 0.25), ("runc", 0.15)];
        self.report.row(row, &figures, &failures, &goals.map(|(name, ratio)| Goal { name, ratio }));
        Ok(())
    }

    /// create, start and delete, the three calls together.
    fn lives(&mut self, variant: Variant, peers: &[Runtime]) -> Result<(), String> {
        let bundle = self.bundle(variant)?;
        let this = &*self;
        let mut contestants = Vec::new();
        for runtime in this.with_berth(peers) {
            let bundle = &bundle;
            contestants.push(Contestant {
                name: runtime.name.clone(),
                run: Box::new(move || {
                    let create = time_silent(
                        this.command(runtime).args(["create", "--bundle"]).arg(bundle).arg(id(runtime)),
                    )?;
                    let start = time_silent(this.command(runtime).args(["start", &id(runtime)]))?;
                    this.await_end(runtime)?;
                    let delete = time_silent(this.command(runtime).args(["delete", &id(runtime)]))?;
                    Ok(create + start + delete)
                }),
            });
        }
        let (figures, failures) = race(contestants, WARM_UP, self.options.many_runs());
        self.report.row(
            "create + start + delete",
            &figures,
            &failures,
            &[Goal { name: "crun", ratio: 0.45 }],
        );
        Ok(())
    }

    fn await_end(&self, runtime: &Runtime) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let output = self
                .command(runtime)
                .args(["state", &id(runtime)])
                .output()
                .map_err(|error| error.to_string())?;
            let state: serde_json::Value =
                serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
            if state["status"] == "stopped" {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err("the container does not end".to_owned());
            }
        }
    }

    fn execs(&mut self, variant: Variant, peers: &[Runtime]) -> Result<(), String> {
        let bundle = self.bundle(variant)?;
        let mut running = Vec::new();
        let mut failures = Vec::new();
        for runtime in self.with_berth(peers) {
            let started = time_silent(
                self.command(runtime).args(["run", "--detach", "--bundle"]).arg(&bundle).arg(id(runtime)),
            );
            match started {
                Ok(_) => running.push(runtime.clone()),
                Err(problem) => failures.push(format!("{}: {problem}", runtime.name)),
            }
        }
        let contestants = running.iter().map(|runtime| Contestant {
            name: runtime.name.clone(),
            run: Box::new(|| time(self.command(runtime).args(["exec", &id(runtime), "/nothing"]))),
        });
        let (figures, failed) = race(contestants.collect(), WARM_UP, self.options.many_runs());
        failures.extend(failed);
        for runtime in &running {
            time_silent(self.command(runtime).args(["delete", "--force", &id(runtime)]))?;
        }
        self.report.row("exec", &figures, &failures, &[Goal { name: "crun", ratio: 0.4 }]);
        Ok(())
    }

    /// What a call costs that does next to nothing, beside a program that does nothing.
    fn questions(&mut self) -> Result<(), String> {
        let bundle = self.bundle(Variant { stays: true, ..Variant::default() })?;
        time_silent(
            self.command(&self.berth).args(["run", "--detach", "--bundle"]).arg(&bundle).arg(id(&self.berth)),
        )?;
        let contestants = vec![
            Contestant { name: "nothing".into(), run: Box::new(|| time(&mut Command::new(&self.nothing))) },
            Contestant {
                name: "berth --version".into(),
                run: Box::new(|| time(Command::new(&self.berth.path).arg("--version"))),
            },
            Contestant {
                name: "berth state".into(),
                run: Box::new(|| time(self.command(&self.berth).args(["state", &id(&self.berth)]))),
            },
        ];
        let (figures, failures) = race(contestants, WARM_UP, self.options.many_runs());
        time_silent(self.command(&self.berth).args(["delete", "--force", &id(&self.berth)]))?;
        self.report.overhead("state, --version", &figures, &failures, Duration::from_micros(1200));
        Ok(())
    }

    fn memory(&mut self) -> Result<(), String> {
        let bundle = self.bundle(Variant { seccomp: true, ..Variant::default() })?;
        let mut create = self.command(&self.berth);
        create.args(["create", "--bundle"]).arg(&bundle).arg(id(&self.berth));
        create.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = create.spawn().map_err(|error| error.to_string())?;
        let peak = sys::process::wait_for_peak_memory(rustix::process::Pid::from_child(&child));
        let peak = peak.map_err(|error| error.to_string())?;
        time_silent(self.command(&self.berth).args(["delete", "--force", &id(&self.berth)]))?;
        self.report.memory("peak memory of create", peak, 4 << 20);
        Ok(())
    }
}
