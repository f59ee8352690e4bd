//! Names of volumes.

use super::{Result, VolumeError};

/// Checks a name as Docker does: it becomes a directory.
///
/// # Errors
/// It is none.
pub fn check(name: &str) -> Result<()> {
    let sound = (2..=255).contains(&name.len())
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if sound { Ok(()) } else { Err(VolumeError::Name(name.to_owned())) }
}

/// A name for a volume that nobody names: 64 hexadecimal digits.
pub(super) fn random() -> Result<String> {
    crate::id::new().map_err(|error| {
        let source = std::io::Error::other(error.to_string());
        VolumeError::io("draw random bytes from", "the kernel", source)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dockers() {
        for good in ["data", "a1", "0_x-y.z"] {
            check(good).unwrap();
        }
        for bad in ["", "a", ".new-1", "_x", "a/b", "../x", "a b", "é1", &"x".repeat(256)] {
            assert!(check(bad).unwrap_err().to_string().contains("invalid characters"), "{bad}");
        }
    }
}
