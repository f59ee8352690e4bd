//! The table of commands, and how a command line finds its place in it.
//!
//! A start of the program builds the flags of the one command that it is for; the whole tree is built only to be shown.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches};

use super::context::{self, Context};
use super::flags::Usage;

/// Docker's exit status for flags that it does not know.
const USAGE_STATUS: u8 = 125;

/// What a command answers: the exit status, or an error to print.
pub type Outcome = Result<ExitCode, Box<dyn Error>>;

/// A name on the command line.
pub struct Entry {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub about: &'static str,
    pub action: Action,
}

/// What is behind a name.
pub enum Action {
    /// A command whose words clap reads.
    Parsed { flags: fn(clap::Command) -> clap::Command, run: fn(&ArgMatches, &Context) -> Outcome },
    /// A command that reads its words itself, because it has to be quick.
    Quick { flags: fn(clap::Command) -> clap::Command, run: fn(&[OsString], &mut Context) -> Outcome },
    /// Further names.
    Group(&'static [Entry]),
}

/// An entry for a type that derives `clap::Args` and has `run(self, &Context)`.
macro_rules! command {
    ($name:literal $(| $alias:literal)*, $about:literal, $arguments:ty) => {
        $crate::commands::entry::Entry {
            name: $name,
            aliases: &[$($alias),*],
            about: $about,
            action: $crate::commands::entry::Action::Parsed {
                flags: <$arguments as clap::Args>::augment_args,
                run: |matches, context| {
                    <$arguments as clap::FromArgMatches>::from_arg_matches(matches)?.run(context)
                },
            },
        }
    };
}

/// An entry for a module that has `flags` and `run` of its own.
macro_rules! quick {
    ($name:literal, $about:literal, $($module:ident)::+) => {
        $crate::commands::entry::Entry {
            name: $name,
            aliases: &[],
            about: $about,
            action: $crate::commands::entry::Action::Quick {
                flags: $($module::)+flags,
                run: $($module::)+run,
            },
        }
    };
}

/// An entry for further entries.
macro_rules! group {
    ($name:literal, $about:literal, $entries:expr) => {
        $crate::commands::entry::Entry {
            name: $name,
            aliases: &[],
            about: $about,
            action: $crate::commands::entry::Action::Group($entries),
        }
    };
}

pub(super) use {command, group, quick};

/// An error that ends the program with another status than 1.
#[derive(Debug)]
pub struct Failed {
    pub status: u8,
    pub error: Box<dyn Error>,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Failed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// The words of the program before a command.
#[derive(Debug, Default, PartialEq)]
struct Leading {
    root: Option<PathBuf>,
    /// Where the command's name is.
    at: usize,
}

/// Runs what `words` (with the program's name first) ask for, where it is in the table.
pub fn dispatch(table: &'static [Entry], words: &[OsString]) -> Option<ExitCode> {
    let leading = leading(words)?;
    let mut entry = find(table, words.get(leading.at)?)?;
    let (mut at, mut path) = (leading.at + 1, vec!["berth", entry.name]);
    while let Action::Group(entries) = entry.action {
        let Some(inner) = words.get(at).and_then(|word| find(entries, word)) else { break };
        (entry, at) = (inner, at + 1);
        path.push(entry.name);
    }
    let mut context = Context::new(leading.root);
    let outcome = entry.run(&path.join(" "), &words[at..], &mut context);
    Some(outcome.unwrap_or_else(|error| report(error.as_ref())))
}

/// Flags that stand before the command; nothing where there are others, which are clap's to judge.
fn leading(words: &[OsString]) -> Option<Leading> {
    let mut leading = Leading { root: None, at: 1 };
    loop {
        let word = words.get(leading.at)?.to_str()?;
        if word == "--root" {
            leading.root = Some(words.get(leading.at + 1)?.into());
            leading.at += 2;
        } else if let Some(root) = word.strip_prefix("--root=") {
            leading.root = Some(root.into());
            leading.at += 1;
        } else {
            return (!word.starts_with('-')).then_some(leading);
        }
    }
}

fn find(entries: &'static [Entry], name: &OsStr) -> Option<&'static Entry> {
    entries.iter().find(|entry| name == entry.name || entry.aliases.iter().any(|alias| name == *alias))
}

impl Entry {
    /// `name` is what help calls the command: all words that lead to it.
    fn run(&'static self, name: &str, words: &[OsString], context: &mut Context) -> Outcome {
        match self.action {
            Action::Quick { run, .. } => run(words, context).or_else(|error| self.told_usage(name, error)),
            Action::Parsed { flags, run } => {
                let mut command = flags(self.blank(name)).arg(root());
                let words = super::flags::expand_switches(&command, words);
                let matches = command.try_get_matches_from_mut(words)?;
                if let Some(root) = matches.get_one::<PathBuf>("root") {
                    context.set_root(root.clone());
                }
                run(&matches, context)
            }
            // To be told what there is, or what is wrong.
            Action::Group(_) => {
                let matches = self.tree(name).no_binary_name(true).try_get_matches_from(words)?;
                unreachable!("{name}: {matches:?} is no command of its own")
            }
        }
    }

    /// Prints the help that was asked for; adds to a wrong line how a right one looks.
    fn told_usage(&'static self, name: &str, error: Box<dyn Error>) -> Outcome {
        let usage = *error.downcast::<Usage>()?;
        let mut command = self.tree(name);
        match usage {
            Usage::Help => {
                command.print_help()?;
                Ok(ExitCode::SUCCESS)
            }
            Usage::Wrong(reason) => {
                eprintln!(
                    "berth: {reason}\n\n{}\n\nRun '{name} --help' for more information",
                    command.render_usage()
                );
                Ok(ExitCode::from(USAGE_STATUS))
            }
        }
    }

    fn blank(&'static self, name: &str) -> clap::Command {
        clap::Command::new(self.name).bin_name(name).about(self.about).no_binary_name(true)
    }

    /// The command with all that is below it.
    pub fn tree(&'static self, name: &str) -> clap::Command {
        let command = clap::Command::new(self.name)
            .bin_name(name)
            .about(self.about)
            .visible_aliases(self.aliases.iter().copied());
        match self.action {
            Action::Parsed { flags, .. } => flags(command).arg(root()),
            // -h is the host's name.
            Action::Quick { flags, .. } => flags(command.disable_help_flag(true)).arg(help()),
            Action::Group(entries) => command
                .subcommand_required(true)
                .arg_required_else_help(true)
                .arg(root())
                .subcommands(entries.iter().map(|entry| entry.tree(&format!("{name} {}", entry.name)))),
        }
    }
}

/// The flag that every command has.
pub fn root() -> Arg {
    Arg::new("root")
        .long("root")
        .value_name("DIR")
        .action(ArgAction::Set)
        .value_parser(clap::value_parser!(PathBuf))
        .help("Where images and containers are kept [default: /var/lib/berth, or berth in $XDG_DATA_HOME]")
}

fn help() -> Arg {
    Arg::new("help").long("help").action(ArgAction::Help).help("Print help")
}

/// Prints an error, and says with what status to end.
fn report(error: &(dyn Error + 'static)) -> ExitCode {
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        return usage(error);
    }
    eprintln!("berth: {}", told(error));
    if let Some(hint) = context::hint(error) {
        eprintln!("hint: {hint}");
    }
    error.downcast_ref::<Failed>().map_or(ExitCode::FAILURE, |failed| ExitCode::from(failed.status))
}

/// Prints what clap has to say: help that was asked for, or what is wrong with the arguments.
pub fn usage(error: &clap::Error) -> ExitCode {
    // What can't be printed has no reader.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(USAGE_STATUS),
    }
}

/// An error with all its causes.
pub fn told(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told += &format!(": {error}");
        cause = error.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leading_of(words: &[&str]) -> Option<Leading> {
        leading(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn flags_before_the_command() {
        let at = |at, root: Option<&str>| Some(Leading { root: root.map(PathBuf::from), at });
        assert_eq!(leading_of(&["berth", "ps"]), at(1, None));
        assert_eq!(leading_of(&["berth", "--root", "/r", "ps"]), at(3, Some("/r")));
        assert_eq!(leading_of(&["berth", "--root=/r", "ps"]), at(2, Some("/r")));
        for clap in [&["berth"][..], &["berth", "--help"], &["berth", "--root"], &["berth", "-x", "ps"]] {
            assert_eq!(leading_of(clap), None, "{clap:?}");
        }
    }
}
