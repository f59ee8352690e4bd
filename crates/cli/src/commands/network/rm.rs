//! `berth network rm`

use std::process::ExitCode;

use clap::Args;
use network::ErrorKind;

use crate::commands::context::Context;
use crate::commands::output::print;
use crate::commands::{Outcome, told};

#[derive(Args)]
pub struct Rm {
    /// Don't mind networks that are not here
    #[arg(short, long)]
    force: bool,
    /// Names or ids
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

impl Rm {
    pub fn run(self, context: &Context) -> Outcome {
        let networks = context.engine()?.networks();
        let mut status = ExitCode::SUCCESS;
        for name in &self.networks {
            match networks.remove(name) {
                Ok(_) => print(&format!("{name}\n"))?,
                Err(error) if self.force && error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    eprintln!("berth: {}", told(&error));
                    if let Some(hint) = error.hint() {
                        eprintln!("hint: {hint}");
                    }
                    status = ExitCode::FAILURE;
                }
            }
        }
        Ok(status)
    }
}
