//! `cargo xtask faults`, `escapes`, `soak`: what berth claims, tried by crate `proof`.

use std::path::PathBuf;
use std::process::Command;

use crate::berth::{self, Profile};
use crate::packages;
use crate::process::{self, Failure, Outcome, cargo};

/// Faults at every system call; docs/faults.md.
pub fn faults(args: &[String]) -> Outcome {
    run("faults", args)
}

/// What a container's program reaches; docs/escapes.md.
pub fn escapes(args: &[String]) -> Outcome {
    run("escapes", args)
}

/// Any commands, many at once.
pub fn soak(args: &[String]) -> Outcome {
    run("soak", args)
}

fn run(suite: &str, args: &[String]) -> Outcome {
    packages::install()?;
    let berth = berth::build(Profile::Release)?;
    let mut proof = Command::new(program()?);
    process::run(proof.arg(suite).arg("--berth").arg(berth).args(args))
}

/// Builds the program that tries.
fn program() -> Outcome<PathBuf> {
    process::run(cargo().args(["build", "--quiet", "--release", "--package", "proof"]))?;
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let built = process::target_dir().join(host).join("release/proof");
    if built.is_file() { Ok(built) } else { Err(Failure::new(format!("{} is not built", built.display()))) }
}
