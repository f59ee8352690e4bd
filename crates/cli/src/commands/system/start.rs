//! `berth system start`

use std::process::ExitCode;

use clap::Args;

use crate::commands::container::foreground::await_start;
use crate::commands::context::Context;
use crate::commands::output::print;
use crate::commands::{Outcome, told};

#[derive(Args)]
pub struct Start {}

impl Start {
    pub fn run(self, context: &Context) -> Outcome {
        let mut status = ExitCode::SUCCESS;
        for (name, started) in context.engine()?.boot()? {
            match started.map_err(Into::into).and_then(await_start) {
                Ok(()) => print(&format!("{name}\n"))?,
                Err(error) => {
                    eprintln!("berth: {name}: {}", told(error.as_ref()));
                    status = ExitCode::FAILURE;
                }
            }
        }
        Ok(status)
    }
}
