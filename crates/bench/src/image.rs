//! Images beside podman, containerd, skopeo with umoci and docker: `cargo xtask bench image`.
//!
//! All pull from, and push to, a docker-registry on loopback, which runs on the same CPUs. Each run begins with a tool that
//! knows nothing and with a disk that has nothing left to write. CPU time is what the tool and its daemon took; it tells more
//! than time does where other work is done on the machine.

pub mod data;
mod floor;
mod measure;
mod registry;
mod table;
pub mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Options;
use data::Layout;
use measure::{Sample, sample};
use registry::{Registry, remove};
use table::{Goal, Measured, Table};
use tools::Tool;

/// How large the figures are.
struct Scale {
    bytes: u64,
    files: u64,
    images: usize,
    runs: usize,
}

impl Scale {
    fn of(options: &Options) -> Scale {
        match options.quick {
            true => Scale { bytes: 128 << 20, files: 10_000, images: 50, runs: options.runs.unwrap_or(1) },
            false => Scale { bytes: 1 << 30, files: 100_000, images: 500, runs: options.runs.unwrap_or(5) },
        }
    }
}

struct Bench {
    scratch: PathBuf,
    source: Registry,
    tools: Vec<Box<dyn Tool>>,
    scale: Scale,
    table: Table,
}

/// Measures everything and prints the table.
pub fn run(options: &Options) -> Result<(), String> {
    let io = |error: std::io::Error| error.to_string();
    let berth = fs::canonicalize(&options.berth).map_err(io)?;
    let parent = options.scratch.clone().unwrap_or_else(|| "/var/tmp".into());
    let scratch = parent.join(format!("berth-bench-image-{}", std::process::id()));
    fs::create_dir_all(&scratch).map_err(io)?;
    let mut bench = Bench {
        source: Registry::start(&scratch.join("source"))?,
        tools: tools::all(&berth, &scratch),
        scale: Scale::of(options),
        table: Table::default(),
        scratch,
    };
    if let Some(only) = &options.tools {
        bench.tools.retain(|tool| tool.name() == "berth" || only.iter().any(|name| name == tool.name()));
    }
    let measured = bench.all(options);
    let scratch = bench.scratch.clone();
    let table = std::mem::take(&mut bench.table);
    drop(bench);
    remove(&scratch)?;
    measured?;
    table.finish(options.markdown.as_deref(), options.json.as_deref())
}

impl Bench {
    fn all(&mut self, options: &Options) -> Result<(), String> {
        self.introduce();
        let io = |error: std::io::Error| error.to_string();
        let app = Layout::of_usr(&self.scratch.join("app"), self.scale.bytes).map_err(io)?;
        let small = Layout::of_small_files(&self.scratch.join("small"), self.scale.files, 30).map_err(io)?;
        self.table.say(&format!(
            "- the image: {} MiB of files of /usr in 8 layers; small files: {} in 30 layers, {} MiB\n",
            app.bytes() >> 20,
            self.scale.files,
            small.bytes() >> 20
        ));
        self.table.head();
        let wanted =
            |figure: &str| options.figures.as_ref().is_none_or(|only| only.iter().any(|name| name == figure));
        let mut fastest_gzip = None;
        if wanted("gzip") || wanted("zstd") || wanted("push") {
            self.publish(&app.path, "app:gzip", &["--dest-compress-format", "gzip"])?;
        }
        if wanted("gzip") {
            fastest_gzip = self.pull_gzip()?;
        }
        if wanted("zstd") {
            self.publish(&app.path, "app:zstd", &["--dest-compress-format", "zstd"])?;
            let mut goals = vec![Goal::Memory(64 << 20)];
            goals.extend(fastest_gzip.map(|time| Goal::Of("the fastest gzip", time, 1.0 / 3.0)));
            self.pull("pull, zstd", "app:zstd", &goals)?;
        }
        if wanted("small") {
            self.publish(&small.path, "small:1", &[])?;
            self.pull(
                "pull, 30 layers of small files",
                "small:1",
                &[Goal::OfFastest(0.5), Goal::Memory(64 << 20)],
            )?;
        }
        if wanted("present") {
            self.publish(&app.path, "app:gzip", &["--dest-compress-format", "gzip"])?;
            self.pull_present()?;
        }
        if wanted("load") {
            self.load(&app.path)?;
        }
        if wanted("images") {
            self.list()?;
        }
        if wanted("push") {
            self.push()?;
        }
        Ok(())
    }

    fn introduce(&mut self) {
        self.table.say(&format!(
            "Medians of {} runs that took turns, with a docker-registry on loopback, on {} CPUs.",
            self.scale.runs,
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        ));
        for (program, flag) in [
            ("podman", "--version"),
            ("containerd", "--version"),
            ("skopeo", "--version"),
            ("umoci", "--version"),
            ("dockerd", "--version"),
        ] {
            let output =
                Command::new(program).arg(flag).output().map(|output| output.stdout).unwrap_or_default();
            let version = String::from_utf8_lossy(&output);
            self.table.say(&format!("- {program}: {}", version.lines().next().unwrap_or("is not installed")));
        }
    }

    /// Puts an image into the registry, by skopeo.
    fn publish(&self, layout: &Path, name: &str, flags: &[&str]) -> Result<(), String> {
        let to = format!("docker://{}/{name}", self.source.address());
        skopeo(&format!("oci:{}:1", layout.display()), &to, flags)
    }

    /// Lets all tools take turns, each beginning with nothing; one that fails is left out.
    fn race(
        &mut self,
        runs: usize,
        prepare: impl Fn(&mut dyn Tool) -> Result<(), String>,
        commands: impl Fn(&dyn Tool) -> Vec<Command>,
    ) -> Vec<Measured> {
        let log = self.scratch.join("log");
        let mut measured: Vec<Measured> =
            self.tools.iter().map(|tool| Measured { name: tool.name(), samples: Vec::new() }).collect();
        let mut failed = vec![false; self.tools.len()];
        for _ in 0..runs {
            for (at, tool) in self.tools.iter_mut().enumerate() {
                if failed[at] {
                    continue;
                }
                let taken = prepare(tool.as_mut()).and_then(|()| {
                    rustix::fs::sync();
                    sample(commands(tool.as_ref()), tool.daemon(), &log)
                });
                match taken {
                    Ok(taken) => measured[at].samples.push(taken),
                    Err(problem) => {
                        eprintln!("bench: left out: {}: {problem}", tool.name());
                        failed[at] = true;
                    }
                }
            }
        }
        // What a tool holds is in the way of the next figure.
        for tool in &mut self.tools {
            let _ = tool.reset();
        }
        measured.retain(|tool| !tool.samples.is_empty());
        measured
    }

    fn pull(&mut self, figure: &str, image: &str, goals: &[Goal]) -> Result<Option<Duration>, String> {
        let name = format!("{}/{image}", self.source.address());
        let measured = self.race(self.scale.runs, |tool| tool.reset(), |tool| tool.pull(&name));
        self.table.row(figure, &measured, goals);
        Ok(measured.iter().filter(|tool| tool.name != "berth").map(Measured::wall).min())
    }

    /// The figure with a floor beside it: what is unavoidable, on all CPUs.
    fn pull_gzip(&mut self) -> Result<Option<Duration>, String> {
        let layout = self.scratch.join("gzip");
        let from = format!("docker://{}/app:gzip", self.source.address());
        skopeo(&from, &format!("oci:{}:1", layout.display()), &[])?;
        let mut floors = Vec::new();
        for _ in 0..self.scale.runs {
            floors.push(floor::run(&layout.join("blobs/sha256")).map_err(|error| error.to_string())?);
        }
        remove(&layout)?;
        let floor = measure::median(floors);
        let goals = [
            Goal::OfFastest(0.5),
            Goal::Of("inflating and hashing", floor, 1.0 / 0.85),
            Goal::Memory(64 << 20),
        ];
        self.pull("pull, gzip", "app:gzip", &goals)
    }

    fn pull_present(&mut self) -> Result<(), String> {
        let name = format!("{}/app:gzip", self.source.address());
        let log = self.scratch.join("log");
        // skopeo has no way to see that nothing is to be done, and umoci none to do it again.
        let runs = if self.scale.runs == 1 { 5 } else { 20 };
        let tools = self.tools.extract_if(.., |tool| tool.name() == "skopeo+umoci").collect::<Vec<_>>();
        let measured = self.race(runs, |tool| have(tool, &name, &log), |tool| tool.pull(&name));
        self.tools.extend(tools);
        self.table.row("pull, it is there", &measured, &[Goal::Time(Duration::from_millis(15))]);
        Ok(())
    }

    fn load(&mut self, layout: &Path) -> Result<(), String> {
        let archive = self.scratch.join("app.tar");
        let to = format!("docker-archive:{}:bench/app:1", archive.display());
        skopeo(&format!("oci:{}:1", layout.display()), &to, &[])?;
        let measured = self.race(self.scale.runs, |tool| tool.reset(), |tool| tool.load(&archive));
        self.table.row(
            "load of a docker-archive",
            &measured,
            &[Goal::OfFastest(0.5), Goal::Memory(64 << 20)],
        );
        fs::remove_file(archive).map_err(|error| error.to_string())
    }

    fn list(&mut self) -> Result<(), String> {
        let archive = self.scratch.join("many.tar");
        data::many_images(&archive, self.scale.images).map_err(|error| error.to_string())?;
        let log = self.scratch.join("log");
        let Some(berth) = self.tools.iter_mut().find(|tool| tool.name() == "berth") else { return Ok(()) };
        berth.reset()?;
        sample(berth.load(&archive), None, &log)?;
        let mut samples: Vec<Sample> = Vec::new();
        for _ in 0..30 {
            samples.push(sample(berth.list(), None, &log)?);
        }
        berth.reset()?;
        let figure = format!("images, with {} of them", self.scale.images);
        let measured = [Measured { name: "berth", samples }];
        self.table.row(&figure, &measured, &[Goal::Time(Duration::from_millis(15))]);
        fs::remove_file(archive).map_err(|error| error.to_string())
    }

    /// To a second registry, which is empty each time.
    fn push(&mut self) -> Result<(), String> {
        let from = format!("{}/app:gzip", self.source.address());
        let target = std::cell::RefCell::new(Registry::start(&self.scratch.join("target"))?);
        let to = format!("{}/app:pushed", target.borrow().address());
        let log = self.scratch.join("log");
        let prepare = |tool: &mut dyn Tool| {
            target.borrow_mut().reset()?;
            have(tool, &from, &log)?;
            sample(tool.name_for_push(&from, &to), None, &log).map(drop)
        };
        let measured = self.race(self.scale.runs, prepare, |tool| tool.push(&from, &to));
        self.table.row("push", &measured, &[Goal::OfFastest(1.0 / 1.5), Goal::Memory(64 << 20)]);
        Ok(())
    }
}

/// Has a tool pull an image, unless it has it.
fn have(tool: &mut dyn Tool, name: &str, log: &Path) -> Result<(), String> {
    if sample(tool.pull(name), None, log).is_ok() {
        return Ok(());
    }
    tool.reset()?;
    sample(tool.pull(name), None, log).map(drop)
}

/// Copies an image, without measuring.
fn skopeo(from: &str, to: &str, flags: &[&str]) -> Result<(), String> {
    let mut command = Command::new("skopeo");
    command.args(["--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false"]);
    command.args(flags).args([from, to]).stdin(Stdio::null()).stdout(Stdio::null());
    let output = command.output().map_err(|error| format!("skopeo (a Debian package): {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("skopeo copy {from} {to}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
