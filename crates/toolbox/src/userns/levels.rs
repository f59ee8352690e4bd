//! `userns map` and `userns explain`: the user namespaces from a process up to the caller's.

use std::io;

use namespace::{FileError, IdKind, IdMap, Kind, MapError, NamespaceFile};
use rustix::process::Pid;
use serde::Serialize;

use super::witness::Witness;
use crate::ns::scan::Scan;
use crate::process::{self, ProcessError};

/// A user namespace on the way from a process to the caller.
#[derive(Debug, Clone)]
pub struct Level {
    /// Its inode.
    pub inode: u64,
    /// The user who made it, as the caller counts.
    pub owner_uid: Option<u32>,
    /// From its users to the caller's; none if no process is in it and the caller
    /// may not enter it, so that nothing shows its map.
    pub users: Option<IdMap>,
    /// From its groups to the caller's.
    pub groups: Option<IdMap>,
    /// Whether setgroups(2) works in it.
    pub setgroups: Option<bool>,
}

/// The way up, the process's own namespace first. The caller's is the last.
#[derive(Debug, Clone)]
pub struct Levels {
    /// The process.
    pub pid: Pid,
    /// The namespaces.
    pub levels: Vec<Level>,
}

/// What one id is at each level.
#[derive(Debug, Clone, Serialize)]
pub struct Trace {
    /// The inodes of the namespaces, the process's own first.
    pub namespaces: Vec<u64>,
    /// The id in each: the first is the one asked for; none where it is not mapped or not known.
    pub ids: Vec<Option<u32>>,
}

/// Why the way up could not be found.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum LevelsError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Namespace(#[from] FileError),
    #[error("read the {kind} map of process {pid}: {source}")]
    Map { kind: IdKind, pid: Pid, source: MapError },
    #[error("list /proc: {0}")]
    Scan(#[source] io::Error),
    #[error("process {0} is in a user namespace that is not the caller's nor below it")]
    NotBelow(Pid),
}

impl Levels {
    /// Finds the way from `pid` to the caller.
    pub fn of_process(pid: Pid) -> Result<Self, LevelsError> {
        process::read_file(pid, "comm")?;
        let home = NamespaceFile::of_self(Kind::User)?.id()?;
        let mut file = NamespaceFile::of_process(pid, Kind::User)?;
        let scan = Scan::new(&[Kind::User]).map_err(LevelsError::Scan)?;
        let mut levels = Vec::new();
        loop {
            let id = file.id()?;
            let member = match levels.is_empty() {
                true => Some(pid),
                false => scan.namespaces.get(&id.inode).and_then(|namespace| namespace.leader),
            };
            levels.push(Level::read(&file, id.inode, id == home, member)?);
            if id == home {
                return Ok(Self { pid, levels });
            }
            file = file.parent()?.ok_or(LevelsError::NotBelow(pid))?;
        }
    }

    /// What an id of the process's namespace is at every level.
    pub fn trace(&self, kind: IdKind, id: u32) -> Trace {
        let maps: Vec<Option<&IdMap>> = self.levels.iter().map(|level| level.map(kind)).collect();
        let at_caller = maps.first().copied().flatten().and_then(|map| map.to_outside(id));
        let at = |map: &Option<&IdMap>| at_caller.and_then(|at_caller| map.as_ref()?.to_inside(at_caller));
        let mut ids: Vec<_> = maps.iter().map(at).collect();
        if let Some(own) = ids.first_mut() {
            *own = Some(id);
        }
        Trace { namespaces: self.levels.iter().map(|level| level.inode).collect(), ids }
    }

    /// The map of a level as it was written, to the level above; none if either is not known.
    pub fn to_parent(&self, position: usize, kind: IdKind) -> Option<IdMap> {
        let (own, parent) =
            (self.levels.get(position)?.map(kind)?, self.levels.get(position + 1)?.map(kind)?);
        Some(own.compose(&parent.inverse()))
    }

    /// The whole way as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (position, level) in self.levels.iter().enumerate() {
            let last = position + 1 == self.levels.len();
            text.push_str(&format!("{:indent$}user namespace {}", "", level.inode, indent = 2 * position));
            if last {
                text.push_str(" (the caller's)\n");
                continue;
            }
            if let Some(uid) = level.owner_uid {
                text.push_str(&format!(", made by user {uid}"));
            }
            if level.setgroups == Some(false) {
                text.push_str(", setgroups denied");
            }
            text.push('\n');
            for kind in [IdKind::User, IdKind::Group] {
                self.describe_map(&mut text, position, kind);
            }
        }
        text
    }

    fn describe_map(&self, text: &mut String, position: usize, kind: IdKind) {
        let indent = 2 * position + 2;
        let Some(to_caller) = self.levels[position].map(kind) else {
            text.push_str(&format!("{:indent$}{kind}s: not known, no process is in it\n", ""));
            return;
        };
        if to_caller.extents().is_empty() {
            text.push_str(&format!("{:indent$}no {kind} is mapped\n", ""));
        }
        let direct = position + 2 == self.levels.len();
        for extent in self.to_parent(position, kind).unwrap_or_default().extents() {
            let range = |first: u32| match extent.count {
                1 => first.to_string(),
                count => format!("{first}-{}", u64::from(first) + u64::from(count) - 1),
            };
            text.push_str(&format!(
                "{:indent$}{kind}s {} are {} one level up{}\n",
                "",
                range(extent.inside),
                range(extent.outside),
                if direct { ", at the caller's" } else { "" },
            ));
        }
        if !direct {
            for extent in to_caller.extents() {
                text.push_str(&format!("{:indent$}{kind}s {extent} to the caller's\n", ""));
            }
        }
    }
}

impl Level {
    fn read(file: &NamespaceFile, inode: u64, home: bool, member: Option<Pid>) -> Result<Self, LevelsError> {
        if home {
            // The kernel shows the caller's own map relative to its parent: /proc/PID/uid_map.
            let identity = || Some(IdMap::identity());
            return Ok(Self {
                inode,
                owner_uid: None,
                users: identity(),
                groups: identity(),
                setgroups: None,
            });
        }
        let witness = if member.is_none() { Witness::enter(file) } else { None };
        let member = member.or(witness.as_ref().map(Witness::pid));
        let map = |kind: IdKind| member.map(|pid| read_map(pid, kind)).transpose();
        let setgroups = member.and_then(|pid| process::read_file(pid, "setgroups").ok());
        Ok(Self {
            inode,
            owner_uid: file.owner_uid().ok(),
            users: map(IdKind::User)?,
            groups: map(IdKind::Group)?,
            setgroups: setgroups.map(|text| text.trim_ascii() == b"allow"),
        })
    }

    /// One of its two maps.
    pub fn map(&self, kind: IdKind) -> Option<&IdMap> {
        match kind {
            IdKind::User => self.users.as_ref(),
            IdKind::Group => self.groups.as_ref(),
        }
    }
}

/// The map of a process's user namespace, to the caller's ids.
pub fn read_map(pid: Pid, kind: IdKind) -> Result<IdMap, LevelsError> {
    let text = process::read_file(pid, kind.map_file())?;
    IdMap::parse(&String::from_utf8_lossy(&text)).map_err(|source| LevelsError::Map { kind, pid, source })
}

impl Trace {
    /// As text: `0 → 1000 → 101000`.
    pub fn text(&self) -> String {
        let ids: Vec<_> =
            self.ids.iter().map(|id| id.map_or("not mapped".to_owned(), |id| id.to_string())).collect();
        ids.join(" → ")
    }

    /// What it is for the caller.
    pub fn at_caller(&self) -> Option<u32> {
        self.ids.last().copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels() -> Levels {
        let level = |inode, map: Option<&str>| Level {
            inode,
            owner_uid: Some(0),
            users: map.map(|text| IdMap::parse(text).unwrap()),
            groups: None,
            setgroups: None,
        };
        let levels = vec![
            level(3, Some("0 101000 10\n")),
            level(2, Some("0 100000 65536\n")),
            level(1, Some("0 0 4294967295\n")),
        ];
        Levels { pid: Pid::INIT, levels }
    }

    #[test]
    fn an_id_is_followed_to_the_top() {
        let trace = levels().trace(IdKind::User, 5);
        assert_eq!(trace.ids, [Some(5), Some(1005), Some(101_005)]);
        assert_eq!(trace.text(), "5 → 1005 → 101005");
        assert_eq!(levels().trace(IdKind::User, 10).ids, [Some(10), None, None]);
        assert_eq!(levels().trace(IdKind::Group, 0).at_caller(), None);
    }

    #[test]
    fn maps_are_shown_as_they_were_written() {
        assert_eq!(levels().to_parent(0, IdKind::User).unwrap().render(), "0 1000 10\n");
        let text = levels().text();
        assert!(text.contains("users 0-9 are 1000-1009 one level up\n"), "{text}");
        assert!(text.contains("users 0-65535 are 100000-165535 one level up, at the caller's"), "{text}");
    }
}
