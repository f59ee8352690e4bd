//! Paths of groups: pure text work, no file is touched.

use serde::{Deserialize, Serialize};

use crate::Error;

/// A path in a hierarchy: components without `/`, none of them empty, `.` or `..`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct GroupPath(String);

/// Longest component that kernfs takes (`NAME_MAX`).
const NAME_MAX: usize = 255;
/// Longest path that fits a system call together with a mount point and a file name.
const PATH_MAX: usize = 4096 - 256;

impl GroupPath {
    /// `text` cleaned as `filepath.Clean("/" + text)` does: `..` never climbs above the hierarchy
    /// (runc's rule; `/../../x` is `x`).
    pub fn clean(text: &str) -> Result<Self, Error> {
        let invalid = |reason| Error::InvalidPath { path: text.chars().take(128).collect(), reason };
        if text.len() > PATH_MAX {
            return Err(invalid("too long: the limit is 3840 bytes"));
        }
        let mut components: Vec<&str> = Vec::new();
        for component in text.split('/') {
            match component {
                "" | "." => {}
                ".." => drop(components.pop()),
                // The kernel refuses line feeds: they would forge lines of /proc/PID/cgroup.
                _ if component.contains(['\0', '\n']) => {
                    return Err(invalid("a NUL or line feed cannot be part of a name"));
                }
                _ if component.len() > NAME_MAX => {
                    return Err(invalid("a component is longer than 255 bytes"));
                }
                _ => components.push(component),
            }
        }
        Ok(Self(components.join("/")))
    }

    /// The path below: `self/below`.
    pub fn join(&self, below: &Self) -> Self {
        match (self.0.as_str(), below.0.as_str()) {
            ("", _) => below.clone(),
            (_, "") => self.clone(),
            (above, below) => Self(format!("{above}/{below}")),
        }
    }

    /// The path without its last component; that of the root is the root.
    pub fn parent(&self) -> Self {
        Self(self.0.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned())
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// Whether this is the root of the hierarchy.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `other` is this path or lies below it.
    pub fn contains(&self, other: &Self) -> bool {
        self.is_root()
            || other.0.strip_prefix(&self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The part of `other` below this path, if it lies there.
    pub fn strip_from(&self, other: &Self) -> Option<Self> {
        self.contains(other).then(|| Self(other.0[self.0.len()..].trim_start_matches('/').to_owned()))
    }

    /// Relative to the mount point, without a leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for GroupPath {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::clean(&text)
    }
}

impl From<GroupPath> for String {
    fn from(path: GroupPath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(text: &str) -> String {
        GroupPath::clean(text).unwrap().0
    }

    #[test]
    fn cleans_as_runc_does() {
        for (text, path) in [
            ("", ""),
            ("/", ""),
            ("a", "a"),
            ("/a//b/./c/", "a/b/c"),
            ("/../../../etc", "etc"),
            ("../../../../a/../../b", "b"),
            ("a/..", ""),
            ("...", "..."),
        ] {
            assert_eq!(clean(text), path, "{text:?}");
        }
    }

    #[test]
    fn refuses_what_the_kernel_or_proc_would_trip_over() {
        for text in ["a\0b", "x\n0::/y", &"a".repeat(256), &"a/".repeat(2000)] {
            assert!(GroupPath::clean(text).is_err());
        }
    }

    #[test]
    fn knows_what_lies_below() {
        let path = |text| GroupPath::clean(text).unwrap();
        assert!(path("a").contains(&path("a/b")) && path("a").contains(&path("a")));
        assert!(path("").contains(&path("a")));
        assert!(!path("a").contains(&path("ab")) && !path("a/b").contains(&path("a")));
        assert_eq!(path("a").strip_from(&path("a/b/c")), Some(path("b/c")));
        assert_eq!(path("").strip_from(&path("b")), Some(path("b")));
        assert_eq!(path("a").strip_from(&path("b")), None);
        assert_eq!(path("a/b").parent(), path("a"));
        assert_eq!(path("a").parent(), path(""));
        assert_eq!(path("a/b").name(), "b");
    }

    proptest! {
        #[test]
        fn never_leaves_the_hierarchy(text in "[a./\\\\ \u{e9}-]{0,40}") {
            let path = clean(&text);
            prop_assert!(!path.starts_with('/'));
            prop_assert!(path.split('/').all(|name| !matches!(name, "." | "..")));
            prop_assert_eq!(clean(&path), path);
        }
    }
}
