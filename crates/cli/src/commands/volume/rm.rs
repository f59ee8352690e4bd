//! `berth volume rm`

use std::process::ExitCode;

use clap::Args;
use engine::Kind;

use super::users;
use crate::commands::context::Context;
use crate::commands::output::print;
use crate::commands::{Outcome, told};

#[derive(Args)]
pub struct Rm {
    /// Don't mind volumes that are not here
    #[arg(short, long)]
    force: bool,
    /// Names
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

impl Rm {
    pub fn run(self, context: &Context) -> Outcome {
        let (engine, volumes) = (context.engine()?, context.volumes());
        let mut status = ExitCode::SUCCESS;
        for name in &self.volumes {
            match volumes.remove(name, &|| users(&engine)) {
                Ok(()) => print(&format!("{name}\n"))?,
                Err(error) if self.force && error.kind() == Kind::NotFound => print(&format!("{name}\n"))?,
                Err(error) => {
                    eprintln!("berth: {}", told(&error));
                    status = ExitCode::FAILURE;
                }
            }
        }
        Ok(status)
    }
}
