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
    let legacy: &[&str] = match (has_legacy_cgroups()?, runners.len()) {
        (false, _) => &[],
        (true, 1) => &["test", "-p", "cgroup", "--test", "legacy", "--", "--ignored"],
        (true, _) => {
            &["nextest", "run", "-p", "cgroup", "--test", "legacy", "--run-ignored=only", "--no-tests=pass"]
        }
    };
    let mut tally = Tally::default();
    for runner in runners.iter().copied().chain([legacy]).filter(|runner| !runner.is_empty()) {
        let mut command = cargo();
        command.args(runner).args(args).env("BERTH_BIN", berth);
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

/// Whether this host has cgroup v1 hierarchies: the tests of these are ignored elsewhere.
fn has_legacy_cgroups() -> Outcome<bool> {
    let mounts = "/proc/self/mountinfo";
    Ok(std::fs::read_to_string(mounts).context(mounts)?.contains(" - cgroup "))
}
