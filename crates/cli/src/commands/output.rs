//! How commands answer: tables, templates, progress, units.

pub mod format;
pub mod progress;
pub mod prompt;
pub mod units;

use std::io::{self, Write};

/// Prints text. A reader that has gone away, as in `| head`, is no error.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}
