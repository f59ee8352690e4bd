use serde::{Deserialize, Serialize};

use crate::Error;
use crate::path::GroupPath;

/// A scope (or slice) and the slice that it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// The unit's name: `PREFIX-NAME.scope`, or `NAME.slice`.
    name: String,
    /// The slice: `system.slice`, `machine-x.slice`.
    slice: String,
}

impl Unit {
    /// The unit for `slice:prefix:name`; without a path, `runc-ID.scope` in the default slice.
    pub(crate) fn new(cgroups_path: Option<&str>, id: &str, rootless: bool) -> Result<Self, Error> {
        let parts: Vec<&str> =
            cgroups_path.map_or_else(|| vec!["", "runc", id], |path| path.split(':').collect());
        let [slice, prefix, name] = parts[..] else {
            return Err(Error::InvalidPath {
                path: cgroups_path.unwrap_or_default().to_owned(),
                reason: "expected the format \"slice:prefix:name\" for systemd cgroups",
            });
        };
        let name = if name.ends_with(".slice") { name.to_owned() } else { format!("{prefix}-{name}.scope") };
        let slice = match slice {
            "" if rootless => "user.slice",
            "" => "system.slice",
            slice => slice,
        };
        Ok(Self { name, slice: slice.to_owned() })
    }

    /// Where systemd puts the unit, below its own group.
    pub(crate) fn path(&self) -> Result<GroupPath, Error> {
        GroupPath::clean(&format!("{}/{}", expand(&self.slice)?, self.name))
    }
}

/// A slice's name spells its path: `a-b.slice` is `a.slice/a-b.slice`.
fn expand(slice: &str) -> Result<String, Error> {
    let invalid = || Error::InvalidPath { path: slice.to_owned(), reason: "invalid slice name" };
    let name = slice.strip_suffix(".slice").filter(|name| !name.is_empty()).ok_or_else(invalid)?;
    if name == "-" {
        return Ok(String::new());
    }
    if name.contains('/') || name.split('-').any(str::is_empty) {
        return Err(invalid());
    }
    let dashes = name.match_indices('-').map(|(at, _)| at).chain([name.len()]);
    Ok(dashes.map(|end| format!("{}.slice", &name[..end])).collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(cgroups_path: &str) -> Result<String, Error> {
        Ok(Unit::new(Some(cgroups_path), "id", false)?.path()?.as_str().to_owned())
    }

    #[test]
    fn slices_spell_their_path() {
        assert_eq!(
            path("machine-a-b.slice:libpod:1").unwrap(),
            "machine.slice/machine-a.slice/machine-a-b.slice/libpod-1.scope"
        );
        assert_eq!(path(":docker:1").unwrap(), "system.slice/docker-1.scope");
        assert_eq!(path("-.slice:p:n").unwrap(), "p-n.scope");
        assert_eq!(path("a.slice::b.slice").unwrap(), "a.slice/b.slice");
        assert_eq!(Unit::new(None, "c1", true).unwrap().path().unwrap().as_str(), "user.slice/runc-c1.scope");
    }

    #[test]
    fn malformed_names_are_refused() {
        for bad in
            ["a", "a:b", "a:b:c:d", "a:b:c", ".slice:b:c", "a--b.slice:b:c", "-a.slice:b:c", "a/b.slice:p:n"]
        {
            assert!(path(bad).is_err(), "{bad}");
        }
    }
}
