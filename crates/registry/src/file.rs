//! Why a file of configuration can't be used.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why a file of configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A system call failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file isn't what it should be.
    #[error("{}: {reason}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What is wrong in it.
        reason: String,
    },
}

impl FileError {
    /// `operation` on `path` failed with `source`.
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> FileError {
        FileError::Io { operation, path: path.to_owned(), source }
    }

    /// `path` isn't what it should be.
    pub(crate) fn syntax(path: &Path, reason: impl ToString) -> FileError {
        FileError::Syntax { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// Reads a file that need not exist.
pub(crate) fn read_optional(path: &Path) -> Result<Option<String>, FileError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(source) => Err(FileError::io("read", path, source)),
    }
}

/// The files of `directory`, which need not exist, that end in `.extension`, in the order of their names.
pub(crate) fn with_extension(directory: &Path, extension: &str) -> Result<Vec<PathBuf>, FileError> {
    let failed = |source| FileError::io("list", directory, source);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A host name that is longer than a file name can't have a directory either.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    )
}
