//! Every flag of Docker's command line is taken by berth, or stands with its reason in docs/docker-differences.md.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use testkit::berth_binary;

/// Commands of both programs. Those that berth has not are told in the document as well, and are no matter of flags.
const COMMANDS: &[&str] = &[
    "attach",
    "commit",
    "container inspect",
    "container ls",
    "container prune",
    "cp",
    "create",
    "diff",
    "events",
    "exec",
    "export",
    "history",
    "image inspect",
    "image prune",
    "images",
    "import",
    "info",
    "inspect",
    "kill",
    "load",
    "login",
    "logout",
    "logs",
    "manifest create",
    "manifest inspect",
    "manifest push",
    "pause",
    "port",
    "ps",
    "pull",
    "push",
    "rename",
    "restart",
    "rm",
    "rmi",
    "run",
    "save",
    "start",
    "stats",
    "stop",
    "system df",
    "system events",
    "system info",
    "system prune",
    "tag",
    "top",
    "unpause",
    "update",
    "version",
    "volume create",
    "volume inspect",
    "volume ls",
    "volume prune",
    "volume rm",
    "wait",
];

/// The document, with a line `| commands | flags | reason |` for what is not taken.
const DIFFERENCES: &str = include_str!("../../../docs/docker-differences.md");

/// A flag: its letter, and whether it takes a value.
type Flags = BTreeMap<String, (Option<char>, bool)>;

/// The flags that a help text lists.
fn flags(help: &str) -> Flags {
    let mut flags = Flags::new();
    for line in help.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let indent = line.len() - line.trim_start().len();
        let (short, rest) = match words[..] {
            [first, ..] if first.len() == 3 && first.starts_with('-') && first.ends_with(',') => {
                (first.chars().nth(1), &words[1..])
            }
            _ => (None, &words[..]),
        };
        let Some(word) = rest.first().and_then(|word| word.strip_prefix("--")) else { continue };
        // `--pause[=<BOOL>]` is a switch that may be given a value.
        let long = word.split('[').next().unwrap_or(word);
        // Flags stand at the beginning of a line, texts that mention some do not.
        if indent > 6 {
            continue;
        }
        let takes_value = match line[line.find("--").unwrap()..].split_once(' ') {
            // One blank is before a value, more are before the text.
            Some((_, rest)) => !rest.starts_with(' '),
            None => false,
        };
        flags.insert(long.to_owned(), (short, takes_value));
        // clap tells other names at the end of the text.
        let aliases = line.split_once("[alias").and_then(|(_, rest)| rest.split_once(": "));
        let aliases = aliases.map_or("", |(_, aliases)| aliases);
        for alias in aliases.trim_end_matches(']').split(", ").filter_map(|alias| alias.strip_prefix("--")) {
            flags.insert(alias.to_owned(), (short, takes_value));
        }
    }
    flags
}

fn help(program: &std::path::Path, command: &str) -> String {
    let output = Command::new(program)
        .args(command.split(' '))
        .arg("--help")
        .env("COLUMNS", "200")
        .output()
        .unwrap_or_else(|error| panic!("{} (Debian package docker.io): {error}", program.display()));
    assert!(output.status.success(), "{} {command} --help: {output:?}", program.display());
    String::from_utf8(output.stdout).unwrap()
}

/// What the document says is not taken: command → flags.
fn excused() -> BTreeMap<String, BTreeSet<String>> {
    let mut excused: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in DIFFERENCES.lines().filter(|line| line.contains("| `--")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [commands, flags, reason] = cells[..] else { panic!("not three cells: {line}") };
        assert!(reason.len() > 10, "without a reason: {line}");
        for command in commands.split(", ") {
            let names =
                flags.split(", ").map(|flag| flag.trim_matches('`').trim_start_matches("--").to_owned());
            excused.entry(command.to_owned()).or_default().extend(names);
        }
    }
    excused
}

#[test]
fn every_flag_of_docker_is_taken_or_excused() {
    let (berth, excused) = (berth_binary(), excused());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed: Vec<_> = std::env::split_paths(&path)
        .map(|dir| dir.join("docker"))
        .filter(|docker| docker.is_file())
        .collect();
    assert!(!installed.is_empty(), "docker is not installed (Debian package docker.io)");
    let mut complaints = Vec::new();
    for (docker, command) in
        installed.iter().flat_map(|docker| COMMANDS.iter().map(move |command| (docker, command)))
    {
        let (theirs, ours) = (flags(&help(docker, command)), flags(&help(&berth, command)));
        assert!(ours.contains_key("help"), "berth {command}: {ours:?}");
        for (flag, (short, takes_value)) in &theirs {
            if excused.get(*command).is_some_and(|flags| flags.contains(flag)) {
                continue;
            }
            match ours.get(flag) {
                None => complaints.push(format!("{command} --{flag}: not taken")),
                Some((our_short, _)) if short.is_some() && our_short != short => {
                    complaints
                        .push(format!("{command} --{flag}: letter {our_short:?}, Docker's is {short:?}"));
                }
                // Truth values are written either way.
                Some((_, ours)) if ours != takes_value && flag != "sig-proxy" => {
                    complaints
                        .push(format!("{command} --{flag}: takes a value: {ours}, Docker's: {takes_value}"));
                }
                Some(_) => {}
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn flags_are_read_from_help_texts() {
    let text = "Options:\n  -a, --all             Show all\n      --format string   Format\n                        \
                --nothing here\n  -n, --last <N>  Last\n      --help\n";
    let read = flags(text);
    let wanted = [
        ("all", (Some('a'), false)),
        ("format", (None, true)),
        ("help", (None, false)),
        ("last", (Some('n'), true)),
    ];
    assert_eq!(read, wanted.map(|(name, flag)| (name.to_owned(), flag)).into());
}
