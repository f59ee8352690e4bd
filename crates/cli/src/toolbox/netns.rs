//! `berth netns`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use namespace::{Kind, NamespaceFile};
use toolbox::containers::{self, Containers};
use toolbox::launch::{self, Ending, Side};
use toolbox::netns::monitor::{self, Event};
use toolbox::netns::{exec, ls, names};

use super::{Outcome, output};

#[derive(Subcommand)]
pub enum Command {
    /// List network namespaces: with names, of containers, and nameless ones, with their links and peers
    #[command(alias = "list")]
    Ls(Ls),
    /// Run a program in a network namespace
    Exec(Exec),
    /// Make a network namespace with a name, its loopback up
    Add(Add),
    /// Give the network namespace of a process a name
    Attach(Attach),
    /// Remove a name; the namespace goes with its last process
    #[command(alias = "delete")]
    Del(Del),
    /// Say by which names the network namespace of a process is known
    Identify(Identify),
    /// List the processes in a network namespace
    Pids(Pids),
    /// Say when names appear and vanish
    Monitor,
}

impl Command {
    pub fn run(self) -> Outcome {
        match self {
            Self::Ls(arguments) => arguments.run(),
            Self::Exec(arguments) => arguments.run(),
            Self::Add(Add { name }) => Ok(names::add(&name).map(|()| ExitCode::SUCCESS)?),
            Self::Attach(Attach { name, target }) => {
                let pid = containers::resolve(&target)?;
                Ok(names::attach(&name, pid).map(|()| ExitCode::SUCCESS)?)
            }
            Self::Del(arguments) => arguments.run(),
            Self::Identify(arguments) => arguments.run(),
            Self::Pids(arguments) => arguments.run(),
            Self::Monitor => {
                monitor::watch(|event| match event {
                    Event::Added(name) => output::print(&format!("add {name}\n")),
                    Event::Deleted(name) => output::print(&format!("delete {name}\n")),
                })?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

#[derive(Args)]
pub struct Ls {
    /// JSON
    #[arg(long)]
    json: bool,
}

impl Ls {
    fn run(self) -> Outcome {
        let networks = ls::networks(&Containers::read())?;
        if self.json {
            output::print_json(&networks)?;
        } else {
            output::print_table(&ls::table(&networks).to_string())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Args)]
pub struct Exec {
    /// In every network namespace that has a name, one after the other
    #[arg(short, long)]
    all: bool,
    /// A name (unless --all), else a process id or a container; then the program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "NAME COMMAND")]
    words: Vec<OsString>,
}

impl Exec {
    fn run(self) -> Outcome {
        if self.all {
            return exec_everywhere(&self.words);
        }
        let [target, command @ ..] = self.words.as_slice() else { return Ok(ExitCode::FAILURE) };
        let (file, name) = open(target.to_str().ok_or("the name is not UTF-8")?)?;
        Err(Box::new(exec::exec(&file, name.as_deref(), command)))
    }
}

fn exec_everywhere(command: &[OsString]) -> Outcome {
    let mut all_well = true;
    for name in names::all() {
        let file = names::open(&name)?;
        output::print(&format!("netns: {name}\n"))?;
        match launch::fork()? {
            Side::Child => return Err(Box::new(exec::exec(&file, Some(&name), command))),
            Side::Parent(child) => all_well &= launch::wait(child)? == Ending::Exited(0),
        }
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The network namespace with this name, else of this process or container.
fn open(target: &str) -> Result<(NamespaceFile, Option<String>), Box<dyn std::error::Error>> {
    if names::all().iter().any(|name| name == target) {
        return Ok((names::open(target)?, Some(target.to_owned())));
    }
    let pid = containers::resolve(target).map_err(|_| {
        format!("\"{}\" is no network namespace, process or container", target.escape_debug())
    })?;
    Ok((NamespaceFile::of_process(pid, Kind::Net)?, None))
}

#[derive(Args)]
pub struct Add {
    name: String,
}

#[derive(Args)]
pub struct Attach {
    name: String,
    /// A process id or a container
    target: String,
}

#[derive(Args)]
pub struct Del {
    /// Every name
    #[arg(short, long, conflicts_with = "names")]
    all: bool,
    #[arg(required_unless_present = "all", value_name = "NAME")]
    names: Vec<String>,
}

impl Del {
    fn run(self) -> Outcome {
        let names = if self.all { names::all() } else { self.names };
        names.iter().try_for_each(|name| names::delete(name))?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Args)]
pub struct Identify {
    /// A process id or a container; berth itself unless given
    target: Option<String>,
}

impl Identify {
    fn run(self) -> Outcome {
        let pid = match self.target {
            Some(target) => containers::resolve(&target)?,
            None => rustix::process::getpid(),
        };
        for name in ls::identify(pid)? {
            output::print(&format!("{name}\n"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Args)]
pub struct Pids {
    /// A name, a process id or a container
    target: String,
}

impl Pids {
    fn run(self) -> Outcome {
        let (file, _) = open(&self.target)?;
        for pid in ls::pids(&file)? {
            output::print(&format!("{pid}\n"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
