//! The group of one container: where it is in every hierarchy.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::dir::Dir;
use crate::host::{self, Hierarchy};
use crate::limits::Dirs;
use crate::node::Node;
use crate::path::GroupPath;
use crate::systemd::Unit;
use crate::{Controller, Driver, Error, Host, Layout, SubPath};

/// The control group of one container, in every hierarchy of the host. It is a plan until
/// [`create`](Self::create), and can be stored and read back to find the group again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// v1's directories; empty on a pure v2 host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) legacy: Vec<Node>,
    /// v2's directory; on a hybrid host one without controllers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unified: Option<Node>,
    /// What systemd calls it, if systemd makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<Unit>,
    /// Whether a lack of permission is to be expected.
    #[serde(default)]
    pub(crate) rootless: bool,
    /// Whether the caller named the path.
    #[serde(default)]
    pub(crate) explicit: bool,
}

impl Group {
    /// Decides where the group of container `id` is; changes nothing.
    ///
    /// An absolute `cgroups_path` starts at the root of every hierarchy. A relative one, and `id` where there
    /// is none, start at the caller's own group in v1, and beside it in v2, where a group with processes has
    /// no children. `..` never leads above that root. For systemd the path is `slice:prefix:name`.
    pub fn locate(
        host: &Host,
        driver: &Driver,
        cgroups_path: Option<&str>,
        id: &str,
        rootless: bool,
    ) -> Result<Self, Error> {
        let cgroups_path = cgroups_path.filter(|path| !path.is_empty());
        let explicit = cgroups_path.is_some();
        let group = match driver {
            Driver::Cgroupfs => Self::locate_by_path(host, cgroups_path.unwrap_or(id))?,
            Driver::Systemd => Self::locate_by_unit(host, Unit::new(cgroups_path, id, rootless)?)?,
        };
        let confined = !group.legacy.is_empty() || *host.layout() == Layout::Unified;
        if !confined && !rootless {
            return Err(Error::NotMounted(host::MOUNT_POINT.into()));
        }
        let has_devices = group.legacy.iter().any(|node| node.has(Controller::Devices));
        if !group.legacy.is_empty() && !has_devices && !rootless {
            return Err(Error::NoHierarchy(Controller::Devices));
        }
        Ok(Self { rootless, explicit, ..group })
    }

    fn locate_by_path(host: &Host, text: &str) -> Result<Self, Error> {
        let path = GroupPath::clean(text)?;
        if path.is_root() {
            let reason = "names the root of the hierarchy, which is no container's";
            return Err(Error::InvalidPath { path: text.to_owned(), reason });
        }
        let absolute = text.starts_with('/');
        let in_legacy =
            |hierarchy: &Hierarchy| Ok(if absolute { path.clone() } else { hierarchy.own()?.join(&path) });
        let legacy = Self::legacy_nodes(host, in_legacy)?;
        let in_unified = match host.layout() {
            Layout::Unified if !absolute => host::own_unified()?.parent().join(&path),
            _ => path,
        };
        Ok(Self { legacy, unified: Self::unified_node(host, in_unified), ..Self::empty() })
    }

    fn locate_by_unit(host: &Host, unit: Unit) -> Result<Self, Error> {
        if unit.is_users() && *host.layout() != Layout::Unified {
            return Err(Error::RootlessSystemdLegacy);
        }
        let path = unit.path()?;
        let legacy = Self::legacy_nodes(host, |_| Ok(path.clone()))?;
        Ok(Self { legacy, unified: Self::unified_node(host, path), unit: Some(unit), ..Self::empty() })
    }

    /// Takes over what annotations `org.systemd.property.*` say of the unit; without systemd they mean nothing.
    pub fn with_annotations(mut self, annotations: &BTreeMap<String, String>) -> Result<Self, Error> {
        if let Some(unit) = &mut self.unit {
            unit.annotate(annotations)?;
        }
        Ok(self)
    }

    fn legacy_nodes(
        host: &Host,
        path: impl Fn(&Hierarchy) -> Result<GroupPath, Error>,
    ) -> Result<Vec<Node>, Error> {
        let node = |hierarchy: &Hierarchy| {
            let Hierarchy { controllers, mount_point, .. } = hierarchy.clone();
            Ok(Node { controllers, mount_point, path: path(hierarchy)? })
        };
        host.legacy().iter().map(node).collect()
    }

    fn unified_node(host: &Host, path: GroupPath) -> Option<Node> {
        let mount_point = host.unified()?.to_owned();
        Some(Node { controllers: Vec::new(), mount_point, path })
    }

    fn empty() -> Self {
        Self { legacy: Vec::new(), unified: None, unit: None, rootless: false, explicit: false }
    }

    /// Whether v2 is what sets limits.
    pub fn is_unified(&self) -> bool {
        self.unified.is_some() && self.legacy.is_empty()
    }

    /// Whether systemd makes the group. It does so around a process: [`create`](Self::create) then needs one.
    pub fn is_systemd(&self) -> bool {
        self.unit.is_some()
    }

    /// Directories by controller, as runc's state has them; v2's controller is the empty string.
    pub fn paths(&self) -> BTreeMap<&'static str, PathBuf> {
        let legacy = self.legacy.iter().flat_map(|node| {
            node.controllers
                .iter()
                .map(|controller| (controller.name().trim_start_matches("name="), node.dir()))
        });
        legacy.chain(self.unified.iter().map(|node| ("", node.dir()))).collect()
    }

    /// Whether the group exists in any hierarchy.
    pub fn exists(&self) -> bool {
        self.nodes().any(|node| node.open().is_ok())
    }

    /// The group at `path` below this one, for a process that is to run there.
    pub fn sub(&self, path: &SubPath) -> Result<Self, Error> {
        let mut group = self.clone();
        for (controller, below) in path.parts() {
            let mut nodes =
                group.legacy.iter_mut().chain(&mut group.unified).filter(|node| node.is_called(controller));
            let first = nodes.next().ok_or_else(|| Error::UnknownController(controller.to_owned()))?;
            for node in std::iter::once(first).chain(nodes) {
                node.path = node.path.join(&GroupPath::clean(below)?);
            }
        }
        Ok(group)
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.legacy.iter().chain(&self.unified)
    }

    /// The one directory that stands for the group when its processes are listed.
    pub(crate) fn main(&self) -> Option<Result<Dir, Error>> {
        let devices = self.legacy.iter().find(|node| node.has(Controller::Devices));
        devices.or_else(|| self.nodes().next()).map(Node::open)
    }

    /// v2's directory.
    pub(crate) fn unified_dir(&self) -> Option<Result<Dir, Error>> {
        self.unified.as_ref().map(Node::open)
    }

    /// The directory of a v1 controller.
    pub(crate) fn legacy_dir(&self, controller: Controller) -> Option<Result<Dir, Error>> {
        self.legacy.iter().find(|node| node.has(controller)).map(Node::open)
    }

    pub(crate) fn open(&self) -> Result<Dirs, Error> {
        let legacy = self.legacy.iter().map(|node| Ok((node.controllers.clone(), node.open()?)));
        Ok(Dirs {
            legacy: legacy.collect::<Result<_, Error>>()?,
            unified: self.unified.as_ref().map(Node::open).transpose()?,
        })
    }
}
