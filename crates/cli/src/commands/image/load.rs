//! `berth load`

use std::fs::File;
use std::io::{IsTerminal, stdin};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::output::print;

#[derive(Args)]
pub struct Load {
    /// Read this archive, or the OCI layout in this directory, instead of standard input
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Print nothing
    #[arg(short, long)]
    quiet: bool,
}

impl Load {
    pub fn run(self, context: &Context) -> Outcome {
        let images = context.images()?;
        let loaded = match &self.input {
            Some(path) if path.is_dir() => images.load_directory(path)?,
            Some(path) => {
                let file =
                    File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
                images.load(&path.to_string_lossy(), file)?
            }
            None if stdin().is_terminal() => {
                return Err("no archive: use -i, or redirect standard input".into());
            }
            None => images.load("standard input", stdin())?,
        };
        if self.quiet {
            return Ok(ExitCode::SUCCESS);
        }
        for image in &loaded {
            if image.names.is_empty() {
                print(&format!("Loaded image ID: {}\n", image.id))?;
            }
            for name in &image.names {
                print(&format!("Loaded image: {}\n", name.familiar()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
