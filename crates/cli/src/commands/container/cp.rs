//! `berth cp`

use std::io::{IsTerminal, stdin, stdout};
use std::process::ExitCode;

use clap::Args;
use engine::{CopyOptions, Side};

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::units;

#[derive(Args)]
pub struct Cp {
    /// Owners are those of the source
    #[arg(short, long)]
    archive: bool,
    /// Follow a symbolic link that is the source
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Don't tell how much was copied
    #[arg(short, long)]
    quiet: bool,
    /// CONTAINER:PATH, a path, or - for a tar archive on standard input
    source: String,
    /// CONTAINER:PATH, a path, or - for a tar archive on standard output
    destination: String,
}

impl Cp {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let options = CopyOptions { archive: self.archive, follow_link: self.follow_link };
        let copied = match (Side::parse(&self.source), Side::parse(&self.destination)) {
            (Side::Container { .. }, Side::Container { .. }) => {
                return Err("copying between containers is not supported".into());
            }
            (Side::Container { name, path }, Side::Stream) => {
                if stdout().is_terminal() {
                    return Err("an archive is no text for a terminal: redirect it".into());
                }
                engine.archive_of(&engine.find(&name)?, &path, self.follow_link, stdout())?;
                return Ok(ExitCode::SUCCESS);
            }
            (Side::Container { name, path }, Side::Local(to)) => {
                engine.copy_from(&engine.find(&name)?, &path, &to, options)?
            }
            (Side::Stream, Side::Container { name, path }) => {
                engine.extract_to(&engine.find(&name)?, &path, stdin(), false)?;
                return Ok(ExitCode::SUCCESS);
            }
            (Side::Local(from), Side::Container { name, path }) => {
                engine.copy_to(&engine.find(&name)?, &from, &path, options)?
            }
            _ => return Err("must specify at least one container source".into()),
        };
        if !self.quiet {
            eprintln!("Successfully copied {} to {}", units::size(copied, 3), self.destination);
        }
        Ok(ExitCode::SUCCESS)
    }
}
