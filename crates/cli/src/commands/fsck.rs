//! `berth fsck`

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use image::{Platforms, Pull, Silent};
use registry::Patience;

use super::Outcome;
use super::context::Context;
use super::output::print;

#[derive(Args)]
pub struct Fsck {
    /// Mend what is wrong, by fetching again where needed
    #[arg(long)]
    repair: bool,
    /// Don't read the blobs: look at names and sizes only
    #[arg(long)]
    quick: bool,
}

impl Fsck {
    pub fn run(self, context: &Context) -> Outcome {
        let images = context.images()?;
        let report = match self.repair {
            false => images.fsck(!self.quick)?,
            true => {
                let pull = Pull {
                    images,
                    config: context.config()?,
                    policy: context.policy()?,
                    platforms: Platforms::default(),
                    discard_blobs: false,
                    patience: Patience::default(),
                    progress: Arc::new(Silent),
                };
                pull.repair(!self.quick)?
            }
        };
        for finding in &report.findings {
            let outcome = match &finding.repaired {
                Ok(true) => " (repaired)".to_owned(),
                Ok(false) => String::new(),
                Err(reason) if reason.is_empty() => " (can't be repaired)".to_owned(),
                Err(reason) => format!(" (can't be repaired: {reason})"),
            };
            print(&format!("{}{outcome}\n", finding.problem))?;
        }
        match report.is_clean() {
            true => {
                print("clean\n")?;
                Ok(ExitCode::SUCCESS)
            }
            false => Ok(ExitCode::FAILURE),
        }
    }
}
