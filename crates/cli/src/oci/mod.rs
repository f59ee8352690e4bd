//! The OCI runtime's command line: runc's commands, flags, output and exit codes.

mod console;
mod events;
mod exec;
mod features;
mod launch;
mod lifecycle;
mod list;
mod log;
mod notify;
mod parse;
mod ps;
mod signal;
mod spec;
mod state;
mod supervise;
mod update;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use ::oci::ContainerId;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use runtime::{Container, Failure, StateRoot};

/// Open Container Initiative runtime: creates and runs containers from bundles
#[derive(Parser)]
#[command(
    name = "berth-oci",
    disable_version_flag = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that stand before the command.
#[derive(Args, Debug)]
struct Global {
    /// Directory for the state of containers [default: /run/berth-oci, or $XDG_RUNTIME_DIR/berth-oci]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Write errors and warnings to this file too
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Form of the log's lines
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: log::Format,
    /// Log more
    #[arg(long)]
    debug: bool,
    /// Let systemd make cgroups; cgroupsPath is then SLICE:PREFIX:NAME
    #[arg(long)]
    systemd_cgroup: bool,
    /// Whether to expect that privileges on the host are missing
    #[arg(long, value_name = "WHEN", default_value = "auto", num_args = 0..=1, default_missing_value = "true")]
    rootless: Rootless,
    /// Path of criu; accepted for old callers, without effect
    #[arg(long, hide = true, value_name = "PATH")]
    criu: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Rootless {
    Auto,
    True,
    False,
}

#[derive(Subcommand)]
enum Command {
    /// Not available yet
    Checkpoint(Unavailable),
    /// Create a container; its program waits for start
    Create(Box<launch::Create>),
    /// Delete what a container holds
    Delete(lifecycle::Delete),
    /// Show out-of-memory events and statistics
    Events(events::Events),
    /// Run another process in a container
    Exec(Box<exec::Exec>),
    /// Show what this runtime can do, as JSON
    Features,
    /// Send a signal to a container's first process
    Kill(lifecycle::Kill),
    /// List containers
    List(list::List),
    /// Freeze all processes of a container
    Pause(lifecycle::Target),
    /// List the processes of a container
    Ps(ps::Ps),
    /// Not available yet
    Restore(Unavailable),
    /// Let frozen processes go on
    Resume(lifecycle::Target),
    /// Create and start a container
    Run(Box<launch::Run>),
    /// Write a configuration to start from
    Spec(spec::SpecCommand),
    /// Start the program of a created container
    Start(lifecycle::Target),
    /// Show the state of a container, as JSON
    State(lifecycle::Target),
    /// Change the limits of a container
    Update(Box<update::Update>),
}

#[cfg(test)]
impl Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Checkpoint(_) => "checkpoint",
            Self::Create(_) => "create",
            Self::Delete(_) => "delete",
            Self::Events(_) => "events",
            Self::Exec(_) => "exec",
            Self::Features => "features",
            Self::Kill(_) => "kill",
            Self::List(_) => "list",
            Self::Pause(_) => "pause",
            Self::Ps(_) => "ps",
            Self::Restore(_) => "restore",
            Self::Resume(_) => "resume",
            Self::Run(_) => "run",
            Self::Spec(_) => "spec",
            Self::Start(_) => "start",
            Self::State(_) => "state",
            Self::Update(_) => "update",
        }
    }
}

/// Anything, which is not looked at.
#[derive(Args)]
struct Unavailable {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

/// What a command ends with: an exit code, or a failure that is printed and exits with 1.
type Outcome = Result<u8, Failure>;

/// `berth oci`, as a command among others.
pub fn command() -> clap::Command {
    Cli::command().name("oci")
}

/// Runs the OCI runtime.
pub fn main(args: Vec<OsString>) -> ExitCode {
    if args.len() == 2 && (args[1] == "--version" || args[1] == "-v") {
        let (name, version) = (parse::called(&args), env!("CARGO_PKG_VERSION"));
        println!("{name} version {version}\ncommit: berth v{version}\nspec: {}", ::oci::spec::VERSION);
        return ExitCode::SUCCESS;
    }
    let called = parse::called(&args);
    // Before anything is opened, for what makes a container or enters one starts again from a copy of this binary.
    let makes = |arg: &OsString| arg == "create" || arg == "run" || arg == "exec";
    let left = if args.iter().any(makes) { runtime::leave_host_binary(None) } else { Ok(()) };
    let Cli { global, command } = match parse::parse(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            if let Some(topic) = parse::unknown_command(&error) {
                eprintln!("No help topic for '{topic}'");
            }
            // runc exits with 1 for wrong flags, and so do its callers expect it.
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    let log = match log::Log::open(global.log.as_deref(), global.log_format, global.debug) {
        Ok(log) => log,
        Err(failure) => {
            eprintln!("berth-oci: {failure}");
            return ExitCode::FAILURE;
        }
    };
    if matches!(command, Command::Create(_) | Command::Run(_) | Command::Exec(_)) {
        // Of arguments, which are read once.
        sys::memory::forget_code();
    }
    // Others are the program's own, and a failed exec must be told from a program that failed.
    let failed = if matches!(command, Command::Exec(_)) { 255 } else { 1 };
    let making = match command {
        Command::Create(_) => Some("create"),
        Command::Run(_) => Some("run"),
        _ => None,
    };
    match run(&global, &log, command, left) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            let words = making.filter(|_| called == "runc").map(|command| runc_words(command, &failure));
            log.error(&format!("{}{failure}", words.unwrap_or_default()));
            ExitCode::from(failed)
        }
    }
}

/// What comes before the cause in runc's errors. Under its name so do ours, for scripts that look for it.
fn runc_words(command: &str, failure: &Failure) -> String {
    let place =
        if failure.of_init { "unable to start container process: error during container init: " } else { "" };
    format!("runc {command} failed: {place}")
}

fn run(global: &Global, log: &log::Log, command: Command, left: Result<(), Failure>) -> Outcome {
    if matches!(command, Command::Create(_) | Command::Run(_) | Command::Exec(_)) {
        left?;
    }
    match command {
        Command::Checkpoint(Unavailable { arguments }) => unavailable("checkpoint", &arguments),
        Command::Restore(Unavailable { arguments }) => unavailable("restore", &arguments),
        Command::Create(create) => create.run(global, log),
        Command::Run(run) => run.run(global, log),
        Command::Exec(exec) => exec.run(global, log),
        Command::Delete(delete) => delete.run(global),
        Command::Kill(kill) => kill.run(global),
        Command::Start(target) => lifecycle::start(&target, global),
        Command::Pause(target) => target.open(global)?.pause().map(|()| 0),
        Command::Resume(target) => target.open(global)?.resume().map(|()| 0),
        Command::State(target) => state::show(&target.open(global)?),
        Command::List(list) => list.run(global),
        Command::Ps(ps) => ps.run(global),
        Command::Events(events) => events.run(global),
        Command::Update(update) => update.run(global),
        Command::Spec(spec) => spec.run(),
        Command::Features => features::show(),
    }
}

fn unavailable(command: &str, _arguments: &[OsString]) -> Outcome {
    Err(Failure::because(command, "", "checkpoint and restore are not available in this version of berth"))
}

impl Global {
    fn state_root(&self) -> StateRoot {
        if let Some(root) = &self.root {
            return StateRoot::new(root);
        }
        match std::env::var_os("XDG_RUNTIME_DIR") {
            Some(dir) if self.is_rootless() && !dir.is_empty() => {
                StateRoot::new(PathBuf::from(dir).join("berth-oci"))
            }
            _ => StateRoot::new("/run/berth-oci"),
        }
    }

    fn is_rootless(&self) -> bool {
        match self.rootless {
            Rootless::True => true,
            Rootless::False => false,
            Rootless::Auto => !rustix::process::geteuid().is_root(),
        }
    }

    fn cgroup_driver(&self) -> cgroup::Driver {
        if self.systemd_cgroup { cgroup::Driver::Systemd } else { cgroup::Driver::Cgroupfs }
    }

    fn open(&self, id: &str) -> Result<Container, Failure> {
        Container::open(&self.state_root(), &container_id(id)?)
    }
}

fn container_id(text: &str) -> Result<ContainerId, Failure> {
    ContainerId::new(text).map_err(|error| Failure::because("use", format!("container id {text:?}"), error))
}

/// Prints a value as runc prints JSON: two spaces of indentation, no newline after lists of its own.
fn print_json(value: &impl serde::Serialize) -> Outcome {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::because("encode", "JSON", error))?;
    println!("{text}");
    Ok(0)
}
