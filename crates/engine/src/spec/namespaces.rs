//! Which namespaces a container gets, which it shares with the host, and which it joins.

use std::fmt;

use oci::spec::Namespace;

use super::{Request, SpecError};
use crate::config::{HostConfig, IdMappings};

/// What one of Docker's `…Mode`s says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A new namespace.
    New,
    /// The host's.
    Host,
    /// That of another container.
    Container(String),
    /// The one at this path.
    Path(String),
}

impl Place {
    /// The place that a mode names; modes of their own (`shareable`, a network's name) mean a new one.
    pub fn of(mode: &str) -> Place {
        match mode.split_once(':') {
            Some(("container", name)) => Place::Container(name.to_owned()),
            Some(("ns", path)) => Place::Path(path.to_owned()),
            _ if mode == "host" => Place::Host,
            _ => Place::New,
        }
    }

    /// Whether it is a new one.
    pub fn is_new(&self) -> bool {
        *self == Place::New
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::New => f.write_str("private"),
            Place::Host => f.write_str("host"),
            Place::Container(name) => write!(f, "container:{name}"),
            Place::Path(path) => write!(f, "ns:{path}"),
        }
    }
}

/// Where a container's namespaces are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Places {
    pub network: Place,
    pub pid: Place,
    pub ipc: Place,
    pub uts: Place,
    pub cgroup: Place,
    pub user: Place,
}

impl Places {
    /// What a configuration says; `unified` decides where it says nothing of control groups.
    pub fn of(config: &HostConfig, unified: bool) -> Places {
        Places {
            network: Place::of(&config.network_mode),
            pid: Place::of(&config.pid_mode),
            ipc: Place::of(&config.ipc_mode),
            uts: Place::of(&config.uts_mode),
            cgroup: match config.cgroupns_mode.as_str() {
                "" if !unified => Place::Host,
                mode => Place::of(mode),
            },
            user: match config.userns_mode.as_str() {
                "" if config.id_mappings.as_ref().is_none_or(IdMappings::is_empty) => Place::Host,
                mode => Place::of(mode),
            },
        }
    }
}

/// `linux.namespaces`.
pub(super) fn namespaces(request: &Request<'_>, places: &Places) -> Result<Vec<Namespace>, SpecError> {
    let mut namespaces = vec![Namespace { kind: "mount".into(), path: String::new() }];
    for (kind, file, place) in [
        ("network", "net", &places.network),
        ("uts", "uts", &places.uts),
        ("pid", "pid", &places.pid),
        ("ipc", "ipc", &places.ipc),
        ("cgroup", "cgroup", &places.cgroup),
        ("user", "user", &places.user),
    ] {
        let path = match place {
            Place::Host => continue,
            Place::New => String::new(),
            Place::Path(path) => path.clone(),
            Place::Container(name) => {
                let pid = request.found.pids.get(name).ok_or_else(|| SpecError::NotRunning(name.clone()))?;
                format!("/proc/{pid}/ns/{file}")
            }
        };
        namespaces.push(Namespace { kind: kind.into(), path });
    }
    Ok(namespaces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_name_places() {
        for (mode, place) in [
            ("", Place::New),
            ("shareable", Place::New),
            ("my-network", Place::New),
            ("host", Place::Host),
            ("container:web", Place::Container("web".into())),
            ("ns:/run/netns/x", Place::Path("/run/netns/x".into())),
        ] {
            assert_eq!(Place::of(mode), place);
        }
    }

    #[test]
    fn control_groups_are_hidden_where_they_are_v2() {
        let config = HostConfig::default();
        assert_eq!(Places::of(&config, true).cgroup, Place::New);
        assert_eq!(Places::of(&config, false).cgroup, Place::Host);
        let config = HostConfig { cgroupns_mode: "private".into(), ..config };
        assert_eq!(Places::of(&config, false).cgroup, Place::New);
    }
}
