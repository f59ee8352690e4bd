//! `berth seccomp`.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use capability::{CapSet, supported};
use clap::{Args, Subcommand};
use seccomp::{Architecture, Program, disassemble};
use toolbox::caps::list;
use toolbox::containers;
use toolbox::seccomp::{profile, show, test};

use super::{Outcome, output};

#[derive(Subcommand)]
pub enum Command {
    /// Show the filters that a process is under
    Show(Show),
    /// Say what a system call would get from a profile or for a process
    Test(Test),
    /// Compile a profile and list the program
    Compile(Compile),
}

impl Command {
    pub fn run(self) -> Outcome {
        match self {
            Self::Show(arguments) => arguments.run(),
            Self::Test(arguments) => arguments.run(),
            Self::Compile(arguments) => arguments.run(),
        }
    }
}

#[derive(Args)]
pub struct Show {
    /// List the programs too; the process stands still for a moment
    #[arg(short, long)]
    list: bool,
    /// JSON, without the programs
    #[arg(long, conflicts_with = "list")]
    json: bool,
    /// A process id or a container
    target: String,
}

impl Show {
    fn run(self) -> Outcome {
        let pid = containers::resolve(&self.target)?;
        let confinement = show::Confinement::of_process(pid)?;
        if self.json {
            output::print_json(&confinement)?;
            return Ok(ExitCode::SUCCESS);
        }
        output::print(&confinement.text())?;
        if self.list {
            let filters = show::filters(pid)?;
            for (number, program) in show::programs(&filters).iter().enumerate() {
                let listing = match program {
                    Some(program) => disassemble(program, profile::native()?.byte_order()),
                    None => format!(
                        "{} bytes that are no program of the documented form\n",
                        filters[number].len()
                    ),
                };
                output::print(&format!("\nfilter {number}\n{listing}"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Args)]
pub struct Test {
    /// The capabilities of the container that the built-in profile is for
    #[arg(long, value_name = "LIST", default_value = "none")]
    caps: String,
    /// The architecture of the call, as SCMP_ARCH_X86
    #[arg(long, value_name = "NAME")]
    arch: Option<String>,
    /// JSON
    #[arg(long)]
    json: bool,
    /// A profile (a file, or default), a process id or a container
    profile: String,
    /// A system call by name or number
    call: String,
    /// Its arguments as numbers
    #[arg(allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Test {
    fn run(self) -> Outcome {
        let architecture = match &self.arch {
            Some(name) => Architecture::from_name(name)
                .ok_or_else(|| format!("unknown architecture \"{}\"", name.escape_debug()))?,
            None => profile::native()?,
        };
        let call = test::call(architecture, &self.call, &self.arguments)?;
        let answer = test::answer(&self.programs()?, &call);
        output::answer(self.json, &answer, || {
            format!("{} → {} ({} instructions)\n", answer.call, answer.action, answer.steps)
        })
    }

    fn programs(&self) -> Result<Vec<Program>, Box<dyn Error>> {
        let file = Path::new(&self.profile);
        if self.profile == "default" || file.is_file() {
            let capabilities = capabilities(&self.caps)?;
            return Ok(vec![profile::compile(file, capabilities)?.program().clone()]);
        }
        let pid = containers::resolve(&self.profile)
            .map_err(|_| format!("\"{}\" is no file, process or container", self.profile.escape_debug()))?;
        let programs: Option<Vec<_>> = show::programs(&show::filters(pid)?).into_iter().collect();
        programs.ok_or_else(|| format!("process {pid} is under a filter of another form").into())
    }
}

#[derive(Args)]
pub struct Compile {
    /// The capabilities of the container that the built-in profile is for
    #[arg(long, value_name = "LIST", default_value = "none")]
    caps: String,
    /// Write the program to this file, as bubblewrap and seccomp_export_bpf(3) have it, in place of a listing
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A profile in OCI's or Docker's form, a config.json, or default
    profile: PathBuf,
}

impl Compile {
    fn run(self) -> Outcome {
        let filter = profile::compile(&self.profile, capabilities(&self.caps)?)?;
        match &self.output {
            None => output::print(&disassemble(filter.program(), profile::native()?.byte_order()))?,
            Some(path) => std::fs::File::create(path)
                .and_then(|mut file| file.write_all(&filter.program().to_bytes()))
                .map_err(|error| format!("write {}: {error}", path.display()))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn capabilities(text: &str) -> Result<CapSet, Box<dyn Error>> {
    Ok(list::parse(text, CapSet::EMPTY, supported())?)
}
