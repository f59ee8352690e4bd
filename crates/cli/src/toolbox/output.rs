//! Standard output.

use std::io::{self, Write};
use std::process::ExitCode;

use super::Outcome;

/// Prints text. A reader that has gone away, as in `| head`, is no error.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Prints lines, on a terminal no longer than it is wide.
pub fn print_table(text: &str) -> io::Result<()> {
    let width = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if width == 0 {
        return print(text);
    }
    let cut: String = text.lines().flat_map(|line| line.chars().take(width).chain(['\n'])).collect();
    print(&cut)
}

/// Prints a value as indented JSON.
pub fn print_json(value: &impl serde::Serialize) -> io::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Prints an answer as JSON or as text: the end of most tools.
pub fn answer(json: bool, value: &impl serde::Serialize, text: impl FnOnce() -> String) -> Outcome {
    let printed = if json { print_json(value) } else { print(&text()) };
    Ok(printed.map(|()| ExitCode::SUCCESS)?)
}
