//! Reading `config.json`, which may come from anybody.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use oci::spec::Spec;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::failure::{Failure, OrFail, Result};

/// The largest configuration that is read, in bytes.
const LIMIT: u64 = 8 << 20;
/// As many objects and values as it may have. A byte of text can cost a hundred when it is parsed and planned: these
/// bounds keep a hostile configuration, like the largest honest one, below 64 MiB.
const OBJECTS: usize = 1 << 15;
const VALUES: usize = 1 << 18;

/// A bundle whose configuration has been read: once, so that nobody can change it between two looks.
#[derive(Debug)]
pub struct Bundle {
    pub(crate) path: PathBuf,
    pub(crate) spec: Spec,
    pub(crate) text: Vec<u8>,
}

impl Bundle {
    /// A bundle whose configuration is the caller's own. `path` is what relative paths in it are relative to; no
    /// `config.json` is read there, nor written (hooks of others may look for one).
    ///
    /// # Errors
    /// Where `path` can't be made absolute.
    pub fn new(path: &Path, spec: Spec) -> Result<Self> {
        let path = std::path::absolute(path).or_fail_at("use bundle", path)?;
        let text =
            serde_json::to_vec(&spec).map_err(|error| Failure::because("encode", "config.json", error))?;
        Ok(Self { path, spec, text })
    }

    /// Reads the configuration of the bundle in `directory`.
    ///
    /// # Errors
    /// Where there is no such directory, and as [`read`].
    pub fn open(directory: &Path) -> Result<Self> {
        let path = std::fs::canonicalize(directory).or_fail_at("open bundle", directory)?;
        let (spec, text) = read(&path.join("config.json"))?;
        Ok(Self { path, spec, text })
    }

    /// Whether its process wants a terminal.
    pub fn has_terminal(&self) -> bool {
        self.spec.process.as_ref().is_some_and(|process| process.terminal)
    }
}

/// Reads a configuration: parsed, and as it was written.
///
/// # Errors
/// Where it can't be read, is too large, or is no configuration: then with line and column.
pub(crate) fn read(path: &Path) -> Result<(Spec, Vec<u8>)> {
    // A FIFO would be waited for.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            return Err(Failure::because(
                "read",
                "",
                format!("JSON specification file {} not found", path.display()),
            ));
        }
        other => File::from(other.or_fail_at("open", path)?),
    };
    if !file.metadata().or_fail_at("stat", path)?.is_file() {
        return Err(Failure::because("read", path.display(), "it is not a regular file"));
    }
    let mut text = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut text).or_fail_at("read", path)?;
    if text.len() as u64 > LIMIT {
        return Err(Failure::because("read", path.display(), "it is larger than 8 MiB"));
    }
    let (objects, values) = census(&text);
    if objects > OBJECTS || values > VALUES {
        let detail =
            format!("it has {objects} objects and {values} values; at most {OBJECTS} and {VALUES} are read");
        return Err(Failure::because("read", path.display(), detail));
    }
    let spec =
        serde_json::from_slice(&text).map_err(|error| Failure::because("parse", path.display(), error))?;
    Ok((spec, text))
}

/// How many objects and values a JSON text has, which need not be right: what begins an object, and what separates
/// values, outside of strings.
fn census(text: &[u8]) -> (usize, usize) {
    let (mut objects, mut values) = (0, 1);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' if !in_string => objects += 1,
            b',' if !in_string => values += 1,
            _ => {}
        }
    }
    (objects, values)
}

#[cfg(test)]
mod tests {
    use super::census;

    #[test]
    fn strings_are_not_counted() {
        assert_eq!(census(br#"{"a{,": [1, 2, {"\\": "\",{"}]}"#), (2, 3));
        assert_eq!(census(b""), (0, 1));
    }
}
