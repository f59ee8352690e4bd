//! `berth exec`

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Arg;
use engine::{Error, ExecConfig, ExecEnding};
use monitor::stdio::Size;

use super::env;
use super::foreground::{check_terminal, detach_keys};
use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::entry::Failed;
use crate::commands::flags::{self, Flag, Section, Usage};

/// What a command line asks for.
#[derive(Debug, Default)]
struct Request {
    config: ExecConfig,
    env: Vec<String>,
    env_files: Vec<String>,
    root: Option<PathBuf>,
}

type ExecFlag = Flag<Request>;

const FLAGS: &[Section<Request>] = &[Section {
    heading: "Options",
    flags: &[
        ExecFlag::switch("detach", "Run in the background", |request, on| request.config.detach = on)
            .short('d'),
        ExecFlag::value(
            "detach-keys",
            "KEYS",
            "The keys that detach from a terminal [default: ctrl-p,ctrl-q]",
            |request, value| {
                value.clone_into(&mut request.config.detach_keys);
                Ok(())
            },
        ),
        ExecFlag::value(
            "env",
            "NAME[=VALUE]",
            "Set a variable; without value it is taken from here",
            |request, value| {
                env::check_variable(value)?;
                request.env.push(value.to_owned());
                Ok(())
            },
        )
        .short('e'),
        ExecFlag::value("env-file", "FILE", "Read variables from a file, one a line", |request, value| {
            request.env_files.push(value.to_owned());
            Ok(())
        }),
        ExecFlag::switch("interactive", "Give it our standard input", |request, on| {
            request.config.attach_stdin = on;
        })
        .short('i'),
        ExecFlag::switch("privileged", "Give it all capabilities", |request, on| {
            request.config.privileged = on;
        }),
        ExecFlag::switch("tty", "Give it a terminal", |request, on| request.config.tty = on).short('t'),
        ExecFlag::value("user", "USER[:GROUP]", "Run as this user, by name or number", |request, value| {
            value.clone_into(&mut request.config.user);
            Ok(())
        })
        .short('u'),
        ExecFlag::value("workdir", "DIR", "The working directory", |request, value| {
            value.clone_into(&mut request.config.working_dir);
            Ok(())
        })
        .short('w'),
        ExecFlag::value("root", "DIR", "Where images and containers are kept", |request, value| {
            request.root = Some(value.into());
            Ok(())
        }),
    ],
}];

/// The flags of `exec`, for help.
pub fn flags(command: clap::Command) -> clap::Command {
    command
        .args(flags::args(FLAGS))
        .arg(Arg::new("container").value_name("CONTAINER").required(true).help("Name or id"))
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .num_args(1..)
                .required(true)
                .help("The program, with its arguments"),
        )
}

pub fn run(words: &[OsString], context: &mut Context) -> Outcome {
    let mut request = Request::default();
    let operands = flags::parse(FLAGS, words, &mut request)?;
    let [name, command @ ..] = operands else { return Err(missing("a container").into()) };
    if command.is_empty() {
        return Err(missing("a command").into());
    }
    if let Some(root) = request.root.take() {
        context.set_root(root);
    }
    let mut config = request.config;
    config.cmd = command.iter().map(|word| flags::utf8(word).map(str::to_owned)).collect::<Result<_, _>>()?;
    config.env = env::variables(&request.env_files, &request.env, env::of_client).map_err(Usage::Wrong)?;
    if config.detach {
        config.attach_stdin = false;
    }
    check_terminal(config.attach_stdin, config.tty)?;
    detach_keys(Some(&config.detach_keys))?;
    if let Some(size) = Size::of(rustix::stdio::stdin()).filter(|_| config.tty) {
        config.console_size = [size.rows.into(), size.cols.into()];
    }
    let engine = context.engine()?;
    let container = engine.find(flags::utf8(name)?)?;
    match engine.exec(&container, &config) {
        Ok(ExecEnding::Exited(code)) => Ok(ExitCode::from(code)),
        Ok(ExecEnding::Detached(_)) => {
            if !config.detach {
                eprintln!("read escape sequence");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ Error::Start { .. }) => {
            Err(Failed { status: error.exit_code(), error: error.into() }.into())
        }
        Err(error) => Err(error.into()),
    }
}

fn missing(what: &str) -> Usage {
    Usage::Wrong(format!("{what} is missing: at least 2 arguments are required"))
}
