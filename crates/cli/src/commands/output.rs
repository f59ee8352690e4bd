//! How commands answer: tables, templates, progress, units.

pub mod format;
pub mod progress;
pub mod prompt;
pub mod units;

use std::io::{self, IsTerminal, Write};

/// Where a command tells what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    /// What is said beside the output of a container.
    Stderr,
}

impl Stream {
    /// Prints text. A reader that has gone away, as in `| head`, is no error.
    pub fn print(self, text: &str) -> io::Result<()> {
        fn write(mut to: impl Write, text: &str) -> io::Result<()> {
            match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                outcome => outcome,
            }
        }
        match self {
            Stream::Stdout => write(io::stdout().lock(), text),
            Stream::Stderr => write(io::stderr().lock(), text),
        }
    }

    pub fn is_terminal(self) -> bool {
        match self {
            Stream::Stdout => io::stdout().is_terminal(),
            Stream::Stderr => io::stderr().is_terminal(),
        }
    }
}

/// Prints text to standard output.
pub fn print(text: &str) -> io::Result<()> {
    Stream::Stdout.print(text)
}
