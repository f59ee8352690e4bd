//! berth's speed beside that of its peers, all in one run: `cargo xtask bench oci|image|engine|network`.
//!
//! Every figure is the median of runs that take turns, so that what else the machine does hits all alike, after some
//! that are not counted.

mod bundle;
mod engine;
mod image;
mod measure;
mod network;
mod oci;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use measure::Clock;

/// What the command line says.
#[derive(Default)]
pub struct Options {
    /// The binary to measure.
    pub berth: PathBuf,
    /// Counted runs.
    pub runs: Option<usize>,
    /// Other runtimes, by name.
    pub peers: Vec<(String, PathBuf)>,
    /// CPUs to run on.
    pub cpus: Vec<u32>,
    /// Where the table goes besides stdout.
    pub markdown: Option<PathBuf>,
    /// Where all figures go besides stdout, as JSON.
    pub json: Option<PathBuf>,
    /// Smaller, for a look.
    pub quick: bool,
    /// A disk to work on.
    pub scratch: Option<PathBuf>,
    /// The tools beside berth; all without.
    pub tools: Option<Vec<String>>,
    /// The figures; all without.
    pub figures: Option<Vec<String>>,
}

impl Options {
    /// Counted runs of what takes milliseconds.
    pub fn many_runs(&self) -> usize {
        self.runs.unwrap_or(if self.quick { 20 } else { 200 })
    }
}

const USAGE: &str = "usage: bench oci --berth PATH [--runs N] [--quick] [--peer NAME=PATH]… [--cpus 0,1] [--clock wall|cpu]
                 [--markdown FILE] [--json FILE]
       bench engine --berth PATH [--runs N] [--quick] [--tools podman,docker] [--figures run,detach,exec,bridge,many,logs]
                    [--scratch DIR] [--cpus 0,1] [--markdown FILE] [--json FILE]
       bench network --berth PATH [--runs N] [--quick] [--tools podman,docker] [--figures run,traffic,names,many]
                     [--scratch DIR] [--cpus 0,1] [--markdown FILE] [--json FILE]
       bench image --berth PATH [--runs N] [--quick] [--tools podman,ctr,skopeo+umoci,docker]
                   [--figures gzip,zstd,small,present,load,images,push] [--scratch DIR] [--markdown FILE] [--json FILE]";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let suite = args.next();
    let outcome = match (suite.as_deref(), options(args)) {
        (Some("oci"), Ok(options)) => oci::run(&options),
        (Some("engine"), Ok(options)) => engine::run(&options),
        (Some("image"), Ok(options)) => image::run(&options),
        (Some("network"), Ok(options)) => network::run(&options),
        (_, Err(problem)) => Err(format!("{problem}\n{USAGE}")),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    let list = |value: String| Some(value.split(',').map(str::to_owned).collect());
    while let Some(flag) = args.next() {
        if flag == "--quick" {
            options.quick = true;
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--berth" => options.berth = value.into(),
            "--runs" => {
                options.runs = Some(value.parse().map_err(|_| format!("--runs {value}: no number"))?);
            }
            "--peer" => {
                let (name, path) =
                    value.split_once('=').ok_or_else(|| format!("--peer {value}: write NAME=PATH"))?;
                options.peers.push((name.to_owned(), path.into()));
            }
            "--cpus" => {
                let cpus: Result<_, _> = value.split(',').map(str::parse).collect();
                options.cpus = cpus.map_err(|_| format!("--cpus {value}: write 0,1"))?;
            }
            "--clock" => {
                let clock = match value.as_str() {
                    "wall" => Clock::Wall,
                    "cpu" => Clock::Cpu,
                    _ => return Err(format!("--clock {value}: write wall or cpu")),
                };
                measure::CLOCK.get_or_init(|| clock);
            }
            "--markdown" => options.markdown = Some(value.into()),
            "--json" => options.json = Some(value.into()),
            "--scratch" => options.scratch = Some(value.into()),
            "--tools" => options.tools = list(value),
            "--figures" => options.figures = list(value),
            _ => return Err(format!("unknown flag {flag}")),
        }
    }
    if options.berth.as_os_str().is_empty() {
        return Err("--berth is missing".to_owned());
    }
    Ok(options)
}
