//! Capabilities of files: the extended attribute `security.capability`; include/uapi/linux/capability.h,
//! `struct vfs_ns_cap_data`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, XattrFlags};
use rustix::io::Errno;

use crate::CapSet;
use crate::text::State;

const ATTRIBUTE: &str = "security.capability";
const EFFECTIVE_FLAG: u32 = 1;

/// What exec gives a process that runs the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileCapabilities {
    /// Given, as far as the bounding set allows.
    pub permitted: CapSet,
    /// Given to whoever has it inheritable.
    pub inheritable: CapSet,
    /// Whether what was given is effective at once.
    pub effective: bool,
    /// For which user namespace: the id, as the reader sees it, of the root of that namespace. None is the
    /// attribute's version without this field, which holds in the namespace that the file system belongs to.
    pub root_id: Option<u32>,
}

/// Why an attribute is no file capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum FormatError {
    #[error("{0} bytes are too few or too many")]
    Length(usize),
    #[error("unknown version {0:#x}")]
    Version(u32),
}

/// Why a state can't be that of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a file has one effective bit for all its capabilities: {:?} would be permitted or inheritable but not \
     effective", .0
)]
pub struct PartlyEffective(pub CapSet);

/// Why a file's capabilities could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum FileError {
    #[error("open {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("{} is not a regular file", path.display())]
    NotRegular { path: PathBuf },
    #[error("{action} the capabilities of {}: {source}{}", path.display(), hint(source))]
    Attribute { action: &'static str, path: PathBuf, source: io::Error },
    #[error("read the capabilities of {}: {source}", path.display())]
    Format { path: PathBuf, source: FormatError },
}

fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::PERM) => "; it needs CAP_SETFCAP over the file's owner",
        Some(Errno::OPNOTSUPP) => "; this file system keeps no extended attributes",
        _ => "",
    }
}

impl FileCapabilities {
    /// Reads the attribute's bytes, in any of the three versions.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        if !bytes.len().is_multiple_of(4) || !(4..=24).contains(&bytes.len()) {
            return Err(FormatError::Length(bytes.len()));
        }
        let words: Vec<u32> = bytes
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        let (version, expected) = match words[0] >> 24 {
            1 => (1, 3),
            2 => (2, 5),
            3 => (3, 6),
            other => return Err(FormatError::Version(other)),
        };
        if words.len() != expected {
            return Err(FormatError::Length(bytes.len()));
        }
        let high = |word: usize| if version > 1 { u64::from(words[word]) << 32 } else { 0 };
        Ok(Self {
            permitted: CapSet::from_bits(u64::from(words[1]) | high(3)),
            inheritable: CapSet::from_bits(u64::from(words[2]) | high(4)),
            effective: words[0] & EFFECTIVE_FLAG != 0,
            root_id: (version == 3).then(|| words[5]),
        })
    }

    /// Writes the attribute's bytes: version 3 where there is a root id, else version 2.
    pub fn encode(&self) -> Vec<u8> {
        let version: u32 = if self.root_id.is_some() { 3 } else { 2 };
        let low = |set: CapSet| (set.bits() & u64::from(u32::MAX)) as u32;
        let high = |set: CapSet| (set.bits() >> 32) as u32;
        let words = [
            version << 24 | u32::from(self.effective),
            low(self.permitted),
            low(self.inheritable),
            high(self.permitted),
            high(self.inheritable),
        ];
        words.into_iter().chain(self.root_id).flat_map(u32::to_le_bytes).collect()
    }

    /// The three sets, as the text form speaks of them.
    pub fn state(&self) -> State {
        let given = self.permitted | self.inheritable;
        State {
            effective: if self.effective { given } else { CapSet::EMPTY },
            permitted: self.permitted,
            inheritable: self.inheritable,
        }
    }

    /// The file capabilities with these sets, if one bit can say what is effective.
    pub fn from_state(state: State, root_id: Option<u32>) -> Result<Self, PartlyEffective> {
        let missing = (state.permitted | state.inheritable) - state.effective;
        if !state.effective.is_empty() && !missing.is_empty() {
            return Err(PartlyEffective(missing));
        }
        Ok(Self {
            permitted: state.permitted,
            inheritable: state.inheritable,
            effective: !state.effective.is_empty(),
            root_id,
        })
    }

    /// Reads those of the file at `path`, whose last component is not followed; none if it has none.
    pub fn read(path: &Path) -> Result<Option<Self>, FileError> {
        let mut bytes = [0; 64];
        match rustix::fs::lgetxattr(path, ATTRIBUTE, &mut bytes) {
            Ok(length) => match Self::decode(&bytes[..length]) {
                Ok(capabilities) => Ok(Some(capabilities)),
                Err(source) => Err(FileError::Format { path: path.to_owned(), source }),
            },
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            Err(errno) => Err(attribute_error("read", path, errno)),
        }
    }

    /// Gives them to the regular file at `path`.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        let file = open_regular(path)?;
        rustix::fs::fsetxattr(file.as_fd(), ATTRIBUTE, &self.encode(), XattrFlags::empty())
            .map_err(|errno| attribute_error("set", path, errno))
    }

    /// Takes all capabilities from the regular file at `path`; false if it had none.
    pub fn remove(path: &Path) -> Result<bool, FileError> {
        let file = open_regular(path)?;
        match rustix::fs::fremovexattr(file.as_fd(), ATTRIBUTE) {
            Ok(()) => Ok(true),
            Err(Errno::NODATA) => Ok(false),
            Err(errno) => Err(attribute_error("remove", path, errno)),
        }
    }
}

fn open_regular(path: &Path) -> Result<File, FileError> {
    // NONBLOCK: a FIFO must not make us wait. NOFOLLOW: capabilities are for the file that was named.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let open = || {
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        let regular = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) == FileType::RegularFile;
        Ok((fd, regular))
    };
    match open() {
        Ok((fd, true)) => Ok(File::from(fd)),
        Ok((_, false)) | Err(Errno::LOOP) => Err(FileError::NotRegular { path: path.to_owned() }),
        Err(errno) => Err(FileError::Open { path: path.to_owned(), source: errno.into() }),
    }
}

fn attribute_error(action: &'static str, path: &Path, errno: Errno) -> FileError {
    FileError::Attribute { action, path: path.to_owned(), source: errno.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_versions_are_read() {
        let version_1 = [1, 0, 0, 1, 0, 32, 0, 0, 1, 0, 0, 0];
        let read = FileCapabilities::decode(&version_1).unwrap();
        assert_eq!((read.permitted.bits(), read.inheritable.bits(), read.effective), (0x2000, 1, true));
        for root_id in [None, Some(100_000)] {
            let capabilities = FileCapabilities {
                permitted: CapSet::from_bits(0x180_0000_2000),
                inheritable: CapSet::all(),
                effective: false,
                root_id,
            };
            assert_eq!(FileCapabilities::decode(&capabilities.encode()), Ok(capabilities));
        }
    }

    #[test]
    fn broken_attributes_are_refused() {
        assert_eq!(FileCapabilities::decode(&[]), Err(FormatError::Length(0)));
        assert_eq!(FileCapabilities::decode(&[0; 28]), Err(FormatError::Length(28)));
        assert_eq!(FileCapabilities::decode(&[0, 0, 0, 2, 0, 0, 0, 0]), Err(FormatError::Length(8)));
        assert_eq!(FileCapabilities::decode(&[0, 0, 0, 9]), Err(FormatError::Version(9)));
    }

    #[test]
    fn a_file_is_effective_for_all_or_nothing() {
        let state = |text| State::parse(text, CapSet::all()).unwrap();
        assert!(FileCapabilities::from_state(state("cap_kill=ep cap_chown=p"), None).is_err());
        assert!(FileCapabilities::from_state(state("cap_kill=ep cap_chown=ei"), None).unwrap().effective);
        assert!(!FileCapabilities::from_state(state("cap_kill=p cap_chown=i"), None).unwrap().effective);
    }

    #[test]
    fn only_regular_files_are_changed() {
        for path in ["/dev/null", "/", "/proc/self/exe"] {
            let error = FileCapabilities::remove(Path::new(path)).unwrap_err();
            assert!(matches!(error, FileError::NotRegular { .. }), "{path}: {error}");
        }
    }
}
