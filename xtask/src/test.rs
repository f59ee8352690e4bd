//! `cargo xtask test`: everything that runs.

use std::path::Path;

use crate::berth::{self, Profile};
use crate::process::{self, Context, Failure, Outcome, cargo};
use crate::tally::Tally;
use crate::{packages, vm};

/// Packages, then the release binary, then every test against it, on the host and in the VM.
///
/// All of it runs whatever fails, and the last line counts it.
pub fn run(args: &[String]) -> Outcome {
    packages::install()?;
    let berth = berth::build(Profile::Release)?;
    let host = on_host(&berth, args)?;
    let guest = vm::test(&vm::Request { short: true, ..vm::Request::default() })?;
    println!("on this host: {host}, {} skipped; in the VM: {guest}", host.skipped);
    let mut all = host;
    all += guest;
    println!("{all}");
    all.into_outcome()
}

/// nextest runs each test in a process of its own, with a deadline; cargo alone does without both.
fn on_host(berth: &Path, args: &[String]) -> Outcome<Tally> {
    let runners: &[&[&str]] = if process::on_path("cargo-nextest") {
        &[
            &["nextest", "run", "--workspace", "--no-fail-fast"],
            &["test", "--doc", "--workspace", "--no-fail-fast"],
        ]
    } else {
        &[&["test", "--workspace", "--no-fail-fast"]]
    };
    let mut tally = Tally::default();
    let skipped: &[&str] = if has_legacy_cgroups()? { &[] } else { &["--skip", LEGACY] };
    for runner in runners {
        let mut command = cargo();
        command.args(*runner).args(args).env("BERTH_BIN", berth);
        if !skipped.is_empty() {
            println!("{LEGACY} is left out: this host has no cgroup v1 hierarchies");
            command.args((!args.iter().any(|arg| arg == "--")).then_some("--")).args(skipped);
        }
        let mut counted = Tally::default();
        let well = process::follow(command, |line| {
            counted += Tally::of_nextest(line).or_else(|| Tally::of_libtest(line)).unwrap_or_default();
        })?;
        if !well && counted.failed == 0 {
            return Err(Failure::new(format!("cargo {} failed before its tests ran", runner[0])));
        }
        tally += counted;
    }
    Ok(tally)
}

/// The tests that need cgroup v1.
const LEGACY: &str = "v1::";

/// Whether this host has cgroup v1 hierarchies.
fn has_legacy_cgroups() -> Outcome<bool> {
    let mounts = "/proc/self/mountinfo";
    Ok(std::fs::read_to_string(mounts).context(mounts)?.contains(" - cgroup "))
}
