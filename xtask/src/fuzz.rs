//! `cargo xtask fuzz`: the targets of `fuzz/`, by libFuzzer, with the compiler that builds the rest.
//!
//! What cargo-fuzz does with a nightly compiler is done here with flags that a stable one has: LLVM's own pass counts the
//! edges. Without a sanitizer, for all unsafe code is in `sys`; what is looked for are panics, hangs and memory.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::process::{self, Context, Failure, Outcome, cargo, root};

/// What makes LLVM count edges and comparisons; as cargo-fuzz has them.
const INSTRUMENTATION: &str = "--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

struct Options {
    seconds: u32,
    filter: String,
}

/// Builds all targets, and runs each for a while; what makes one fail is kept in fuzz/artifacts.
pub fn run(args: &[String]) -> Outcome {
    let options = options(args)?;
    let names: Vec<String> = targets()?.into_iter().filter(|name| name.contains(&options.filter)).collect();
    if names.is_empty() {
        return Err(Failure::new(format!("no target's name contains {:?}", options.filter)));
    }
    let built = build(&names)?;
    let mut failed = Vec::new();
    for name in &names {
        if let Err(failure) = fuzz(&built, name, options.seconds) {
            eprintln!("{failure}");
            failed.push(name.as_str());
        }
    }
    println!("fuzz: {} targets, {} s each, {} failed", names.len(), options.seconds, failed.len());
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!("inputs were found for {}", failed.join(", "))))
    }
}

fn options(args: &[String]) -> Outcome<Options> {
    let mut options = Options { seconds: 60, filter: String::new() };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => {
                let value = args.next().ok_or_else(|| Failure::new("--seconds needs a value"))?;
                options.seconds = value.parse().context(format!("--seconds {value}"))?;
            }
            flag if flag.starts_with('-') => return Err(Failure::new(format!("unknown flag {flag}"))),
            filter => options.filter = filter.to_owned(),
        }
    }
    Ok(options)
}

fn directory() -> PathBuf {
    root().join("fuzz")
}

/// The names of all targets, sorted.
fn targets() -> Outcome<Vec<String>> {
    let files = fs::read_dir(directory().join("fuzz_targets")).context("read fuzz/fuzz_targets")?;
    let mut names: Vec<String> =
        files.flatten().filter_map(|file| Some(file.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// Builds them, and says where.
fn build(names: &[String]) -> Outcome<PathBuf> {
    let target = process::target_dir().join("fuzz");
    let mut command = cargo();
    // Beside its target directory, so that neither's flags rebuild the other.
    command.current_dir(directory()).args(["build", "--quiet", "--release", "--target-dir"]).arg(&target);
    command.args(names.iter().flat_map(|name| ["--bin", name])).env("RUSTFLAGS", INSTRUMENTATION);
    process::run(&mut command)?;
    Ok(target.join(format!("{}-unknown-linux-gnu", std::env::consts::ARCH)).join("release"))
}

fn fuzz(built: &std::path::Path, name: &str, seconds: u32) -> Outcome {
    let (corpus, seeds) = (directory().join("corpus").join(name), directory().join("seeds").join(name));
    let artifacts = directory().join("artifacts").join(name);
    for made in [&corpus, &artifacts] {
        fs::create_dir_all(made).context(format!("make {}", made.display()))?;
    }
    let mut command = Command::new(built.join(name));
    command.arg(format!("-max_total_time={seconds}")).args([
        "-timeout=10",
        "-rss_limit_mb=1024",
        "-verbosity=0",
    ]);
    command.arg(format!("-artifact_prefix={}/", artifacts.display())).arg(corpus);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    process::run(&mut command)
}
