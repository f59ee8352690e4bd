//! `userns set`: writes the maps of a user namespace, and says beforehand why the kernel would refuse them.

use capability::{CapSet, Capability, ReadError, Sets};
use namespace::{FileError, IdKind, IdMap, Kind, NamespaceFile, WriteError};
use rustix::process::Pid;

use super::levels::{LevelsError, read_map};
use crate::process;

/// What to write.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Request {
    pub pid: Pid,
    pub users: Option<IdMap>,
    pub groups: Option<IdMap>,
    pub deny_setgroups: bool,
    /// Write by newuidmap and newgidmap even if that is not needed.
    pub helper: bool,
}

/// One map and what the kernel will look at when it is written.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Facts {
    pub kind: IdKind,
    /// Whether the namespace has such a map already.
    pub written: bool,
    /// Whether the caller is in the parent of the namespace.
    pub in_parent: bool,
    /// The caller's effective capabilities.
    pub effective: CapSet,
    /// The caller's own id of this kind.
    pub own_id: u32,
    /// Whether the caller made the namespace.
    pub owner: bool,
    /// Whether setgroups(2) is or will be denied.
    pub setgroups_denied: bool,
    /// The map of the caller's own user namespace: ids that are not inside of it don't exist for him.
    pub own_map: IdMap,
}

/// A rule of map_write() and new_idmap_permitted() in kernel/user_namespace.c that a map breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Refusal {
    #[error("the {0} map is written already: the kernel takes one write in the life of a namespace")]
    Written(IdKind),
    #[error("the caller is not in the parent of that user namespace")]
    NotParent,
    #[error("the caller did not make that user namespace and has no CAP_SYS_ADMIN over it")]
    NotOwner,
    #[error("{kind} {id} does not exist in the caller's user namespace, so it can't be given away")]
    Unmapped { kind: IdKind, id: u32 },
    #[error("{kind} 0 of the parent is mapped, which needs CAP_SETFCAP (Linux 5.12)")]
    Root { kind: IdKind },
    #[error("without {needs} only one {kind} can be mapped, the caller's own {own}: 1 range of 1 id")]
    NotOwnId { kind: IdKind, needs: Capability, own: u32 },
    #[error("without CAP_SETGID the group can be mapped only after setgroups is denied: --setgroups deny")]
    SetgroupsAllowed,
}

/// Why nothing was written, or not everything.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SetError {
    #[error("nothing to write: --uid or --gid is needed")]
    Nothing,
    #[error("the kernel would refuse: {0}")]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Namespace(#[from] FileError),
    #[error(transparent)]
    Map(#[from] LevelsError),
    #[error(transparent)]
    Capabilities(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Writes the maps, by itself or through newuidmap and newgidmap.
pub fn set(request: &Request) -> Result<(), SetError> {
    let maps = [(IdKind::User, &request.users), (IdKind::Group, &request.groups)];
    if request.users.is_none() && request.groups.is_none() && !request.deny_setgroups {
        return Err(SetError::Nothing);
    }
    let mut writes = Vec::new();
    for (kind, map) in maps {
        let Some(map) = map else { continue };
        let helper = match refusal(&facts(request, kind)?, map) {
            None => request.helper,
            // What a set-user-id program is for.
            Some(Refusal::NotOwnId { .. } | Refusal::Root { .. } | Refusal::SetgroupsAllowed) => true,
            Some(refusal) => return Err(refusal.into()),
        };
        writes.push((kind, map, helper));
    }
    if request.deny_setgroups {
        namespace::deny_setgroups(request.pid)?;
    }
    for (kind, map, helper) in writes {
        let write = if helper { namespace::write_map_with_helper } else { namespace::write_map };
        write(request.pid, kind, map)?;
    }
    Ok(())
}

/// Which refusal the caller would meet who writes by himself; for `--explain`.
pub fn foresee(request: &Request) -> Result<Vec<Refusal>, SetError> {
    let maps = [(IdKind::User, &request.users), (IdKind::Group, &request.groups)];
    let given = maps.into_iter().filter_map(|(kind, map)| Some((kind, map.as_ref()?)));
    let refusals: Result<Vec<_>, SetError> =
        given.map(|(kind, map)| Ok(refusal(&facts(request, kind)?, map))).collect();
    Ok(refusals?.into_iter().flatten().collect())
}

fn facts(request: &Request, kind: IdKind) -> Result<Facts, SetError> {
    let file = NamespaceFile::of_process(request.pid, Kind::User)?;
    let home = NamespaceFile::of_self(Kind::User)?.id()?;
    let parent = file.parent()?.map(|parent| parent.id()).transpose()?;
    let euid = rustix::process::geteuid().as_raw();
    let setgroups = process::read_file(request.pid, "setgroups").unwrap_or_default();
    Ok(Facts {
        kind,
        written: !read_map(request.pid, kind)?.extents().is_empty(),
        in_parent: parent == Some(home),
        effective: Sets::of_self()?.effective,
        own_id: match kind {
            IdKind::User => euid,
            IdKind::Group => rustix::process::getegid().as_raw(),
        },
        owner: file.owner_uid()? == euid,
        setgroups_denied: request.deny_setgroups || setgroups.trim_ascii() == b"deny",
        own_map: read_map(rustix::process::getpid(), kind)?,
    })
}

/// The first rule that the map breaks, in the kernel's order.
pub fn refusal(facts: &Facts, map: &IdMap) -> Option<Refusal> {
    let kind = facts.kind;
    let has = |capability| facts.effective.contains(capability);
    if facts.written {
        return Some(Refusal::Written(kind));
    }
    if !facts.in_parent {
        return Some(Refusal::NotParent);
    }
    if !facts.owner && !has(Capability::SYS_ADMIN) {
        return Some(Refusal::NotOwner);
    }
    if let Some(id) = map.extents().iter().find_map(|extent| first_missing(extent, &facts.own_map)) {
        return Some(Refusal::Unmapped { kind, id });
    }
    let (needs, own) = match kind {
        IdKind::User => (Capability::SETUID, facts.own_id),
        IdKind::Group => (Capability::SETGID, facts.own_id),
    };
    if has(needs) {
        let maps_root = kind == IdKind::User && map.to_inside(0).is_some();
        return (maps_root && !has(Capability::SETFCAP)).then_some(Refusal::Root { kind });
    }
    let just_own = matches!(map.extents(), [extent] if extent.count == 1 && extent.outside == own);
    if !just_own {
        return Some(Refusal::NotOwnId { kind, needs, own });
    }
    (kind == IdKind::Group && !facts.setgroups_denied).then_some(Refusal::SetgroupsAllowed)
}

/// The first outside id of an extent that the caller's own namespace does not have.
fn first_missing(extent: &namespace::Extent, own: &IdMap) -> Option<u32> {
    let mut next = u64::from(extent.outside);
    let end = next + u64::from(extent.count);
    while next < end {
        let id = u32::try_from(next).ok()?;
        let cover = own.extents().iter().find(|range| {
            u64::from(range.inside) <= next && next < u64::from(range.inside) + u64::from(range.count)
        });
        let Some(cover) = cover else { return Some(id) };
        next = u64::from(cover.inside) + u64::from(cover.count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordinary(kind: IdKind) -> Facts {
        Facts {
            kind,
            written: false,
            in_parent: true,
            effective: CapSet::EMPTY,
            own_id: 1000,
            owner: true,
            setgroups_denied: false,
            own_map: IdMap::identity(),
        }
    }

    fn map(text: &str) -> IdMap {
        IdMap::parse(text).unwrap()
    }

    #[test]
    fn an_ordinary_user_may_map_himself() {
        assert_eq!(refusal(&ordinary(IdKind::User), &map("0 1000 1")), None);
        let group = ordinary(IdKind::Group);
        assert_eq!(refusal(&group, &map("0 1000 1")), Some(Refusal::SetgroupsAllowed));
        assert_eq!(refusal(&Facts { setgroups_denied: true, ..group }, &map("0 1000 1")), None);
        for more in ["0 1000 2", "0 1001 1", "0 1000 1\n1 100000 1"] {
            let refused = refusal(&ordinary(IdKind::User), &map(more));
            assert!(matches!(refused, Some(Refusal::NotOwnId { own: 1000, .. })), "{more}: {refused:?}");
        }
    }

    #[test]
    fn every_other_rule_has_its_name() {
        let root = Facts { effective: CapSet::all(), own_id: 0, ..ordinary(IdKind::User) };
        let check = |facts: Facts| refusal(&facts, &map("0 0 1"));
        assert_eq!(check(root.clone()), None);
        assert_eq!(check(Facts { written: true, ..root.clone() }), Some(Refusal::Written(IdKind::User)));
        assert_eq!(check(Facts { in_parent: false, ..root.clone() }), Some(Refusal::NotParent));
        let effective = CapSet::all() - Capability::SETFCAP.into();
        assert_eq!(check(Facts { effective, ..root.clone() }), Some(Refusal::Root { kind: IdKind::User }));
        let stranger = Facts { owner: false, effective: CapSet::EMPTY, ..root.clone() };
        assert_eq!(check(stranger), Some(Refusal::NotOwner));
        let nested = Facts { own_map: map("0 100000 10\n20 7 5"), ..root };
        assert_eq!(refusal(&nested, &map("0 5 10")), Some(Refusal::Unmapped { kind: IdKind::User, id: 10 }));
        assert_eq!(refusal(&nested, &map("0 20 5")), None);
    }
}
