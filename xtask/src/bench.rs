//! `cargo xtask bench`: berth beside its peers.

use crate::process::{self, Failure, Outcome, cargo};

/// Builds what is shipped, with all optimisation, and measures it.
pub fn run(args: &[String]) -> Outcome {
    let (suite, rest) = match args.split_first() {
        None => ("oci", args),
        Some((suite, rest)) => (suite.as_str(), rest),
    };
    if !matches!(suite, "oci" | "image" | "engine") {
        return Err(Failure::new(format!(
            "no benchmark is called {suite:?}: there are oci, image and engine"
        )));
    }
    let mut build = cargo();
    build.args(["build", "--profile", "dist", "--package", "cli", "--package", "bench"]);
    process::run(&mut build)?;
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let directory = process::target_dir().join(host).join("dist");
    let mut bench = std::process::Command::new(directory.join("bench"));
    bench.arg(suite).arg("--berth").arg(directory.join("berth")).args(rest);
    process::run(&mut bench)
}
