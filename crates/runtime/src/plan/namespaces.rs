//! Which namespaces are made by the clone, which are joined, and by whom.

use std::path::PathBuf;

use namespace::{Kind, Offset, TimeOffsets};
use oci::spec::{Linux, Namespace};
use sys::process::CloneFlags;

use super::{Checked, invalid};

/// The namespaces of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// To be made.
    pub new: Vec<Kind>,
    /// To be joined, by path.
    pub join: Vec<(Kind, PathBuf)>,
}

impl Namespaces {
    /// Reads `linux.namespaces`.
    pub fn new(list: &[Namespace]) -> Checked<Self> {
        let mut namespaces = Self::default();
        for (i, namespace) in list.iter().enumerate() {
            let at = |field: &str| format!("linux.namespaces[{i}].{field}");
            let kind = Kind::ALL.into_iter().find(|kind| kind.oci_name() == namespace.kind);
            let kind = kind.ok_or_else(|| {
                invalid(at("type"), format!("namespace {:?} does not exist", namespace.kind))
            })?;
            if namespaces.has(kind) {
                return Err(invalid(
                    at("type"),
                    format!("malformed spec file: duplicated ns {:?}", namespace.kind),
                ));
            }
            if namespace.path.is_empty() {
                namespaces.new.push(kind);
            } else {
                namespaces.join.push((kind, PathBuf::from(&namespace.path)));
            }
        }
        Ok(namespaces)
    }

    /// Whether the container has its own or a joined namespace of this kind.
    pub fn has(&self, kind: Kind) -> bool {
        self.makes(kind) || self.joins(kind)
    }

    /// Whether one is made.
    pub fn makes(&self, kind: Kind) -> bool {
        self.new.contains(&kind)
    }

    /// Whether one is joined.
    pub fn joins(&self, kind: Kind) -> bool {
        self.join.iter().any(|(joined, _)| *joined == kind)
    }

    /// Whether a process between parent and init has to join first: a pid namespace takes only those born in it,
    /// and from within a new or joined user namespace the host's namespaces can't be entered any more.
    pub fn needs_intermediate(&self) -> bool {
        self.joins(Kind::Pid) || self.joins(Kind::User) || (self.makes(Kind::User) && !self.join.is_empty())
    }

    /// What clone3(2) makes. Not the cgroup namespace, whose root is the cgroup of whoever makes it: init does,
    /// inside the container's. Not the time namespace, whose clocks are set between its making and its first use.
    pub fn clone_flags(&self) -> CloneFlags {
        self.new.iter().fold(CloneFlags::empty(), |flags, kind| {
            flags
                | match kind {
                    Kind::Mount => CloneFlags::NEWNS,
                    Kind::Uts => CloneFlags::NEWUTS,
                    Kind::Ipc => CloneFlags::NEWIPC,
                    Kind::User => CloneFlags::NEWUSER,
                    Kind::Pid => CloneFlags::NEWPID,
                    Kind::Net => CloneFlags::NEWNET,
                    Kind::Cgroup | Kind::Time => CloneFlags::empty(),
                }
        })
    }
}

/// Reads `linux.timeOffsets`.
pub fn time_offsets(linux: &Linux) -> Checked<TimeOffsets> {
    let mut offsets = TimeOffsets::default();
    for (clock, offset) in &linux.time_offsets {
        let at = format!("linux.timeOffsets.{clock}");
        if offset.nanosecs >= 1_000_000_000 {
            return Err(invalid(at, "nanosecs must be below 1000000000"));
        }
        let offset = Some(Offset { seconds: offset.secs, nanoseconds: offset.nanosecs });
        match clock.as_str() {
            "monotonic" => offsets.monotonic = offset,
            "boottime" => offsets.boottime = offset,
            _ => return Err(invalid(at, "no such clock: use monotonic or boottime")),
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &[(&str, &str)]) -> Checked<Namespaces> {
        let list: Vec<_> = list
            .iter()
            .map(|(kind, path)| Namespace { kind: (*kind).into(), path: (*path).into() })
            .collect();
        Namespaces::new(&list)
    }

    #[test]
    fn one_clone_makes_all_but_cgroup_and_time() {
        let all = of(&["pid", "network", "ipc", "uts", "mount", "cgroup", "user", "time"].map(|k| (k, "")))
            .unwrap();
        assert_eq!(all.clone_flags(), CloneFlags::all() - CloneFlags::PARENT - CloneFlags::NEWCGROUP);
        assert!(!all.needs_intermediate());
    }

    #[test]
    fn only_some_joins_need_a_second_process() {
        assert!(!of(&[("network", "/n"), ("pid", "")]).unwrap().needs_intermediate());
        assert!(of(&[("pid", "/p")]).unwrap().needs_intermediate());
        assert!(of(&[("user", "/u")]).unwrap().needs_intermediate());
        assert!(of(&[("user", ""), ("network", "/n")]).unwrap().needs_intermediate());
    }

    #[test]
    fn unknown_and_doubled_types_are_refused_with_their_place() {
        assert_eq!(of(&[("pid", ""), ("net", "")]).unwrap_err().at, "linux.namespaces[1].type");
        assert_eq!(of(&[("pid", ""), ("pid", "/x")]).unwrap_err().at, "linux.namespaces[1].type");
    }
}
