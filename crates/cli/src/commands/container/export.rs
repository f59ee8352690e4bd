//! `berth export`

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::commands::Outcome;
use crate::commands::context::Context;

#[derive(Args)]
pub struct Export {
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Name or id
    container: String,
}

impl Export {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let container = engine.find(&self.container)?;
        match &self.output {
            Some(path) => {
                let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
                let mut file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(failed)?);
                engine.export(&container, &mut file)?;
                file.flush().map_err(failed)?;
            }
            None if stdout().is_terminal() => {
                return Err("an archive is no text for a terminal: use -o, or redirect".into());
            }
            None => engine.export(&container, BufWriter::with_capacity(1 << 20, stdout().lock()))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
