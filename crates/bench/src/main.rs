//! berth's speed beside that of its peers, all in one run: `cargo xtask bench oci`.
//!
//! Every figure is the median of runs that take turns, so that what else the machine does hits all alike, after some
//! that are not counted.

mod bundle;
mod measure;
mod oci;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

/// What the command line says.
pub struct Options {
    /// The binary to measure.
    pub berth: PathBuf,
    /// Counted runs.
    pub runs: usize,
    /// Other runtimes, by name.
    pub peers: Vec<(String, PathBuf)>,
    /// CPUs to run on.
    pub cpus: Vec<u32>,
    /// Where the table goes besides stdout.
    pub markdown: Option<PathBuf>,
}

const USAGE: &str =
    "usage: bench oci --berth PATH [--runs N] [--peer NAME=PATH]… [--cpus 0,1] [--markdown FILE]";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let suite = args.next();
    let outcome = match (suite.as_deref(), options(args)) {
        (Some("oci"), Ok(options)) => oci::run(&options),
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
    let mut options =
        Options { berth: PathBuf::new(), runs: 200, peers: Vec::new(), cpus: Vec::new(), markdown: None };
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--berth" => options.berth = value.into(),
            "--runs" => options.runs = value.parse().map_err(|_| format!("--runs {value}: no number"))?,
            "--peer" => {
                let (name, path) =
                    value.split_once('=').ok_or_else(|| format!("--peer {value}: write NAME=PATH"))?;
                options.peers.push((name.to_owned(), path.into()));
            }
            "--cpus" => {
                let cpus: Result<_, _> = value.split(',').map(str::parse).collect();
                options.cpus = cpus.map_err(|_| format!("--cpus {value}: write 0,1"))?;
            }
            "--markdown" => options.markdown = Some(value.into()),
            _ => return Err(format!("unknown flag {flag}")),
        }
    }
    if options.berth.as_os_str().is_empty() {
        return Err("--berth is missing".to_owned());
    }
    Ok(options)
}
