//! `berth logs`

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;

use clap::Args;
use engine::LogQuery;
use jiff::Timestamp;
use monitor::log::Sink;
use monitor::stdio::Stream;

use crate::commands::Outcome;
use crate::commands::context::Context;
use crate::commands::values::instant;

#[derive(Args)]
pub struct Logs {
    /// Show what the log's options add to each line
    #[arg(long)]
    details: bool,
    /// Go on with what comes, until the container ends
    #[arg(short, long)]
    follow: bool,
    /// Show lines from this time on: a time, or how long ago as 10m
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Show the last N lines only
    #[arg(short = 'n', long, value_name = "N", default_value = "all", allow_negative_numbers = true)]
    tail: String,
    /// Show the time of each line
    #[arg(short, long)]
    timestamps: bool,
    /// Show lines before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Name or id
    container: String,
}

impl Logs {
    pub fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let container = engine.find(&self.container)?;
        let now = Timestamp::now();
        let time = |text: &Option<String>| text.as_deref().map(|text| instant(text, now)).transpose();
        let query = LogQuery {
            since: time(&self.since)?,
            until: time(&self.until)?,
            tail: tail(&self.tail)?,
            follow: self.follow,
            timestamps: self.timestamps,
            details: self.details,
            stdout: true,
            stderr: true,
        };
        let mut output = Output { stdout: io::stdout(), is_gone: false };
        match engine.logs(&container, &query, &mut output) {
            // Whoever read it has gone away, as in `| head`.
            Err(_) if output.is_gone => Ok(ExitCode::SUCCESS),
            shown => {
                shown?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// How many lines; none is all.
fn tail(text: &str) -> Result<Option<usize>, String> {
    match text {
        "all" | "" => Ok(None),
        // As Docker takes -1.
        number if number.starts_with('-') && number.parse::<i64>().is_ok() => Ok(None),
        number => number
            .parse()
            .map(Some)
            .map_err(|_| format!("--tail {number}: expected a number of lines, or all")),
    }
}

/// Our own streams.
struct Output {
    stdout: io::Stdout,
    is_gone: bool,
}

impl Sink for Output {
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let written = match stream {
            Stream::Stdout => self.stdout.write_all(bytes).and_then(|()| self.stdout.flush()),
            Stream::Stderr => io::stderr().write_all(bytes),
        };
        self.is_gone = matches!(&written, Err(error) if error.kind() == io::ErrorKind::BrokenPipe);
        written
    }

    fn missing(&mut self) {
        eprintln!("berth: lines were rotated away before they could be shown");
    }

    fn watched(&self) -> Option<BorrowedFd<'_>> {
        Some(self.stdout.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_lines() {
        assert_eq!((tail("all"), tail("-1"), tail("5")), (Ok(None), Ok(None), Ok(Some(5))));
        assert!(tail("five").is_err() && tail("-x").is_err());
    }
}
