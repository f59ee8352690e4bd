//! `berth volume backup` and `restore`

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::commands::Outcome;
use crate::commands::context::Context;

#[derive(Args)]
pub struct Backup {
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The volume's name
    volume: String,
}

impl Backup {
    pub fn run(self, context: &Context) -> Outcome {
        let volumes = context.volumes();
        match &self.output {
            Some(path) => {
                let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
                volumes.get(&self.volume)?;
                let mut file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(failed)?);
                volumes.backup(&self.volume, &mut file)?;
                file.flush().map_err(failed)?;
            }
            None if stdout().is_terminal() => {
                return Err("an archive is no text for a terminal: use -o, or redirect".into());
            }
            None => volumes.backup(&self.volume, BufWriter::with_capacity(1 << 20, stdout().lock()))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Args)]
pub struct Restore {
    /// Read this file instead of standard input
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// The volume's name; it is made where it is missing
    volume: String,
}

impl Restore {
    pub fn run(self, context: &Context) -> Outcome {
        let volumes = context.volumes();
        match &self.input {
            Some(path) => {
                let file =
                    File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
                volumes.restore(&self.volume, file)?;
            }
            None if stdin().is_terminal() => {
                return Err("an archive is not typed in: use -i, or redirect".into());
            }
            None => volumes.restore(&self.volume, stdin())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
