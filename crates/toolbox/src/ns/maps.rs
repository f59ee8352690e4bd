//! From unshare's options to the id maps of a new user namespace, and who may write them.

use std::io;
use std::path::Path;

use capability::{Capability, ReadError, Sets};
use namespace::{Extent, IdKind, IdMap, MapError};

use crate::accounts::{self, SubordinateError};

/// What the options ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapping {
    /// What the caller's user is inside.
    pub user: Option<OwnId>,
    /// What the caller's group is inside.
    pub group: Option<OwnId>,
    /// More users.
    pub users: Option<Ranges>,
    /// More groups.
    pub groups: Option<Ranges>,
}

/// What the caller's own id becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnId {
    /// This id.
    To(u32),
    /// Itself.
    Same,
}

/// Ids beyond the caller's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// The first range that /etc/subuid or /etc/subgid gives the caller, from id 0 on.
    Auto,
    /// These.
    Explicit(Vec<Extent>),
}

/// The maps, ready to be written from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Maps {
    pub users: Option<(IdMap, Writer)>,
    pub groups: Option<(IdMap, Writer)>,
    /// Whether setgroups(2) is forbidden before the groups are mapped.
    pub deny_setgroups: bool,
}

/// Who writes a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// We may.
    Own,
    /// newuidmap or newgidmap.
    SetUserId,
}

/// Why no maps could be made of the options.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum MapsError {
    #[error("map {kind}s: {source}")]
    Map { kind: IdKind, source: MapError },
    #[error(transparent)]
    Subordinate(#[from] SubordinateError),
    #[error(transparent)]
    Capabilities(#[from] ReadError),
}

impl Mapping {
    /// Whether the caller's group is mapped by itself, which an ordinary user may do only without setgroups(2).
    pub fn maps_own_group(&self) -> bool {
        self.group.is_some() && self.groups.is_none()
    }

    /// The maps; none if nothing is to be mapped. `setgroups` is whether that call shall work inside.
    pub fn resolve(&self, setgroups: Option<bool>) -> Result<Option<Maps>, MapsError> {
        let own = Sets::of_self()?.effective;
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let users =
            resolve(IdKind::User, uid, self.user, self.users.as_ref(), own.contains(Capability::SETUID))?;
        let groups =
            resolve(IdKind::Group, gid, self.group, self.groups.as_ref(), own.contains(Capability::SETGID))?;
        let deny_setgroups = setgroups == Some(false) || self.maps_own_group();
        if users.is_none() && groups.is_none() && !deny_setgroups {
            return Ok(None);
        }
        Ok(Some(Maps { users, groups, deny_setgroups }))
    }
}

fn resolve(
    kind: IdKind,
    own: u32,
    inside: Option<OwnId>,
    ranges: Option<&Ranges>,
    privileged: bool,
) -> Result<Option<(IdMap, Writer)>, MapsError> {
    let mut extents = match ranges {
        None => Vec::new(),
        Some(Ranges::Explicit(extents)) => extents.clone(),
        Some(Ranges::Auto) => {
            let range = accounts::first_subordinate_range(kind, rustix::process::geteuid().as_raw())?;
            vec![Extent { inside: 0, outside: range.start, count: range.count }]
        }
    };
    if let Some(inside) = inside {
        let inside = match inside {
            OwnId::To(id) => id,
            OwnId::Same => own,
        };
        extents = around(inside, &extents);
        extents.insert(0, Extent { inside, outside: own, count: 1 });
    }
    if extents.is_empty() {
        return Ok(None);
    }
    // new_idmap_permitted() in kernel/user_namespace.c: anybody may map just himself.
    let just_own = extents.len() == 1 && extents[0].count == 1 && extents[0].outside == own;
    let writer = if privileged || just_own { Writer::Own } else { Writer::SetUserId };
    let map = IdMap::new(extents).map_err(|source| MapsError::Map { kind, source })?;
    Ok(Some((map, writer)))
}

/// The extents without the id `hole` inside; what is outside moves up, so that the last id drops out.
fn around(hole: u32, extents: &[Extent]) -> Vec<Extent> {
    let mut split = Vec::new();
    for &extent in extents {
        match hole.checked_sub(extent.inside).filter(|&before| before < extent.count) {
            None => split.push(extent),
            Some(before) => split.extend(
                [
                    Extent { count: before, ..extent },
                    Extent {
                        inside: hole.saturating_add(1),
                        outside: extent.outside.saturating_add(before),
                        count: extent.count - before - 1,
                    },
                ]
                .into_iter()
                .filter(|part| part.count > 0),
            ),
        }
    }
    split
}

/// What the host's administrator may have switched off, or what is used up.
pub(super) fn unshare_hint(error: &io::Error) -> String {
    let setting = |path: &str| std::fs::read_to_string(Path::new("/proc/sys").join(path)).unwrap_or_default();
    let switches = [
        ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=15000"),
    ];
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let forbidden = switches.iter().find(|(path, value, _)| setting(path).trim() == *value);
            forbidden.map_or_else(
                || {
                    "; it needs CAP_SYS_ADMIN, or a new user namespace beside (--user --map-root-user)"
                        .to_owned()
                },
                |(_, _, command)| format!("; ordinary users may not make user namespaces here: {command}"),
            )
        }
        io::ErrorKind::StorageFull => {
            "; a limit in /proc/sys/user is reached, or 32 levels of nesting".to_owned()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(extents: &[Extent]) -> String {
        extents.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ranges_make_room_for_the_own_id_as_unshare_does() {
        let range = [Extent { inside: 0, outside: 200_000, count: 65536 }];
        assert_eq!(text(&around(0, &range)), "1:200000:65535");
        assert_eq!(text(&around(65534, &range)), "0:200000:65534 65535:265534:1");
        assert_eq!(text(&around(65535, &range)), "0:200000:65535");
        assert_eq!(text(&around(65536, &range)), "0:200000:65536");
    }

    #[test]
    fn an_ordinary_user_needs_help_for_more_than_himself() {
        let resolve = |inside, ranges: Option<&Ranges>, privileged| {
            resolve(IdKind::User, 1000, inside, ranges, privileged)
                .unwrap()
                .map(|(map, writer)| (text(map.extents()), writer))
        };
        let more = Ranges::Explicit(vec![Extent { inside: 1, outside: 100_000, count: 10 }]);
        let root = Some(OwnId::To(0));
        assert_eq!(resolve(None, None, false), None);
        assert_eq!(resolve(root, None, false), Some(("0:1000:1".into(), Writer::Own)));
        assert_eq!(resolve(Some(OwnId::Same), None, false), Some(("1000:1000:1".into(), Writer::Own)));
        let both = "0:1000:1 1:100000:10".to_owned();
        assert_eq!(resolve(root, Some(&more), false), Some((both.clone(), Writer::SetUserId)));
        assert_eq!(resolve(root, Some(&more), true), Some((both, Writer::Own)));
    }
}
