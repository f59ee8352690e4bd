//! Every command in docs/learn is run, and its output compared with what the page shows.
//!
//! A block that is marked `console` is a session: lines with `$ ` are commands (`> ` continues one), the others what
//! they print. `…` stands for any text within a line. Each page runs in one shell, as root, in namespaces of its own
//! with an empty /run and an empty working directory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What stands between the outputs of two commands.
const SEPARATOR: &str = "\u{1}end of output\u{1}";

struct Step {
    line: usize,
    command: String,
    expected: Vec<String>,
}

fn pages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/learn")
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (number, line) in page.lines().enumerate() {
        match (inside, line) {
            (_, "```console") => inside = true,
            (_, "```") => inside = false,
            (false, _) => {}
            (true, line) => match (line.strip_prefix("$ "), line.strip_prefix("> ")) {
                (Some(command), _) => {
                    steps.push(Step { line: number + 1, command: command.to_owned(), expected: Vec::new() });
                }
                (None, Some(more)) => {
                    steps.last_mut().expect("a command").command.push_str(&format!("\n{more}"));
                }
                (None, None) => steps.last_mut().expect("a command").expected.push(line.to_owned()),
            },
        }
    }
    steps
}

/// Whether a line is what the page shows, where `…` is anything and runs of spaces are one.
fn matches(shown: &str, line: &str) -> bool {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (shown, line) = (squeeze(shown), squeeze(line));
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(position) = rest.find(part) else { return false };
        rest = &rest[position + part.len()..];
    }
    rest.ends_with(last)
}

fn run(name: &str, steps: &[Step]) -> Vec<String> {
    let directory = Path::new(env!("CARGO_BIN_EXE_berth")).parent().expect("a directory");
    let mut script =
        String::from("exec 2>&1; mount -t tmpfs run /run && mount -t tmpfs work /mnt && cd /mnt || exit 1\n");
    for step in steps {
        script.push_str(&format!("{}\nprintf '{SEPARATOR}'\n", step.command));
    }
    let file = std::env::temp_dir().join(format!("learn-{name}-{}", std::process::id()));
    std::fs::write(&file, script).unwrap();
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", directory.display());
    let output = Command::new("unshare")
        .args(["-m", "-n", "-u", "-p", "-f", "--kill-child", "--mount-proc", "bash"])
        .arg(&file)
        .env_clear()
        .envs([("PATH", path.as_str()), ("LC_ALL", "C"), ("HOME", "/root")])
        .stdin(Stdio::null())
        .output()
        .expect("unshare of util-linux");
    std::fs::remove_file(&file).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split(SEPARATOR).map(str::to_owned).collect()
}

fn check(name: &str) {
    let page = std::fs::read_to_string(pages().join(name)).unwrap();
    let steps = steps(&page);
    assert!(!steps.is_empty(), "{name} has no command");
    let outputs = run(name, &steps);
    for (step, output) in steps.iter().zip(outputs) {
        let lines: Vec<_> = output.trim_end().lines().collect();
        let same = lines.len() == step.expected.len()
            && step.expected.iter().zip(&lines).all(|(shown, line)| matches(shown, line));
        assert!(
            same,
            "{name}:{}: $ {}\nprints\n{output}\nand not\n{}",
            step.line,
            step.command,
            step.expected.join("\n")
        );
    }
}

#[test]
fn capabilities() {
    check("capabilities.md");
}

#[test]
fn user_namespaces() {
    check("user-namespaces.md");
}

#[test]
fn mount_namespaces() {
    check("mount-namespaces.md");
}

#[test]
fn network_namespaces() {
    check("network-namespaces.md");
}

#[test]
fn volumes_and_layers() {
    check("volumes-and-layers.md");
}

#[test]
fn denials() {
    check("denials.md");
}

#[test]
fn no_page_is_left_out() {
    let mut found: Vec<_> = std::fs::read_dir(pages())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    found.sort();
    let checked = [
        "capabilities.md",
        "denials.md",
        "mount-namespaces.md",
        "network-namespaces.md",
        "user-namespaces.md",
        "volumes-and-layers.md",
    ];
    assert_eq!(found, checked);
}

#[test]
fn dots_stand_for_anything_within_a_line() {
    assert!(
        matches("a … c", "a   b  c") && matches("…", "x") && matches("a…", "a") && matches("x…y…z", "x1y2z")
    );
    assert!(!matches("a … c", "a b d") && !matches("a", "a b") && !matches("x…y…z", "xz"));
}
