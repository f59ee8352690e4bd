//! Container identifiers.

use std::fmt;

/// The name of a container below a state root: one path component, in runc's alphabet
/// (`[A-Za-z0-9_+.-]`, neither `.` nor `..`), at most 1024 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

/// Why a string is no container id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidId {
    /// The empty string.
    #[error("container id cannot be empty")]
    Empty,
    /// Longer than 1024 bytes.
    #[error("container id is {0} bytes long: the limit is 1024")]
    TooLong(usize),
    /// A character outside the alphabet, or a relative path component.
    #[error("invalid id format {0:?}: use letters, digits and any of _ + - . (not just dots)")]
    Characters(String),
}

impl ContainerId {
    /// Checks `id`.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidId> {
        let id = id.into();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+-.".contains(&b);
        match id.as_str() {
            "" => Err(InvalidId::Empty),
            _ if id.len() > 1024 => Err(InvalidId::TooLong(id.len())),
            "." | ".." => Err(InvalidId::Characters(id)),
            _ if !id.bytes().all(allowed) => Err(InvalidId::Characters(id)),
            _ => Ok(Self(id)),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_runcs_alphabet() {
        for id in ["a", "test_busybox", "A-1.b+c", "..a"] {
            assert_eq!(ContainerId::new(id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn refuses_what_could_leave_the_state_root() {
        for id in ["", ".", "..", "a/b", "/a", "a\0", "a b", "é"] {
            assert!(ContainerId::new(id).is_err(), "{id:?}");
        }
        assert_eq!(ContainerId::new("x".repeat(1025)), Err(InvalidId::TooLong(1025)));
    }
}
