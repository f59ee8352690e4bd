//! `berth caps get`, `set` and `rm`: the capabilities of files.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use capability::{FileCapabilities, State, supported};
use clap::Args;
use serde_json::json;
use toolbox::printable;

use crate::toolbox::{Outcome, output};

#[derive(Args)]
pub struct Get {
    /// Directories with everything below, without following links or other file systems' mounts
    #[arg(short)]
    recursive: bool,
    /// Show the root id of capabilities for a user namespace
    #[arg(short = 'n')]
    root_id: bool,
    /// Files without capabilities too
    #[arg(short)]
    verbose: bool,
    /// JSON
    #[arg(long)]
    json: bool,
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

impl Get {
    pub fn run(self) -> Outcome {
        let mut failed = false;
        let mut found = Vec::new();
        let mut visit = |path: &Path| match FileCapabilities::read(path) {
            Ok(capabilities) => self.report(path, capabilities, &mut found),
            Err(error) => {
                eprintln!("berth: {error}");
                failed = true;
                Ok(())
            }
        };
        for file in &self.files {
            if self.recursive { walk(file, &mut visit)? } else { visit(file)? }
        }
        if self.json {
            output::print_json(&found)?;
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn report(
        &self,
        path: &Path,
        capabilities: Option<FileCapabilities>,
        found: &mut Vec<serde_json::Value>,
    ) -> std::io::Result<()> {
        let name = printable(path.as_os_str().as_bytes());
        let Some(capabilities) = capabilities else {
            return if self.verbose && !self.json { output::print(&format!("{name}\n")) } else { Ok(()) };
        };
        let text = capabilities.state().to_text(supported());
        if self.json {
            found.push(json!({ "file": name, "capabilities": text, "root_id": capabilities.root_id }));
            return Ok(());
        }
        let root_id = match capabilities.root_id.filter(|_| self.root_id) {
            Some(id) => format!(" [rootid={id}]"),
            None => String::new(),
        };
        output::print(&format!("{name} {text}{root_id}\n"))
    }
}

/// Visits a file or everything below a directory, depth first, on this file system. What can't be listed is
/// said and skipped.
fn walk(top: &Path, visit: &mut impl FnMut(&Path) -> std::io::Result<()>) -> std::io::Result<()> {
    let device = |path: &Path| rustix::fs::lstat(path).map(|stat| stat.st_dev).ok();
    let home = device(top);
    let mut stack = vec![top.to_owned()];
    while let Some(path) = stack.pop() {
        let is_directory = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        if !is_directory {
            visit(&path)?;
        } else if device(&path) == home {
            match std::fs::read_dir(&path) {
                Ok(entries) => stack.extend(entries.flatten().map(|entry| entry.path())),
                Err(error) => eprintln!("berth: list {}: {error}", path.display()),
            }
        }
    }
    Ok(())
}

#[derive(Args)]
pub struct Set {
    /// For user namespaces whose root is this id
    #[arg(short = 'n', value_name = "ROOTID")]
    root_id: Option<u32>,
    /// Change nothing: fail unless the files have just these
    #[arg(short = 'v')]
    verify: bool,
    /// Take all capabilities away
    #[arg(short, conflicts_with_all = ["root_id", "verify"])]
    remove: bool,
    /// Say nothing
    #[arg(short)]
    quiet: bool,
    /// Capabilities in libcap's text form (- for standard input), and files; with -r only files
    #[arg(required = true, value_name = "CAPABILITIES FILE")]
    words: Vec<std::ffi::OsString>,
}

impl Set {
    pub fn run(self) -> Outcome {
        if self.remove {
            return remove(&self.words);
        }
        let [text, files @ ..] = self.words.as_slice() else { return Ok(ExitCode::FAILURE) };
        if files.is_empty() {
            return Err("no file: caps set CAPABILITIES FILE...".into());
        }
        let capabilities = FileCapabilities::from_state(state(text)?, self.root_id)?;
        let mut same = true;
        for file in files {
            let path = Path::new(file);
            if !self.verify {
                capabilities.write(path)?;
                continue;
            }
            let actual = FileCapabilities::read(path)?;
            if actual == Some(capabilities) {
                if !self.quiet {
                    output::print(&format!("{}: OK\n", path.display()))?;
                }
            } else {
                let text = actual.map_or("none".to_owned(), |actual| actual.state().to_text(supported()));
                eprintln!("berth: {} has {text}", path.display());
                same = false;
            }
        }
        Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn state(text: &OsStr) -> Result<State, Box<dyn std::error::Error>> {
    let mut read = String::new();
    let text = match text.to_str() {
        Some("-") => {
            std::io::stdin().read_to_string(&mut read)?;
            &read
        }
        Some(text) => text,
        None => return Err("the capabilities are not UTF-8".into()),
    };
    Ok(State::parse(text, supported())?)
}

#[derive(Args)]
pub struct Rm {
    #[arg(required = true)]
    files: Vec<std::ffi::OsString>,
}

impl Rm {
    pub fn run(self) -> Outcome {
        remove(&self.files)
    }
}

fn remove(files: &[std::ffi::OsString]) -> Outcome {
    let mut all = true;
    for file in files {
        if !FileCapabilities::remove(Path::new(file))? {
            eprintln!("berth: {} has no capabilities", Path::new(file).display());
            all = false;
        }
    }
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
