//! The log that callers name with `--log`: containerd and others read the error from its last lines.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use clap::ValueEnum;
use runtime::Failure;
use runtime::failure::OrFail;
use serde_json::json;

/// Form of a line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Format {
    /// `time="…" level=error msg="…"`
    Text,
    /// `{"level":"error","msg":"…","time":"…"}`
    Json,
}

impl Format {
    fn line(self, level: &str, message: &str) -> String {
        let time = runtime::now();
        match self {
            Self::Json => format!("{}\n", json!({"level": level, "msg": message, "time": time})),
            Self::Text => format!("time={time:?} level={level} msg={message:?}\n"),
        }
    }
}

/// Where errors and warnings go: to stderr, and to a file where one is named.
pub struct Log {
    file: Option<Mutex<File>>,
    format: Format,
    debug: bool,
}

impl Log {
    /// Opens the file for appending.
    pub fn open(path: Option<&Path>, format: Format, debug: bool) -> Result<Self, Failure> {
        let open =
            |path| OpenOptions::new().append(true).create(true).open(path).or_fail_at("open log", path);
        Ok(Self { file: path.map(open).transpose()?.map(Mutex::new), format, debug })
    }

    /// Says why the command fails.
    pub fn error(&self, message: &str) {
        self.line("error", message);
        eprintln!("berth-oci: error: {message}");
    }

    /// Says what was ignored.
    pub fn warning(&self, message: &str) {
        self.line("warning", message);
        if self.file.is_none() {
            eprintln!("berth-oci: warning: {message}");
        }
    }

    /// Says what is being done, with `--debug`.
    pub fn debug(&self, message: &str) {
        if self.debug {
            self.line("debug", message);
            if self.file.is_none() {
                eprint!("{}", self.format.line("debug", message));
            }
        }
    }

    fn line(&self, level: &str, message: &str) {
        let Some(file) = &self.file else { return };
        let line = self.format.line(level, message);
        // A full disk must not keep the command from ending.
        let _ = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    }
}
