//! Flags as Docker's command line reads them (pflag's rules), from tables.
//!
//! `run` and its like have more than a hundred flags. Reading a line costs one walk over it and no allocation for flags
//! that are not given; clap gets to know them only to print help, completions and manuals.

use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction};

/// A flag that changes a `T`.
pub struct Flag<T: 'static> {
    long: &'static str,
    short: Option<char>,
    help: &'static str,
    hidden: bool,
    set: Set<T>,
}

enum Set<T: 'static> {
    Switch(fn(&mut T, bool)),
    Value { name: &'static str, set: fn(&mut T, &str) -> Result<(), String> },
}

/// Flags under a heading of the help.
pub struct Section<T: 'static> {
    pub heading: &'static str,
    pub flags: &'static [Flag<T>],
}

/// What is wrong with a command line; or that help is asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Usage {
    #[error("help is asked for")]
    Help,
    #[error("{0}")]
    Wrong(String),
}

impl<T> Flag<T> {
    /// On or off.
    pub const fn switch(long: &'static str, help: &'static str, set: fn(&mut T, bool)) -> Self {
        Flag { long, short: None, help, hidden: false, set: Set::Switch(set) }
    }

    /// With a value, which help calls `name`.
    pub const fn value(
        long: &'static str,
        name: &'static str,
        help: &'static str,
        set: fn(&mut T, &str) -> Result<(), String>,
    ) -> Self {
        Flag { long, short: None, help, hidden: false, set: Set::Value { name, set } }
    }

    pub const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    /// Not shown in help: another name of a flag that is.
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    fn shown(&self) -> String {
        self.short.map_or_else(|| format!("--{}", self.long), |short| format!("-{short}, --{}", self.long))
    }

    fn set(&self, into: &mut T, value: &str) -> Result<(), Usage> {
        let outcome = match self.set {
            Set::Switch(set) => boolean(value).map(|on| set(into, on)),
            Set::Value { set, .. } => set(into, value),
        };
        outcome.map_err(|reason| {
            Usage::Wrong(format!("invalid argument {value:?} for {:?} flag: {reason}", self.shown()))
        })
    }

    fn arg(&self) -> Arg {
        let arg = Arg::new(self.long).long(self.long).short(self.short).help(self.help).hide(self.hidden);
        match self.set {
            Set::Switch(_) => arg.action(ArgAction::SetTrue),
            Set::Value { name, .. } => arg.value_name(name).action(ArgAction::Append),
        }
    }
}

/// Reads flags into `into` up to the first word that is none, and returns what is left.
pub fn parse<'w, T>(
    sections: &[Section<T>],
    words: &'w [OsString],
    into: &mut T,
) -> Result<&'w [OsString], Usage> {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let Some(text) = word.to_str() else {
            // Flags are text; what is no text is an operand.
            if word.as_encoded_bytes().starts_with(b"-") {
                return Err(Usage::Wrong(format!("{} is not UTF-8", word.display())));
            }
            break;
        };
        at += 1;
        let mut next = || {
            let value = words.get(at).map(|word| utf8(word));
            at += 1;
            value.transpose()
        };
        match text.strip_prefix("--") {
            Some("") => break,
            Some(long) => parse_long(sections, long, into, &mut next)?,
            None if text.len() > 1 && text.starts_with('-') => {
                parse_short(sections, text, into, &mut next)?;
            }
            None => {
                at -= 1;
                break;
            }
        }
    }
    Ok(&words[at.min(words.len())..])
}

/// A word as text.
pub fn utf8(word: &OsStr) -> Result<&str, Usage> {
    word.to_str().ok_or_else(|| Usage::Wrong(format!("{} is not UTF-8", word.display())))
}

type Next<'a, 'w> = &'a mut dyn FnMut() -> Result<Option<&'w str>, Usage>;

fn parse_long<T>(sections: &[Section<T>], text: &str, into: &mut T, next: Next<'_, '_>) -> Result<(), Usage> {
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
    let Some(flag) = flags(sections).find(|flag| flag.long == name) else {
        return Err(match name {
            "help" => Usage::Help,
            _ => Usage::Wrong(format!("unknown flag: --{name}")),
        });
    };
    match (&flag.set, value) {
        (_, Some(value)) => flag.set(into, value),
        (Set::Switch(set), None) => {
            set(into, true);
            Ok(())
        }
        (Set::Value { .. }, None) => {
            let missing = || Usage::Wrong(format!("flag needs an argument: --{name}"));
            flag.set(into, next()?.ok_or_else(missing)?)
        }
    }
}

/// Letters after one dash: switches, and at the end a flag with a value.
fn parse_short<T>(
    sections: &[Section<T>],
    text: &str,
    into: &mut T,
    next: Next<'_, '_>,
) -> Result<(), Usage> {
    let mut rest = &text[1..];
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        let Some(flag) = flags(sections).find(|flag| flag.short == Some(letter)) else {
            return Err(Usage::Wrong(format!("unknown shorthand flag: {letter:?} in {text}")));
        };
        if let Some(value) = rest.strip_prefix('=') {
            return flag.set(into, value);
        }
        match &flag.set {
            Set::Switch(set) => set(into, true),
            Set::Value { .. } if !rest.is_empty() => return flag.set(into, rest),
            Set::Value { .. } => {
                let missing = || Usage::Wrong(format!("flag needs an argument: {letter:?} in {text}"));
                return flag.set(into, next()?.ok_or_else(missing)?);
            }
        }
    }
    Ok(())
}

fn flags<T>(sections: &[Section<T>]) -> impl Iterator<Item = &'static Flag<T>> {
    sections.iter().flat_map(|section| section.flags.iter())
}

/// What clap is to show of the flags.
pub fn args<T>(sections: &'static [Section<T>]) -> impl Iterator<Item = Arg> {
    sections.iter().flat_map(|section| {
        // The heading that clap gives to its own.
        let heading = Some(section.heading).filter(|heading| *heading != "Options");
        section.flags.iter().map(move |flag| flag.arg().help_heading(heading))
    })
}

/// What Go takes for a truth value.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// Rewrites switches with a value, as in `--all=true`, which clap does not know.
pub fn expand_switches(command: &clap::Command, words: &[OsString]) -> Vec<OsString> {
    let mut expanded = Vec::with_capacity(words.len());
    let mut options = true;
    for word in words {
        options &= word != "--";
        match word.to_str().filter(|_| options).and_then(|word| switch(command, word)) {
            Some((name, true)) => expanded.push(name.into()),
            Some((_, false)) => {}
            None => expanded.push(word.clone()),
        }
    }
    expanded
}

/// The switch without its value, and whether it is on.
fn switch<'w>(command: &clap::Command, word: &'w str) -> Option<(&'w str, bool)> {
    let (name, value) = word.strip_prefix('-')?.split_once('=')?;
    let mut switches = command.get_arguments().filter(|arg| matches!(arg.get_action(), ArgAction::SetTrue));
    let known = switches.any(|arg| match name.strip_prefix('-') {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| name.chars().eq([short])),
    });
    let on = boolean(value).ok().filter(|_| known)?;
    Some((&word[..=name.len()], on))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Set {
        all: bool,
        tty: bool,
        names: Vec<String>,
        size: u32,
    }

    const SECTIONS: &[Section<Set>] = &[Section {
        heading: "Options",
        flags: &[
            Flag::switch("all", "Everything", |set: &mut Set, on| set.all = on).short('a'),
            Flag::switch("tty", "A terminal", |set: &mut Set, on| set.tty = on).short('t'),
            Flag::value("name", "NAME", "A name", |set: &mut Set, value| {
                set.names.push(value.to_owned());
                Ok(())
            })
            .short('n'),
            Flag::value("size", "N", "How many", |set: &mut Set, value| {
                set.size = value.parse().map_err(|_| "not a number".to_owned())?;
                Ok(())
            }),
        ],
    }];

    fn parsed(line: &str) -> Result<(Set, Vec<OsString>), String> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let mut set = Set::default();
        let rest = parse(SECTIONS, &words, &mut set).map_err(|error| error.to_string())?;
        Ok((set, rest.to_vec()))
    }

    #[test]
    fn values_stand_in_all_of_pflags_places() {
        for line in ["--name x", "--name=x", "-n x", "-nx", "-n=x", "-atnx", "-at -n x"] {
            assert_eq!(parsed(line).unwrap().0.names, ["x"], "{line}");
        }
        assert_eq!(parsed("--name=a=b --name= -n -x").unwrap().0.names, ["a=b", "", "-x"]);
    }

    #[test]
    fn switches_take_values_behind_an_equals_sign_only() {
        assert!(parsed("-at").unwrap().0 == Set { all: true, tty: true, ..Set::default() });
        assert!(!parsed("-at=false").unwrap().0.tty);
        assert!(!parsed("--all --all=0").unwrap().0.all);
        assert_eq!(parsed("--all true").unwrap().1, ["true"]);
    }

    #[test]
    fn the_first_operand_ends_flags() {
        assert_eq!(parsed("-a image -t --name x").unwrap().1, ["image", "-t", "--name", "x"]);
        assert_eq!(parsed("-- -a").unwrap().1, ["-a"]);
        assert_eq!(parsed("-a - -t").unwrap().1, ["-", "-t"]);
        assert!(parsed("-a").unwrap().1.is_empty());
    }

    #[test]
    fn mistakes_are_told_in_dockers_words() {
        for (line, told) in [
            ("--nope", "unknown flag: --nope"),
            ("-az", "unknown shorthand flag: 'z' in -az"),
            ("--name", "flag needs an argument: --name"),
            ("-an", "flag needs an argument: 'n' in -an"),
            ("--size x", "invalid argument \"x\" for \"--size\" flag: not a number"),
            ("-a=x", "invalid argument \"x\" for \"-a, --all\" flag: expected true or false"),
        ] {
            assert_eq!(parsed(line).unwrap_err(), told);
        }
        assert_eq!(parsed("--help").unwrap_err(), "help is asked for");
    }

    #[test]
    fn claps_switches_get_values_as_well() {
        let switch =
            |long: &'static str, short| Arg::new(long).long(long).short(short).action(ArgAction::SetTrue);
        let command = clap::Command::new("x").arg(switch("all", 'a')).arg(Arg::new("format").long("format"));
        let words = ["--all=true", "-a=0", "--format=true", "--all=maybe", "--", "--all=true"];
        let expanded = expand_switches(&command, &words.map(OsString::from));
        assert_eq!(expanded, ["--all", "--format=true", "--all=maybe", "--", "--all=true"]);
    }
}
