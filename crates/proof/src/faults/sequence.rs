//! What a sequence of commands is, and what has to hold after a fault in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use testkit::Testbed;

use super::follow::{Command, Ended, Follower};

/// Where a worker's sequence runs.
pub struct Ground {
    /// Names and cleans up what is made.
    pub bed: Testbed,
    /// The binary under test.
    pub berth: PathBuf,
    /// The address of a registry.
    pub registry: String,
}

impl Ground {
    /// A command with berth's arguments, in an environment of its own.
    pub fn berth<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let home = self.bed.path().join("home").display().to_string();
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
        Command {
            program: self.berth.clone(),
            args: args.into_iter().map(str::to_owned).collect(),
            env: vec![("PATH".to_owned(), path), ("HOME".to_owned(), home)],
        }
    }

    /// A path in the bed, as text.
    pub fn path(&self, name: &str) -> String {
        self.bed.path().join(name).display().to_string()
    }
}

/// A step of a sequence.
pub struct Step {
    /// What is run.
    pub command: Command,
    /// Whether it has to work again after it was interrupted anywhere.
    pub repeatable: bool,
}

/// A fault that hit, and what became of the command meanwhile.
pub struct Hit<'a> {
    /// The step during which it hit.
    pub step: &'a Step,
    /// How that ended.
    pub ended: &'a Ended,
    /// Whether the fault was a kill.
    pub kill: bool,
    /// Whether memory was denied: what runs before a program's main function can only crash then.
    pub without_memory: bool,
}

/// Commands in a row, with what must hold whatever happens to one of them.
pub trait Sequence {
    /// Its name in reports and filters.
    fn name(&self) -> &'static str;
    /// Makes what all runs of it need.
    fn prepare(&self, ground: &Ground, follower: &mut Follower) -> Result<(), String>;
    /// The commands; without a fault each exits with 0.
    fn steps(&self, ground: &Ground) -> Vec<Step>;
    /// After a fault, or at the end: says what is not as it should be, and leaves nothing.
    fn recover(&self, ground: &Ground, follower: &mut Follower, hit: Option<&Hit>) -> Result<(), String>;
}

/// Runs a command that has to succeed.
pub fn must(follower: &mut Follower, command: &Command) -> Result<String, String> {
    let ended = run(follower, command)?;
    if ended.succeeded() {
        return Ok(ended.stdout);
    }
    Err(format!("`{}` afterwards: {}", command.line(), ended.told()))
}

/// Runs a command that may fail, but not hang or crash.
pub fn run(follower: &mut Follower, command: &Command) -> Result<Ended, String> {
    let ended = follower.run(command).map_err(|error| format!("run `{}`: {error}", command.line()))?;
    match crash(&ended) {
        Some(crash) => Err(format!("`{}` afterwards {crash}: {}", command.line(), ended.told())),
        None => Ok(ended),
    }
}

/// What kind of crash a command ended by.
pub fn crash(ended: &Ended) -> Option<&'static str> {
    use std::os::unix::process::ExitStatusExt;
    match ended.status {
        None => Some("hangs"),
        Some(_) if ended.stderr.contains("panicked at") => Some("panics"),
        Some(status) if status.signal().is_some() => Some("is killed"),
        Some(_) => None,
    }
}

/// The files below a directory, by path.
pub fn files(root: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(dir) = ahead.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                ahead.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    found
}
