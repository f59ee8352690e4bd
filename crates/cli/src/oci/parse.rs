//! From arguments to a command. Clap's tree of all commands takes longer to build than most commands to run: so the
//! one that is named is tried alone, and the whole is built for whoever is in need of words.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::error::{ContextKind, ContextValue, Error};
use clap::{Args, CommandFactory, FromArgMatches};

use super::{Cli, Global, events, exec, launch, lifecycle, list, ps, spec, update};

/// Flags before the command whose value is an argument of its own.
const WITH_VALUE: [&str; 4] = ["--root", "--log", "--log-format", "--criu"];

type Augment = fn(clap::Command) -> clap::Command;

/// The commands that are called often, and their flags.
const COMMANDS: [(&str, Augment); 14] = [
    ("create", launch::Create::augment_args),
    ("run", launch::Run::augment_args),
    ("exec", exec::Exec::augment_args),
    ("delete", lifecycle::Delete::augment_args),
    ("kill", lifecycle::Kill::augment_args),
    ("start", lifecycle::Target::augment_args),
    ("state", lifecycle::Target::augment_args),
    ("pause", lifecycle::Target::augment_args),
    ("resume", lifecycle::Target::augment_args),
    ("list", list::List::augment_args),
    ("ps", ps::Ps::augment_args),
    ("events", events::Events::augment_args),
    ("update", update::Update::augment_args),
    ("spec", spec::SpecCommand::augment_args),
];

/// Parses the arguments.
///
/// # Errors
/// Clap's, of the whole tree: help is one.
pub fn parse(args: Vec<OsString>) -> Result<Cli, Error> {
    let alone = alone(&args).and_then(|tree| read(tree, args.clone()).ok());
    alone.map_or_else(|| read(whole(&called(&args)), args), Ok)
}

/// What the runtime was called as: callers tell by it whose flags to use.
pub fn called(args: &[OsString]) -> String {
    let name = args.first().and_then(|arg| Path::new(arg).file_name());
    name.map_or_else(|| "berth-oci".into(), OsStr::to_string_lossy).into_owned()
}

/// The command that there is not.
pub fn unknown_command(error: &Error) -> Option<&str> {
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(name)) => Some(name),
        _ => None,
    }
}

fn read(tree: clap::Command, args: Vec<OsString>) -> Result<Cli, Error> {
    Cli::from_arg_matches(&tree.try_get_matches_from(args)?)
}

/// All commands.
fn whole(called: &str) -> clap::Command {
    let tree = Cli::command().bin_name(called).help_template(help(called));
    tree.mut_subcommands(|command| {
        let template = help(&format!("{called} {}", command.get_name()));
        command.help_template(template)
    })
}

/// Help as runc's callers read it: the first lines name the command.
fn help(name: &str) -> String {
    format!("NAME:\n   {name} - {{about}}\n\nUSAGE:\n   {{usage}}\n\n{{all-args}}")
}

/// The tree of the one command that `args` name.
fn alone(args: &[OsString]) -> Option<clap::Command> {
    let called = named(args)?;
    let (name, flags) = COMMANDS.into_iter().find(|(name, _)| *name == called)?;
    let tree = Global::augment_args(clap::Command::new("berth-oci")).disable_help_subcommand(true);
    Some(tree.subcommand(flags(clap::Command::new(name))))
}

fn named(args: &[OsString]) -> Option<&str> {
    let mut args = args.iter().skip(1).map(|arg| arg.to_str());
    loop {
        match args.next()?? {
            flag if WITH_VALUE.contains(&flag) => drop(args.next()),
            flag if flag.starts_with('-') => {}
            name => return Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Command;

    fn parsed(line: &str) -> Result<Cli, Error> {
        parse(line.split(' ').map(Into::into).collect())
    }

    #[test]
    fn a_command_alone_is_read_as_in_the_whole_tree() {
        for line in [
            "berth-oci --root run --debug create --bundle run start",
            "berth-oci --log-format=json --log create run -b . -d id",
            "berth-oci exec -e A=b --cap CAP_X -t id sh -c run",
            "berth-oci delete --force id",
            "berth-oci kill -a id -9",
            "berth-oci state id",
            "berth-oci --rootless true list -q",
            "berth-oci update --memory 4M --pids-limit 3 id",
        ] {
            let args: Vec<OsString> = line.split(' ').map(Into::into).collect();
            let of = |cli: &Cli| format!("{:?} {}", cli.global, cli.command.name());
            assert_eq!(of(&parsed(line).unwrap()), of(&read(whole("berth-oci"), args).unwrap()), "{line}");
        }
        assert!(matches!(parsed("berth-oci --root run create start").unwrap().command, Command::Create(_)));
    }

    #[test]
    fn what_is_wrong_is_said_of_the_whole() {
        let error = parsed("berth-oci delete").err().unwrap().to_string();
        assert!(error.contains("berth-oci delete"), "{error}");
        assert!(parsed("berth-oci").is_err());
        let misspelt = parsed("berth-oci strat id").err().unwrap();
        assert!(misspelt.to_string().contains("start"));
        assert_eq!(unknown_command(&misspelt), Some("strat"));
        assert_eq!(unknown_command(&parsed("berth-oci start").err().unwrap()), None);
        assert!(
            parsed("berth-oci start --help")
                .err()
                .unwrap()
                .to_string()
                .starts_with("NAME:\n   berth-oci start - ")
        );
        let help = parsed("/usr/sbin/runc --help").err().unwrap().to_string();
        assert!(help.starts_with("NAME:\n   runc - Open Container Initiative runtime"), "{help}");
    }
}
