//! The berth binary as it is released.

use std::path::PathBuf;

use serde_json::Value;

use crate::process::{self, Context, Failure, Outcome, cargo};

/// Builds it, unless `$BERTH_BIN` names one, and says where it lies.
pub fn build() -> Outcome<PathBuf> {
    if let Some(path) = std::env::var_os("BERTH_BIN") {
        return Ok(path.into());
    }
    let build = ["build", "--release", "--package", "cli", "--bin", "berth"];
    let messages = process::read(cargo().args(build).arg("--message-format=json-render-diagnostics"))?;
    let built = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    built.ok_or_else(|| Failure::new("cargo built no berth")).context("build berth")
}
