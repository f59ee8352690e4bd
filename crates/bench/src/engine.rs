//! The engine beside podman and docker: starting containers, entering them, many of them, their logs.

mod logs;
mod many;
pub mod peers;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};

use crate::Options;
use crate::bundle::{self, Scratch, Variant};
use crate::image::tools;
use crate::measure::{Contestant, race, time, time_silent};
use crate::report::{Goal, Report};
use peers::{Engine, IMAGE};

const WARM_UP: usize = 3;

struct Bench<'a> {
    options: &'a Options,
    directory: PathBuf,
    engines: Vec<Engine>,
    report: Report,
}

/// Measures everything and prints the tables.
pub fn run(options: &Options) -> Result<(), String> {
    if !options.cpus.is_empty() {
        sys::sched::set_affinity(&options.cpus).map_err(|error| error.to_string())?;
    }
    // On a disk, as images and containers are.
    let directory = options.scratch.clone().unwrap_or_else(|| PathBuf::from("/var/tmp"));
    let directory = directory.join(format!("berth-bench-engine-{}", std::process::id()));
    std::fs::create_dir_all(&directory).map_err(|error| format!("make {}: {error}", directory.display()))?;
    let _removed = Scratch(directory.clone());
    let (engines, failures) = peers::all(options, &directory, tools::dockerd)?;
    let mut report = Report::new(options);
    for engine in &engines {
        report.note(&format!("- {}: {}", engine.name, engine.version()));
    }
    for failure in failures {
        report.note(&format!("- left out: {failure}"));
    }
    let mut bench = Bench { options, directory, engines, report };
    let wanted = |figure: &str| {
        options.figures.as_ref().is_none_or(|figures| figures.iter().any(|wanted| wanted == figure))
    };
    bench.report.section("Starting and entering containers");
    if wanted("run") {
        bench.runs("run --rm --network none", &["--network", "none"])?;
        bench.runs_of_hello()?;
    }
    if wanted("detach") {
        bench.first_instruction()?;
    }
    if wanted("exec") {
        bench.execs()?;
    }
    if wanted("bridge") {
        bench.bridge()?;
    }
    if wanted("many") {
        many::run(&mut bench)?;
    }
    if wanted("logs") {
        logs::run(&mut bench)?;
    }
    let size = std::fs::metadata(&options.berth).map_err(|error| error.to_string())?.len();
    bench.report.section("The binary");
    bench.report.memory("size of the stripped binary", size, 25 << 20);
    bench.report.finish()
}

/// `--flag=value` of a mount of `directory` at /out, as all engines write it.
fn bound(directory: &Path) -> String {
    format!("--volume={}:/out", directory.display())
}

impl Bench<'_> {
    /// Runs of milliseconds; podman and docker take a hundred times as long.
    fn runs_of_engines(&self) -> usize {
        self.options.runs.unwrap_or(if self.options.quick { 10 } else { 50 })
    }

    fn contestants<'b>(
        &'b self,
        run: impl Fn(&Engine) -> Result<Duration, String> + Copy + 'b,
    ) -> Vec<Contestant<'b>> {
        let contestant =
            |engine: &'b Engine| Contestant { name: engine.name.into(), run: Box::new(move || run(engine)) };
        self.engines.iter().map(contestant).collect()
    }

    fn race(&mut self, row: &str, goals: &[Goal], run: impl Fn(&Engine) -> Result<Duration, String> + Copy) {
        let runs = self.runs_of_engines();
        let (figures, failures) = race(self.contestants(run), WARM_UP, runs);
        self.report.row(row, &figures, &failures, goals);
    }

    /// The same program by our own OCI runtime, and by each engine.
    fn runs(&mut self, row: &str, flags: &[&str]) -> Result<(), String> {
        let bundle = self.directory.join("bundle");
        let nothing = peers::beside("nothing")?;
        let variant = Variant { seccomp: true, ..Variant::default() };
        bundle::make(&bundle, &nothing, &self.options.berth, variant)?;
        let state = self.directory.join("oci");
        let runs = self.runs_of_engines();
        let mut contestants = self.contestants(|engine| {
            time(engine.command("run").args(["--rm"]).args(flags).args([IMAGE, "/nothing"]))
        });
        let berth = &self.options.berth;
        contestants.push(Contestant {
            name: "berth oci".into(),
            run: Box::new(|| {
                let mut command = Command::new(berth);
                command.args(["oci", "--root"]).arg(&state).args(["run", "--bundle"]).arg(&bundle);
                time(command.arg("bench-engine"))
            }),
        });
        let (figures, failures) = race(contestants, WARM_UP, runs);
        let goals = [("berth oci", 2.0), ("podman", 0.05), ("docker", 0.04)];
        self.report.row(row, &figures, &failures, &goals.map(|(name, ratio)| Goal { name, ratio }));
        Ok(())
    }

    /// On a machine that has only the binary: the image is there after the first run.
    fn runs_of_hello(&mut self) -> Result<(), String> {
        let runs = self.runs_of_engines();
        let Some(berth) = self.engines.iter().find(|engine| engine.name == "berth") else { return Ok(()) };
        let run = || time(&mut engine_run(berth, &["--rm", "--network", "none", "hello"]));
        let contestant = Contestant { name: "berth".into(), run: Box::new(run) };
        let (figures, failures) = race(vec![contestant], WARM_UP, runs);
        self.report.at_most("run --rm hello", &figures, &failures, Duration::from_millis(30));
        Ok(())
    }

    /// From before `run -d` to the first byte that the payload writes to a FIFO.
    fn first_instruction(&mut self) -> Result<(), String> {
        let out = self.directory.join("out");
        std::fs::create_dir_all(&out).map_err(|error| error.to_string())?;
        let fifo = out.join("fifo");
        let _ = std::fs::remove_file(&fifo);
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0)
            .map_err(|error| format!("make {}: {error}", fifo.display()))?;
        let volume = bound(&out);
        let goals = [Goal { name: "podman", ratio: 0.05 }, Goal { name: "docker", ratio: 0.05 }];
        self.race("run -d until the first instruction", &goals, |engine| {
            let mut command = engine_run(engine, &["-d", "--rm", "--network", "none", &volume, IMAGE]);
            command.args(["/bin/busybox", "sh", "-c", "echo x >/out/fifo"]);
            let start = Instant::now();
            let mut child = peers::quiet(&mut command).spawn().map_err(|error| error.to_string())?;
            let written = await_byte(&fifo);
            let time = start.elapsed();
            let status = child.wait().map_err(|error| error.to_string())?;
            if status.success() { written.map(|()| time) } else { Err(format!("run -d: {status}")) }
        });
        Ok(())
    }

    fn execs(&mut self) -> Result<(), String> {
        for engine in &self.engines {
            let mut run = engine_run(engine, &["-d", "--name", "bench-exec", "--network", "none", IMAGE]);
            time_silent(run.args(["/bin/busybox", "sleep", "10000"]))?;
        }
        let goals = [Goal { name: "podman", ratio: 0.04 }, Goal { name: "docker", ratio: 0.08 }];
        self.race("exec", &goals, |engine| time(engine.command("exec").args(["bench-exec", "/nothing"])));
        for engine in &self.engines {
            time_silent(engine.command("rm").args(["-f", "bench-exec"]))?;
        }
        Ok(())
    }

    /// A bridge with a published port, beside no network at all.
    fn bridge(&mut self) -> Result<(), String> {
        let runs = self.runs_of_engines();
        let without = "berth, no network";
        let mut contestants = self.contestants(|engine| {
            time(&mut engine_run(engine, &["--rm", "-p", "127.0.0.1:18080:80", IMAGE, "/nothing"]))
        });
        // Its daemon is started here without a bridge, for it would write rules of the host's.
        contestants.retain(|contestant| contestant.name != "docker");
        if let Some(berth) = self.engines.iter().find(|engine| engine.name == "berth") {
            contestants.push(Contestant {
                name: without.into(),
                run: Box::new(|| {
                    time(&mut engine_run(berth, &["--rm", "--network", "none", IMAGE, "/nothing"]))
                }),
            });
        }
        let (figures, failures) = race(contestants, WARM_UP, runs);
        let goals = [(without, 1.8), ("podman", 0.05)];
        let goals = goals.map(|(name, ratio)| Goal { name, ratio });
        self.report.row("run --rm -p 18080:80 on the bridge", &figures, &failures, &goals);
        Ok(())
    }
}

/// Waits for a byte in a FIFO: not for ever, for the container may not have started.
fn await_byte(fifo: &Path) -> Result<(), String> {
    let failed = |error: rustix::io::Errno| format!("{}: {error}", fifo.display());
    // With a writer of our own, the end of the payload is no end of file.
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(fifo, flags, Mode::empty()).map_err(failed)?;
    let mut fds = [PollFd::new(&file, PollFlags::IN)];
    let patience = Timespec { tv_sec: 30, tv_nsec: 0 };
    if rustix::event::poll(&mut fds, Some(&patience)).map_err(failed)? == 0 {
        return Err("the payload did not start within 30 s".to_owned());
    }
    rustix::io::read(&file, &mut [0; 16]).map_err(failed).map(drop)
}

fn engine_run(engine: &Engine, words: &[&str]) -> Command {
    let mut command = engine.command("run");
    command.args(words);
    command
}
