//! `cargo xtask test`: everything that runs.

use crate::packages;
use crate::process::{self, Outcome, cargo};

/// Packages, then the release binary, then every test against it.
pub fn run(args: &[String]) -> Outcome {
    packages::install()?;
    process::run(cargo().args(["build", "--release", "--package", "cli"]))?;
    let runner: &[&str] = if process::on_path("cargo-nextest") { &["nextest", "run"] } else { &["test"] };
    process::run(cargo().args(runner).arg("--workspace").args(args))
}
