//! What an observer writes down: a file of lines, one JSON document each, that grows to a bound and no further.
//!
//! The observer holds an exclusive flock on it for as long as it observes: who takes a shared one has waited for all
//! that will ever be in it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};

use serde::{Deserialize, Serialize};

use crate::denial::Denial;
use crate::learned::Learned;

/// How many different denials are kept.
pub const MOST: usize = 256;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// Something was denied.
    Denied(Denial),
    /// Something could not be observed.
    Unobserved(String),
    /// What the whole run needed.
    Learned(Box<Learned>),
}

/// Writes entries.
#[derive(Debug)]
pub struct Recorder {
    file: File,
    denials: Vec<Denial>,
    full: bool,
}

impl Recorder {
    /// Begins anew with a file.
    ///
    /// # Errors
    /// Those of ftruncate(2).
    pub fn new(file: File) -> io::Result<Self> {
        file.set_len(0)?;
        Ok(Self { file, denials: Vec::new(), full: false })
    }

    /// Writes an entry; a denial like an earlier one, or one too many, is not written.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn write(&mut self, entry: &Entry) -> io::Result<()> {
        if let Entry::Denied(denial) = entry {
            if self.full || self.denials.iter().any(|earlier| earlier.is_like(denial)) {
                return Ok(());
            }
            if self.denials.len() == MOST {
                self.full = true;
                return self
                    .append(&Entry::Unobserved(format!("what was denied after the first {MOST} kinds")));
            }
            self.denials.push(denial.clone());
        }
        self.append(entry)
    }

    fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry).map_err(io::Error::other)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

/// Reads a file of entries from its beginning; what is only half written is left out.
///
/// # Errors
/// Those of read(2).
pub fn read(file: &mut File) -> io::Result<Vec<Entry>> {
    file.rewind()?;
    let lines = BufReader::new(file.take(64 << 20)).lines();
    lines.filter_map(|line| line.map(|line| serde_json::from_str(&line).ok()).transpose()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::denial::Cause;

    fn denial(call: &str) -> Denial {
        Denial {
            at: 1,
            pid: 7,
            command: "sh".into(),
            call: call.into(),
            object: String::new(),
            errno: "EPERM".into(),
            cause: Cause::Seccomp,
            why: "why".into(),
            allowed_by: None,
        }
    }

    #[test]
    fn each_kind_is_kept_once_and_they_are_bounded() {
        let fd = rustix::fs::memfd_create("record", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let mut file = File::from(fd);
        let mut recorder = Recorder::new(file.try_clone().unwrap()).unwrap();
        for number in 0..MOST + 5 {
            let entry = Entry::Denied(denial(&number.to_string()));
            recorder.write(&entry).unwrap();
            recorder.write(&entry).unwrap();
        }
        file.write_all(b"{\"denied\":").unwrap();
        let entries = read(&mut file).unwrap();
        assert_eq!(entries.len(), MOST + 1);
        assert_eq!(entries[0], Entry::Denied(denial("0")));
        assert!(matches!(&entries[MOST], Entry::Unobserved(_)));
    }
}
