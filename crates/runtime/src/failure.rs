//! What went wrong, as data: it crosses from the container's first process to its parent as it is.

use std::fmt;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// An operation that failed: what, on which object, with which errno, and what more is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was tried, as a verb: `mount`, `open`.
    pub operation: String,
    /// What it was tried on; empty where the operation says all.
    pub object: String,
    /// The kernel's answer.
    pub errno: Option<i32>,
    /// Cause or remedy in words.
    pub detail: String,
    /// Whether it was the container's first process that failed, and not the runtime.
    #[serde(skip)]
    pub of_init: bool,
}

/// The result of one step.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure that the kernel reported.
    pub fn new(operation: impl Into<String>, object: impl fmt::Display, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        let errno = error.raw_os_error();
        let detail = if errno.is_some() { String::new() } else { error.to_string() };
        Self { operation: operation.into(), object: object.to_string(), errno, detail, of_init: false }
    }

    /// A failure with a cause in words.
    pub fn because(
        operation: impl Into<String>,
        object: impl fmt::Display,
        detail: impl fmt::Display,
    ) -> Self {
        Self {
            operation: operation.into(),
            object: object.to_string(),
            errno: None,
            detail: detail.to_string(),
            of_init: false,
        }
    }

    /// The same with a cause or remedy.
    pub fn hint(mut self, detail: impl fmt::Display) -> Self {
        self.detail = detail.to_string();
        self
    }

    /// Whether the kernel's answer was `errno`.
    pub fn is(&self, errno: rustix::io::Errno) -> bool {
        self.errno == Some(errno.raw_os_error())
    }
}

/// An errno in the words of strerror(3), lower case as Go prints it: callers of runc match on these.
pub fn errno_text(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.operation)?;
        if !self.object.is_empty() {
            write!(f, " {}", self.object)?;
        }
        if let Some(errno) = self.errno {
            write!(f, ": {}", errno_text(errno))?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Turns an error into a [`Failure`] that names operation and object.
pub trait OrFail<T> {
    /// Names what was tried.
    fn or_fail(self, operation: &str, object: impl fmt::Display) -> Result<T>;

    /// Names what was tried on a path.
    fn or_fail_at(self, operation: &str, path: impl AsRef<Path>) -> Result<T>
    where
        Self: Sized,
    {
        self.or_fail(operation, path.as_ref().display())
    }
}

impl<T, E: Into<io::Error>> OrFail<T> for std::result::Result<T, E> {
    fn or_fail(self, operation: &str, object: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Failure::new(operation, object, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_operation_object_errno_and_cause() {
        let failure = Failure::new("mount", "/proc", rustix::io::Errno::PERM).hint("no CAP_SYS_ADMIN");
        assert_eq!(failure.to_string(), "mount /proc: operation not permitted: no CAP_SYS_ADMIN");
        assert_eq!(Failure::because("exec", "", "no args").to_string(), "exec: no args");
    }

    #[test]
    fn crosses_the_wire_unchanged() {
        let failure = Failure::new("open", "\"/a\nb\"", rustix::io::Errno::NOENT);
        let text = serde_json::to_vec(&failure).unwrap();
        assert_eq!(serde_json::from_slice::<Failure>(&text).unwrap(), failure);
    }
}
