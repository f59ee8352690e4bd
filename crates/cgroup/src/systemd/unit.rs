use std::collections::BTreeMap;

use oci::spec::resources::LinuxResources;
use serde::{Deserialize, Serialize};

use super::manager::{Manager, Property};
use super::value::Value;
use super::{annotation, properties};
use crate::Error;
use crate::devices::Policy;
use crate::path::GroupPath;

/// A scope (or slice) and the slice that it is in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Unit {
    /// The unit's name: `PREFIX-NAME.scope`, or `NAME.slice`.
    name: String,
    /// The slice: `system.slice`, `machine-x.slice`.
    slice: String,
    /// Whether the user's manager makes it.
    user: bool,
    /// Properties from annotations.
    #[serde(skip)]
    extra: Vec<Property>,
}

impl Unit {
    /// The unit for `slice:prefix:name`; without a path, `runc-ID.scope` in the default slice.
    pub fn new(cgroups_path: Option<&str>, id: &str, rootless: bool) -> Result<Self, Error> {
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
        Ok(Self { name, slice: slice.to_owned(), user: rootless, extra: Vec::new() })
    }

    /// Takes the properties that annotations ask for.
    pub fn annotate(&mut self, annotations: &BTreeMap<String, String>) -> Result<(), Error> {
        self.extra = annotation::properties(annotations)
            .map_err(|(key, reason)| Error::InvalidAnnotation { key, reason })?;
        Ok(())
    }

    /// Where systemd puts the unit. The user's manager is in a group of its own, and its units below that.
    pub fn path(&self) -> Result<GroupPath, Error> {
        let below = self.path_below_manager()?;
        if !self.user {
            return Ok(below);
        }
        Ok(GroupPath::clean(&Manager::connect(true)?.own_group()?)?.join(&below))
    }

    fn path_below_manager(&self) -> Result<GroupPath, Error> {
        GroupPath::clean(&format!("{}/{}", expand(&self.slice)?, self.name))
    }

    /// Whether the user's manager makes it.
    pub fn is_users(&self) -> bool {
        self.user
    }

    fn is_slice(&self) -> bool {
        self.name.ends_with(".slice")
    }

    /// Lets systemd make the unit around process `pid`, with its limits. It is made as a whole or not at all.
    pub fn start(
        &self,
        pid: Option<u32>,
        resources: &LinuxResources,
        policy: &Policy,
        unified: bool,
    ) -> Result<(), Error> {
        let mut manager = Manager::connect(self.user)?;
        let mut properties = self.description(pid, unified)?;
        properties.extend(limits(&mut manager, resources, unified)?);
        if !self.user {
            properties.extend(properties::devices(policy));
        }
        properties.extend(self.extra.iter().cloned());
        manager.start(&self.name, &properties)
    }

    /// What does not depend on limits. Accounting is on so that all controllers are there from the start.
    fn description(&self, pid: Option<u32>, unified: bool) -> Result<Vec<Property>, Error> {
        let on = |name: &str| (name.to_owned(), Value::Bool(true));
        let mut properties =
            vec![("Description".to_owned(), Value::Text(format!("Container {}", self.name)))];
        if self.is_slice() {
            let slices = Value::Array("s".to_owned(), vec![Value::text(&self.slice)]);
            properties.push(("Wants".to_owned(), slices));
        } else {
            let pid = pid.ok_or(Error::NoProcess)?;
            properties.push(("Slice".to_owned(), Value::text(&self.slice)));
            properties.push(on("Delegate"));
            properties.push(("PIDs".to_owned(), Value::Array("u".to_owned(), vec![Value::U32(pid)])));
        }
        let io = if unified { "IOAccounting" } else { "BlockIOAccounting" };
        properties.extend(["MemoryAccounting", "CPUAccounting", io, "TasksAccounting"].map(on));
        properties.push(("DefaultDependencies".to_owned(), Value::Bool(false)));
        Ok(properties)
    }

    /// Tells systemd of changed limits.
    pub fn set(&self, resources: &LinuxResources, unified: bool) -> Result<(), Error> {
        let mut manager = Manager::connect(self.user)?;
        let mut properties = limits(&mut manager, resources, unified)?;
        if !resources.devices.is_empty() && !self.user {
            properties.extend(properties::devices(&Policy::new(&resources.devices)?));
        }
        if properties.is_empty() { Ok(()) } else { manager.set(&self.name, &properties) }
    }

    /// Moves process `pid` into the unit's group, or below it to where `path`, a path of the host, leads.
    pub fn attach(&self, path: &GroupPath, pid: u32) -> Result<(), Error> {
        let below = path.as_str().split_once(&self.name).map_or("", |(_, below)| below);
        Manager::connect(self.user)?.attach(&self.name, below.trim_start_matches('/'), pid)
    }

    /// Lets systemd stop the unit and forget it.
    pub fn stop(&self) -> Result<(), Error> {
        Manager::connect(self.user)?.stop(&self.name)
    }
}

/// Some properties depend on systemd's version, which is asked for only then.
fn limits(manager: &mut Manager, resources: &LinuxResources, unified: bool) -> Result<Vec<Property>, Error> {
    let matters = resources.cpu.is_some() || !resources.unified.is_empty();
    let version = if matters { manager.version()? } else { 0 };
    properties::properties(resources, unified, version)
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
        Ok(Unit::new(Some(cgroups_path), "id", false)?.path_below_manager()?.as_str().to_owned())
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
        assert_eq!(
            Unit::new(None, "c1", true).unwrap().path_below_manager().unwrap().as_str(),
            "user.slice/runc-c1.scope"
        );
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
