//! Running other programs: what is run is shown, and a failure names the command.

use std::fmt;
use std::io::{BufRead, BufReader, pipe};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Why a command of the front door failed, as one sentence for a person.
#[derive(Debug)]
pub struct Failure(String);

/// What every command returns.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure that says `message`.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Adds to an error what was being done.
pub trait Context<T> {
    /// `what` reads like "read Cargo.toml".
    fn context(self, what: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: fmt::Display> Context<T> for Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| Failure(format!("{what}: {error}")))
    }
}

/// Runs `command` with our stdout and stderr, after showing it; anything but exit status 0 is a failure.
pub fn run(command: &mut Command) -> Outcome {
    let line = shown(command);
    eprintln!("$ {line}");
    let status = command.stdin(Stdio::null()).status().context(&line)?;
    if status.success() { Ok(()) } else { Err(Failure(format!("{line}: {status}"))) }
}

/// Runs `command`, shows its output and hands `each` line of it on as it comes; returns whether it
/// succeeded.
pub fn follow(mut command: Command, mut each: impl FnMut(&str)) -> Outcome<bool> {
    let line = shown(&command);
    eprintln!("$ {line}");
    let (reader, writer) = pipe().context("create a pipe")?;
    let stderr = writer.try_clone().context("duplicate a pipe")?;
    let mut child = command.stdin(Stdio::null()).stdout(writer).stderr(stderr).spawn().context(&line)?;
    // The command holds our ends for writing: with them open, reading would never end.
    drop(command);
    for text in BufReader::new(reader).split(b'\n') {
        let text = text.context(&line)?;
        let text = String::from_utf8_lossy(&text);
        println!("{text}");
        each(&text);
    }
    Ok(child.wait().context(&line)?.success())
}

/// Runs `command` and returns its stdout; its stderr is ours.
pub fn read(command: &mut Command) -> Outcome<String> {
    let line = shown(command);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context(&line)?;
    if !output.status.success() {
        return Err(Failure(format!("{line}: {}", output.status)));
    }
    String::from_utf8(output.stdout).context(&line)
}

/// The cargo that started us, at the root of the workspace.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The root of the workspace: the one that cargo was called in, wherever this program was compiled.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let manifest_dir =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
        Path::new(&manifest_dir).parent().expect("xtask lies in the workspace").to_owned()
    })
}

/// Where cargo builds to.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Whether a program of this name is on the PATH.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
