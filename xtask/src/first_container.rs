//! `cargo xtask try`: a first container, of an image that is built into berth.

use std::fs;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::Command;

use crate::berth::{self, Profile};
use crate::process::{Context, Failure, Outcome};

/// Builds berth and runs `hello`, which reports what isolates it; or a command among this host's own programs.
pub fn run(args: &[String]) -> Outcome {
    let berth = berth::build(Profile::Release)?;
    let root = Root(std::env::temp_dir().join(format!("berth-try-{}", std::process::id())));
    fs::create_dir(&root.0).context(root.0.display())?;
    let mut run = Command::new(&berth);
    run.arg("--root").arg(&root.0).args(["run", "--rm", "--network", "none", "--hostname", "berth"]);
    match args.is_empty() {
        true => run.arg("hello"),
        false if std::io::stdin().is_terminal() => run.args(["-it", "host"]),
        false => run.args(["-i", "host"]),
    };
    let status = run.args(args).status().context("berth run")?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("berth run: {status}"))) }
}

/// Where berth keeps its state meanwhile; nothing of it is mounted, but in containers.
struct Root(PathBuf);

impl Drop for Root {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("remove {}: {error}", self.0.display());
        }
    }
}
