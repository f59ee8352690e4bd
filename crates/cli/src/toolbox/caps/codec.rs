//! `berth caps decode`, `encode` and `why`.

use std::process::ExitCode;

use capability::{CapSet, Capability, supported};
use clap::Args;
use serde_json::json;
use toolbox::caps::catalogue::Explanation;
use toolbox::caps::list;

use crate::toolbox::{Outcome, output};

#[derive(Args)]
pub struct Decode {
    /// JSON
    #[arg(long)]
    json: bool,
    /// Hexadecimal digits, as in /proc/PID/status
    #[arg(required = true)]
    masks: Vec<String>,
}

impl Decode {
    pub fn run(self) -> Outcome {
        for mask in &self.masks {
            let set = CapSet::from_hex(mask)?;
            if self.json {
                let names: Vec<_> = set.iter().map(|capability| capability.to_string()).collect();
                output::print_json(&json!({ "mask": format!("{set:x}"), "capabilities": names }))?;
            } else {
                output::print(&format!("0x{set:x}={set}\n"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Args)]
pub struct Encode {
    /// Names with commas or spaces between; all; -NAME takes one out again
    #[arg(required = true, allow_hyphen_values = true)]
    names: Vec<String>,
}

impl Encode {
    pub fn run(self) -> Outcome {
        let set = list::parse(&self.names.join(","), CapSet::EMPTY, supported())?;
        output::print(&format!("{set:x}\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Args)]
pub struct Why {
    /// JSON
    #[arg(long)]
    json: bool,
    /// A name or number
    capability: Capability,
}

impl Why {
    pub fn run(self) -> Outcome {
        let explanation = Explanation::of(self.capability)
            .ok_or_else(|| format!("nothing is known about capability {}", self.capability))?;
        output::answer(self.json, &explanation, || explanation.text())
    }
}
