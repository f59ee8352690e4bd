//! `cargo xtask docs`: one page for each of berth's commands, from what `--help` says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::berth::{self, Profile};
use crate::process::{self, Context, Failure, Outcome};

/// Writes docs/commands/*.md, and removes pages of commands that are gone.
pub fn run(_: &[String]) -> Outcome {
    let (wanted, dir) = (pages()?, dir());
    fs::create_dir_all(&dir).context(dir.display())?;
    for (name, text) in &wanted {
        fs::write(dir.join(name), text).context(name)?;
    }
    for name in existing()?.keys().filter(|name| !wanted.contains_key(*name)) {
        fs::remove_file(dir.join(name)).context(name)?;
    }
    println!("docs: {} pages in docs/commands", wanted.len());
    Ok(())
}

/// Fails when the pages are not what [`run`] would write.
pub fn check() -> Outcome {
    if pages()? == existing()? {
        return Ok(());
    }
    Err(Failure::new("docs/commands is not what `berth --help` says: run `cargo xtask docs`"))
}

fn dir() -> PathBuf {
    process::root().join("docs/commands")
}

fn existing() -> Outcome<BTreeMap<String, String>> {
    let Ok(entries) = fs::read_dir(dir()) else { return Ok(BTreeMap::new()) };
    let mut pages = BTreeMap::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        pages.insert(name, fs::read_to_string(&path).context(path.display())?);
    }
    Ok(pages)
}

/// File name and text of every page.
fn pages() -> Outcome<BTreeMap<String, String>> {
    let berth = berth::build(Profile::Dev)?;
    let mut pages = BTreeMap::new();
    for command in subcommands(&help(&berth, &[])?) {
        let mut text =
            String::from("<!-- Written by `cargo xtask docs`: change the command's own help instead. -->\n");
        describe(&berth, &[&command], &mut text)?;
        pages.insert(format!("{command}.md"), text);
    }
    Ok(pages)
}

/// Appends the section of the command `words`, then those of its subcommands.
fn describe(berth: &Path, words: &[&str], text: &mut String) -> Outcome {
    let help = help(berth, words)?;
    let heading = "#".repeat(words.len());
    *text += &format!("\n{heading} berth {}\n\n```text\n{}\n```\n", words.join(" "), trimmed(&help));
    for command in subcommands(&help) {
        describe(berth, &[words, &[&command]].concat(), text)?;
    }
    Ok(())
}

fn help(berth: &Path, words: &[&str]) -> Outcome<String> {
    // Neither stream is a terminal, so its width does not reach the pages.
    let what = format!("berth {} --help", words.join(" "));
    let output =
        Command::new(berth).args(words).arg("--help").env("COLUMNS", "100").output().context(&what)?;
    if !output.status.success() {
        return Err(Failure::new(format!("{what}: {}", output.status)));
    }
    String::from_utf8(output.stdout).context(&what)
}

/// Without spaces at the ends of lines, which clap leaves.
fn trimmed(help: &str) -> String {
    help.trim_end().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The names under `Commands:`, but for clap's own `help`.
fn subcommands(help: &str) -> Vec<String> {
    let list = help.split_once("\nCommands:\n").map_or("", |(_, list)| list);
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subcommands_are_found_in_help() {
        let help = "About.\n\nUsage: berth\n\nCommands:\n  oci   The OCI runtime,\n        as runc\n  ns    Namespaces\n  \
                    help  Print this\n\nOptions:\n  -h, --help  Print help\n";
        assert_eq!(subcommands(help), ["oci", "ns"]);
        assert!(subcommands("About.\n\nOptions:\n  -h").is_empty());
    }
}
