//! `berth cgroup`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use rustix::process::Pid;
use toolbox::cgroups::{Membership, directories, show::Usage, tree::Node};
use toolbox::containers;
use toolbox::process;

use super::target::Target;
use super::{Outcome, output};

#[derive(Subcommand)]
pub enum Command {
    /// Show what the cgroups of a process use, what limits them, and how much they wait
    Show(Show),
    /// Draw a cgroup, those below it, and their processes
    Tree(Tree),
}

#[derive(Args)]
pub struct Show {
    #[command(flatten)]
    target: Target,
}

#[derive(Args)]
pub struct Tree {
    /// The hierarchy of this controller, where there is one for each (version 1)
    #[arg(short, long, value_name = "NAME")]
    controller: Option<String>,
    /// Cgroups without processes too
    #[arg(short, long)]
    all: bool,
    /// JSON
    #[arg(long)]
    json: bool,
    /// A process id, a container, or the directory of a cgroup; the whole hierarchy unless given
    target: Option<String>,
}

impl Command {
    pub fn run(self) -> Outcome {
        match self {
            Self::Show(arguments) => arguments.run(),
            Self::Tree(arguments) => arguments.run(),
        }
    }
}

impl Show {
    fn run(self) -> Outcome {
        let usage = Usage::of_process(self.target.pid()?)?;
        output::answer(self.target.json, &usage, || usage.text())
    }
}

impl Tree {
    fn run(self) -> Outcome {
        let directory = match self.target.as_deref() {
            Some(path) if path.starts_with('/') => PathBuf::from(path),
            Some(target) => self.membership(containers::resolve(target)?)?.directory,
            None => {
                let own = self.membership(rustix::process::getpid())?;
                let below = Path::new(&own.path).components().filter(|part| part.as_os_str() != "/").count();
                own.directory.ancestors().nth(below).unwrap_or(&own.directory).to_owned()
            }
        };
        let tree =
            Node::read(&directory).map_err(|error| format!("list {}: {error}", directory.display()))?;
        if self.json {
            output::print_json(&tree)?;
        } else {
            output::print_table(&tree.text(self.all))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The process's cgroup in the hierarchy asked for, else where systemd sorts processes, else in version 2.
    fn membership(&self, pid: Pid) -> Result<Membership, Box<dyn std::error::Error>> {
        let memberships = directories(&String::from_utf8_lossy(&process::read_file(pid, "cgroup")?))?;
        let with = |name: &str| {
            memberships.iter().find(|membership| membership.controllers.iter().any(|own| own == name))
        };
        let found = match self.controller.as_deref() {
            Some(name) => with(name),
            None => with("name=systemd").or(memberships.iter().find(|membership| membership.is_unified())),
        };
        let what = self.controller.as_deref().unwrap_or("cgroup");
        Ok(found.cloned().ok_or_else(|| format!("no {what} hierarchy is mounted here for process {pid}"))?)
    }
}
