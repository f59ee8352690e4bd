//! `berth completion` and `berth man`: what shells and man(1) know of the commands.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use super::Outcome;
use super::context::Context;
use super::output::print;

#[derive(Args)]
pub struct Completion {
    /// bash, zsh or fish
    shell: Shell,
}

impl Completion {
    pub fn run(self, _: &Context) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::whole_tree(), "berth", &mut script);
        print(&String::from_utf8(script)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Args)]
pub struct Man {
    /// Where the pages are written, as man1/berth-run.1
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Man {
    pub fn run(self, _: &Context) -> Outcome {
        let pages = self.directory.join("man1");
        let failed = |error: io::Error| format!("cannot write pages to {}: {error}", pages.display());
        fs::create_dir_all(&pages).map_err(failed)?;
        let count = write(crate::whole_tree(), &["berth"], &pages).map_err(failed)?;
        print(&format!("{count} pages in {}\n", pages.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes the page of the command that `words` lead to and of all below it, and says how many they are.
fn write(command: clap::Command, words: &[&str], directory: &Path) -> io::Result<usize> {
    let below: Vec<clap::Command> =
        command.get_subcommands().filter(|command| command.get_name() != "help").cloned().collect();
    let name = words.join("-");
    let mut page = Vec::new();
    let command = command.display_name(name.as_str()).bin_name(words.join(" "));
    clap_mangen::Man::new(command).render(&mut page)?;
    fs::write(directory.join(format!("{name}.1")), page)?;
    let mut count = 1;
    for command in below {
        let word = command.get_name().to_owned();
        count += write(command, &[words, &[&word]].concat(), directory)?;
    }
    Ok(count)
}
