//! `berth version`

use std::process::ExitCode;

use clap::Args;
use oci::image::Platform;
use serde_json::{Value, json};

use super::Outcome;
use super::context::Context;
use super::output::{format, print};

#[derive(Args)]
pub struct Version {
    /// A Go template, or `json`
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
}

impl Version {
    pub fn run(self, _: &Context) -> Outcome {
        let version = describe();
        let text = match &self.format {
            Some(template) => format::one(template, &version)?,
            None => shown(&version),
        };
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// There is no server: what Docker's clients look for in it is the same binary.
fn describe() -> Value {
    let platform = Platform::host();
    let version = env!("CARGO_PKG_VERSION");
    let uname = rustix::system::uname();
    json!({
        "Client": {
            "Version": version,
            "Os": platform.os,
            "Arch": platform.architecture,
        },
        "Server": {
            "Platform": { "Name": "berth, without a daemon" },
            "Version": version,
            "Os": platform.os,
            "Arch": platform.architecture,
            "KernelVersion": uname.release().to_string_lossy(),
            "Components": [
                { "Name": "Engine", "Version": version },
                { "Name": "OCI runtime", "Version": version, "Details": { "Specification": oci::spec::VERSION } },
            ],
        },
    })
}

fn shown(version: &Value) -> String {
    let text =
        |pointer: &str| version.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    format!(
        "berth:\n Version:       {}\n OS/Arch:       {}/{}\n OCI runtime:   built in, specification {}\n Kernel:        {}\n",
        text("/Client/Version"),
        text("/Client/Os"),
        text("/Client/Arch"),
        oci::spec::VERSION,
        text("/Server/KernelVersion"),
    )
}
