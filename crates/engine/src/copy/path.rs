//! Paths of `cp`, and what it makes of source and destination: pure.

use std::path::{Component, Path, PathBuf};

/// One side of `cp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// A path of the host.
    Local(PathBuf),
    /// A path in a container.
    Container {
        /// Its name or id.
        name: String,
        /// The path.
        path: String,
    },
    /// A tar stream on stdin or stdout.
    Stream,
}

impl Side {
    /// Reads `-`, a local path, or `CONTAINER:PATH`; a local path with a colon starts with `/` or `.`.
    pub fn parse(text: &str) -> Side {
        if text == "-" {
            return Side::Stream;
        }
        match text.split_once(':') {
            Some((name, path)) if !text.starts_with(['/', '.']) && !name.is_empty() => {
                Side::Container { name: name.to_owned(), path: path.to_owned() }
            }
            _ => Side::Local(PathBuf::from(text)),
        }
    }
}

/// A path, as its end says what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Clean, absolute for a container's.
    pub path: PathBuf,
    /// It ends with `/.`: what is in the directory is meant, not the directory.
    pub contents: bool,
    /// It ends with `/` or `/.`.
    pub is_directory: bool,
}

impl Named {
    /// A path in a container, from its root.
    pub fn in_container(text: &str) -> Named {
        let parts = Named::of(text);
        let mut path = PathBuf::from("/");
        for component in parts.path.components() {
            match component {
                Component::Normal(name) => path.push(name),
                Component::ParentDir => drop(path.pop()),
                _ => {}
            }
        }
        Named { path, ..parts }
    }

    /// A path of the host: `..` stays, as links before it count.
    pub fn of(text: &str) -> Named {
        let contents = text == "." || text.ends_with("/.");
        let is_directory =
            contents || text.is_empty() || text.ends_with('/') || text == ".." || text.ends_with("/..");
        let path = if text.is_empty() { PathBuf::from(".") } else { Path::new(text).components().collect() };
        Named { path, contents, is_directory }
    }

    /// The directory that it is in, and its name there; `.` for a root, and for what ends with `..`.
    pub fn split(&self) -> (PathBuf, Vec<u8>) {
        use std::os::unix::ffi::OsStrExt;
        match (self.path.parent(), self.path.file_name()) {
            (Some(parent), Some(name)) => {
                let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                (parent.to_owned(), name.as_bytes().to_vec())
            }
            _ => (self.path.clone(), b".".to_vec()),
        }
    }
}

/// What is at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    /// Nothing.
    Nothing,
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// Where the archive is unpacked, and under which name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// In the destination, under the source's name, or without any for its contents.
    Within,
    /// In the destination's directory, under the destination's name.
    As,
}

/// What `cp` does, by what is there: Docker's table.
///
/// # Errors
/// What can't be, in Docker's words.
pub(super) fn target(source_is_directory: bool, to: &Named, there: There) -> Result<Target, &'static str> {
    match (there, source_is_directory) {
        (There::Directory, _) => Ok(Target::Within),
        (There::Other, _) if to.is_directory => Err("not a directory"),
        (There::Other, true) => Err("cannot copy directory"),
        (There::Other, false) | (There::Nothing, true) => Ok(Target::As),
        (There::Nothing, false) if to.is_directory => Err("no such directory"),
        (There::Nothing, false) => Ok(Target::As),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_told_apart() {
        let container = |name: &str, path: &str| Side::Container { name: name.into(), path: path.into() };
        assert_eq!(Side::parse("web:/etc/x:y"), container("web", "/etc/x:y"));
        assert_eq!(Side::parse("web:"), container("web", ""));
        assert_eq!(Side::parse("./a:b"), Side::Local("./a:b".into()));
        assert_eq!(Side::parse("/a:b"), Side::Local("/a:b".into()));
        assert_eq!(Side::parse(":b"), Side::Local(":b".into()));
        assert_eq!(Side::parse("-"), Side::Stream);
    }

    #[test]
    fn ends_say_what_is_meant() {
        let named = |text| {
            let named = Named::in_container(text);
            (named.path.to_str().unwrap().to_owned(), named.contents, named.is_directory)
        };
        assert_eq!(named("a/../b"), ("/b".into(), false, false));
        assert_eq!(named("/a/"), ("/a".into(), false, true));
        assert_eq!(named("/a/."), ("/a".into(), true, true));
        assert_eq!(named(""), ("/".into(), false, true));
        assert_eq!(named("../../x"), ("/x".into(), false, false));
        assert_eq!(Named::of("a/b").split(), ("a".into(), b"b".to_vec()));
        assert_eq!(Named::of("b").split(), (".".into(), b"b".to_vec()));
        assert_eq!(Named::of("..").split(), ("..".into(), b".".to_vec()));
        assert_eq!(Named::in_container("/").split(), ("/".into(), b".".to_vec()));
    }

    #[test]
    fn the_table_is_dockers() {
        use There::{Directory, Nothing, Other};
        let plain = Named::of("x");
        let slash = Named::of("x/");
        for (directory, to, there, expected) in [
            (false, &plain, Nothing, Ok(Target::As)),
            (false, &slash, Nothing, Err("no such directory")),
            (false, &plain, Other, Ok(Target::As)),
            (false, &slash, Other, Err("not a directory")),
            (false, &plain, Directory, Ok(Target::Within)),
            (true, &plain, Nothing, Ok(Target::As)),
            (true, &slash, Nothing, Ok(Target::As)),
            (true, &plain, Other, Err("cannot copy directory")),
            (true, &plain, Directory, Ok(Target::Within)),
        ] {
            assert_eq!(target(directory, to, there), expected);
        }
    }
}
