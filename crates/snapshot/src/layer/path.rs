//! Names of entries, brought to relative paths without `.`, `..` or empty components.

use super::LayerError;

/// The longest path that one system call takes, without its NUL.
const MAX_PATH: usize = 4095;

/// The deepest path: nobody nests deeper, and who walks a layer holds a descriptor for each level.
const MAX_DEPTH: usize = 256;

/// `name` relative to the layer's root; empty for the root itself. A leading slash means the root, as it does
/// to Docker; `..` means nothing good and is refused, even where it would stay inside.
pub fn relative(name: &[u8]) -> Result<Vec<u8>, LayerError> {
    let mut path = Vec::with_capacity(name.len());
    let mut depth = 0;
    for component in name.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => continue,
            b".." => return Err(LayerError::refused(name, "its name has a \"..\" component")),
            _ if component.contains(&0) => return Err(LayerError::refused(name, "its name has a NUL byte")),
            _ if component.len() > 255 => {
                return Err(LayerError::refused(name, "a component of its name has more than 255 bytes"));
            }
            _ => {}
        }
        depth += 1;
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(component);
    }
    match (path.len(), depth) {
        (..=MAX_PATH, ..=MAX_DEPTH) => Ok(path),
        (..=MAX_PATH, _) => Err(LayerError::refused(name, "it is more than 256 directories deep")),
        _ => Err(LayerError::refused(name, "its name has more than 4095 bytes")),
    }
}

/// A relative path as the directory it is in and its own name.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_relative() {
        for (name, path) in [
            (&b"./etc//passwd"[..], &b"etc/passwd"[..]),
            (b"/abs/olute/", b"abs/olute"),
            (b"./", b""),
            (b"/", b""),
            (b"a/./b", b"a/b"),
            (b"\xff..", b"\xff.."),
            (b"...", b"..."),
        ] {
            assert_eq!(relative(name).unwrap(), path);
        }
        let long = [b'a'; 256];
        for bad in [&b"../x"[..], b"a/../../x", b"a/..", b"/..", b"a\0b", &long, &b"a/".repeat(2050)] {
            assert!(relative(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split(b"c"), (&b""[..], &b"c"[..]));
    }
}
