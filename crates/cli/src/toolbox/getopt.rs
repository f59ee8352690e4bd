//! Values attached to short options, as getopt(3) knows them: `-n/run/netns/x` is `--net=/run/netns/x`, `-n` alone
//! is `--net`. Clap knows no optional values of this form, and beside a command line to run it takes `-t7` for
//! the program's.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::{Arg, Command};

/// Rewrites the options of the innermost subcommand that `arguments` names, up to its first operand.
pub fn expand_attached_values(command: &Command, arguments: Vec<OsString>) -> Vec<OsString> {
    let mut command = command;
    let mut rewritten = Vec::with_capacity(arguments.len());
    let mut rest = arguments.into_iter();
    rewritten.extend(rest.next());
    while command.has_subcommands() {
        let Some(word) = rest.next() else { return rewritten };
        if let Some(subcommand) = command.find_subcommand(&word) {
            command = subcommand;
        }
        rewritten.push(word);
    }
    while let Some(word) = rest.next() {
        if word == "--" || !word.as_bytes().starts_with(b"-") || word == "-" {
            // From here on it is the program to run and its arguments.
            rewritten.push(word);
            break;
        }
        let (words, needs_value) = rewrite(command, &word);
        rewritten.extend(words);
        if needs_value {
            rewritten.extend(rest.next());
        }
    }
    rewritten.extend(rest);
    rewritten
}

/// The words that stand for one word, and whether the next is the value of the last option in it.
fn rewrite(command: &Command, word: &OsStr) -> (Vec<OsString>, bool) {
    if let Some(long) = word.as_bytes().strip_prefix(b"--") {
        let option =
            command.get_arguments().find(|option| option.get_long().map(str::as_bytes) == Some(long));
        return (vec![word.to_owned()], option.is_some_and(needs_value));
    }
    let letters = &word.as_bytes()[1..];
    for (position, &letter) in letters.iter().enumerate() {
        let rest = &letters[position + 1..];
        let option = command.get_arguments().find(|option| option.get_short() == Some(char::from(letter)));
        let Some(option) = option else { break };
        let takes_value = option.is_require_equals_set() || needs_value(option);
        match option.get_long() {
            Some(long) if takes_value && !rest.is_empty() => {
                let before = [b"-", &letters[..position]].concat();
                let value = [b"--", long.as_bytes(), b"=", rest].concat();
                let words = [before, value].into_iter().filter(|word| word != b"-").map(OsString::from_vec);
                return (words.collect(), false);
            }
            _ if needs_value(option) => return (vec![word.to_owned()], rest.is_empty()),
            _ => {}
        }
    }
    (vec![word.to_owned()], false)
}

fn needs_value(option: &Arg) -> bool {
    option.get_num_args().is_some_and(|count| count.min_values() > 0) && option.get_action().takes_values()
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction, Command};

    use super::*;

    fn rewritten(words: &[&str]) -> Vec<String> {
        let optional = |long: &'static str, short| {
            Arg::new(long).long(long).short(short).num_args(0..=1).require_equals(true)
        };
        let inner = Command::new("enter")
            .arg(optional("net", 'n'))
            .arg(optional("mount", 'm'))
            .arg(Arg::new("target").long("target").short('t'))
            .arg(Arg::new("all").long("all").short('a').action(ArgAction::SetTrue))
            .arg(Arg::new("command").num_args(0..).trailing_var_arg(true));
        let mut command = Command::new("berth").subcommand(Command::new("ns").subcommand(inner));
        command.build();
        let words = ["berth", "ns", "enter"].iter().chain(words).map(OsString::from).collect();
        let words = expand_attached_values(&command, words);
        words.into_iter().skip(3).map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn attached_values_become_long_options() {
        assert_eq!(rewritten(&["-n/x", "-m", "ls"]), ["--net=/x", "-m", "ls"]);
        assert_eq!(rewritten(&["-an/x"]), ["-a", "--net=/x"]);
        assert_eq!(rewritten(&["-mn"]), ["--mount=n"]);
    }

    #[test]
    fn the_programs_own_options_stay_as_they_are() {
        assert_eq!(rewritten(&["-t", "7", "-n", "ls", "-n/x"]), ["-t", "7", "-n", "ls", "-n/x"]);
        assert_eq!(rewritten(&["--target", "7", "-n/x"]), ["--target", "7", "--net=/x"]);
        assert_eq!(rewritten(&["-t7", "-n/x", "--", "-n/x"]), ["--target=7", "--net=/x", "--", "-n/x"]);
        assert_eq!(rewritten(&["-a", "prog", "-n/x"]), ["-a", "prog", "-n/x"]);
    }
}
