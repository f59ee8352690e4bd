//! What `run --explain-denials` and `run --learn` tell when the container has ended.

use std::error::Error;
use std::fmt::Write;
use std::fs::{self, File};
use std::path::Path;

use engine::{Container, Engine};
use observe::{Entry, Learned, record};
use rustix::fs::{FlockOperation, flock};

/// Tells what was observed, on stderr.
pub fn report(
    engine: &Engine,
    container: &Container,
    mut record: File,
    profile: Option<&Path>,
) -> Result<(), Box<dyn Error>> {
    let name = &container.name;
    // Removed, where `--rm` was given.
    if engine.state(container).is_ok_and(|state| state.status.is_active()) {
        eprintln!(
            "berth: container {name} goes on: `berth explain --last-denial {name}` says what was observed"
        );
        return Ok(());
    }
    // All is written when the last process has ended.
    rustix::io::retry_on_intr(|| flock(&record, FlockOperation::LockShared))?;
    let entries = record::read(&mut record)?;
    eprint!("{}", text(&entries));
    let Some(profile) = profile else { return Ok(()) };
    let learned = entries.iter().find_map(|entry| match entry {
        Entry::Learned(learned) => Some(learned),
        _ => None,
    });
    let learned = learned.ok_or("nothing was learned: the observer ended before the container did")?;
    write_profile(learned, profile)?;
    eprint!("{}", told(learned, &profile.display().to_string()));
    Ok(())
}

/// Denials and what could not be observed, a line each.
pub fn text(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let _ = match entry {
            Entry::Denied(denial) => writeln!(text, "berth: denied: {denial}"),
            Entry::Unobserved(what) => writeln!(text, "berth: not observed: {what}"),
            Entry::Learned(_) => Ok(()),
        };
    }
    text
}

fn write_profile(learned: &Learned, path: &Path) -> Result<(), Box<dyn Error>> {
    let profile = learned.profile.as_ref().ok_or("no profile was learned")?;
    let text = serde_json::to_string_pretty(profile)? + "\n";
    fs::write(path, text)
        .map_err(|error| format!("write the seccomp profile to {}: {error}", path.display()))?;
    Ok(())
}

fn told(learned: &Learned, profile: &str) -> String {
    let Learned { processes, calls, writes_to_system, .. } = learned;
    let mut text = format!(
        "berth: learned from {} system calls of {} processes and threads; run it with\n  {}\n",
        calls,
        processes + 1,
        learned.flags(profile).join(" \\\n  ")
    );
    if let Some(path) = writes_to_system {
        let _ = writeln!(text, "berth: without --read-only, for it writes to {path}");
    }
    text
}
