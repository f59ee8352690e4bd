//! `cargo xtask bench`: berth beside its peers.

use crate::process::{self, Failure, Outcome, cargo};

/// Builds what is shipped, with all optimisation, and measures it.
pub fn run(args: &[String]) -> Outcome {
    let (suite, rest) = match args.split_first() {
        None => ("oci", args),
        Some((suite, rest)) => (suite.as_str(), rest),
    };
    const ALL: [&str; 4] = ["oci", "image", "engine", "network"];
    let suites: Vec<&str> = ALL.into_iter().filter(|one| [one, "all"].contains(&suite)).collect();
    if suites.is_empty() {
        let all = ALL.join(", ");
        return Err(Failure::new(format!("no benchmark is called {suite:?}: there are {all}, and all")));
    }
    let mut build = cargo();
    build.args(["build", "--profile", "dist", "--package", "cli", "--package", "bench"]);
    process::run(&mut build)?;
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let directory = process::target_dir().join(host).join("dist");
    let of_all = suites.len() > 1;
    suites.into_iter().try_for_each(|suite| {
        let mut is_file = false;
        let rest = rest.iter().map(|word| match std::mem::replace(&mut is_file, is_for_file(word)) {
            // Each suite has a file of its own.
            true if of_all => format!("{word}.{suite}"),
            _ => word.clone(),
        });
        let mut bench = std::process::Command::new(directory.join("bench"));
        bench.arg(suite).arg("--berth").arg(directory.join("berth")).args(rest);
        process::run(&mut bench)
    })
}

fn is_for_file(flag: &str) -> bool {
    ["--markdown", "--json"].contains(&flag)
}
