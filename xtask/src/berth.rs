//! The berth binary.

use std::path::PathBuf;

use serde_json::Value;

use crate::process::{self, Failure, Outcome, cargo};

/// How it is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Quickly.
    Dev,
    /// As it is released.
    Release,
}

/// Builds it, unless `$BERTH_BIN` names one, and says where it lies.
pub fn build(profile: Profile) -> Outcome<PathBuf> {
    if let Some(path) = std::env::var_os("BERTH_BIN") {
        return Ok(path.into());
    }
    let mut command = cargo();
    command.args(["build", "--package", "cli", "--bin", "berth", "--message-format=json-render-diagnostics"]);
    if profile == Profile::Release {
        command.arg("--release");
    }
    let messages = process::read(&mut command)?;
    let built = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    built.ok_or_else(|| Failure::new("cargo says nothing of a berth that it built"))
}
