//! Programs that call an OCI runtime in earnest: containerd, dockerd, podman.
//!
//! They are ordinary tests, in `crates/cli/tests/callers.rs`; here they take any runtime.

use super::Request;
use crate::process::{self, Outcome, cargo};
use crate::{berth, packages};

/// Runs them all, or those that were asked for.
pub fn run(request: &Request) -> Outcome {
    packages::install()?;
    let mut command = cargo();
    command.args(["test", "--package", "cli", "--test", "callers", "--"]).args(&request.filter);
    match &request.runtime {
        Some(runtime) => command.env("CALLERS_RUNTIME", runtime),
        None => command.env("BERTH_BIN", berth::build(berth::Profile::Release)?),
    };
    process::run(&mut command)
}
