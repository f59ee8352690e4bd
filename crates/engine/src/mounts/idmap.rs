//! Binds whose owners are others in the container than on the host.

use oci::spec::IdMapping;
use serde::{Deserialize, Serialize};

/// Whom the kernel shows where an id is not mapped.
const NOBODY: u32 = 65_534;

/// How ids of a bind are mapped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IdMaps {
    /// They are not.
    #[default]
    None,
    /// By the container's own user namespace.
    Container,
    /// By these maps.
    Own(Ids),
    /// The source's owner is the container's user.
    MatchUser,
}

/// Maps of users and groups: from ids on disk to ids that the host sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// Of users.
    pub uids: Vec<IdMapping>,
    /// Of groups.
    pub gids: Vec<IdMapping>,
}

impl Ids {
    /// Whether a group of the container is mapped.
    pub fn maps_group(&self, gid: u32) -> bool {
        self.gids.iter().any(|one| gid.checked_sub(one.container_id).is_some_and(|at| at < one.size))
    }

    /// What a user and a group of the container are outside; nobody where they are not mapped.
    pub fn outside(&self, uid: u32, gid: u32) -> (u32, u32) {
        let outside = |map: &[IdMapping], id: u32| {
            let inside = |one: &&IdMapping| id.checked_sub(one.container_id).is_some_and(|at| at < one.size);
            map.iter().find(inside).map_or(NOBODY, |one| one.host_id + (id - one.container_id))
        };
        (outside(&self.uids, uid), outside(&self.gids, gid))
    }
}

/// Reads `idmap`, `idmap=uids=DISK-HOST-COUNT[#…];gids=…` (podman's form) or `match-user`.
///
/// # Errors
/// What is wrong, in a sentence.
pub fn parse(text: &str) -> Result<IdMaps, String> {
    let fail = || {
        format!(
            "invalid id map \"{}\": expected idmap, idmap=uids=DISK-HOST-COUNT;gids=… or match-user",
            text.escape_debug()
        )
    };
    match text {
        "" => return Ok(IdMaps::None),
        "idmap" => return Ok(IdMaps::Container),
        "match-user" => return Ok(IdMaps::MatchUser),
        _ => {}
    }
    let mut ids = Ids::default();
    for part in text.strip_prefix("idmap=").ok_or_else(fail)?.split(';') {
        let (name, ranges) = part.split_once('=').ok_or_else(fail)?;
        let ranges: Option<Vec<IdMapping>> = ranges.split('#').map(range).collect();
        let field = match name {
            "uids" => &mut ids.uids,
            "gids" => &mut ids.gids,
            _ => return Err(fail()),
        };
        *field = ranges.ok_or_else(fail)?;
    }
    if ids.uids.is_empty() || ids.gids.is_empty() {
        return Err(format!("{}: both uids and gids are needed", fail()));
    }
    Ok(IdMaps::Own(ids))
}

fn range(text: &str) -> Option<IdMapping> {
    let mut numbers = text.trim_start_matches('@').split('-').map(|number| number.parse::<u32>().ok());
    let (container_id, host_id, size) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let fits = |first: u32| first.checked_add(size).is_some();
    (numbers.next().is_none() && size > 0 && fits(container_id) && fits(host_id)).then_some(IdMapping {
        container_id,
        host_id,
        size,
    })
}

/// A map of one id to another.
pub(super) fn single(disk: u32, host: u32) -> Vec<IdMapping> {
    vec![IdMapping { container_id: disk, host_id: host, size: 1 }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podmans_form_is_read() {
        let IdMaps::Own(ids) = parse("idmap=uids=0-1000-10#10-2000-1;gids=0-100-10").unwrap() else {
            panic!()
        };
        assert_eq!(ids.uids[1], IdMapping { container_id: 10, host_id: 2000, size: 1 });
        assert_eq!(ids.gids.len(), 1);
        assert_eq!(parse("").unwrap(), IdMaps::None);
        assert_eq!(parse("match-user").unwrap(), IdMaps::MatchUser);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "x",
            "idmap=",
            "idmap=uids=0-0-1",
            "idmap=uids=0-0;gids=0-0-1",
            "idmap=uids=0-0-0;gids=0-0-1",
            "idmap=uids=4294967295-0-2;gids=0-0-1",
            "idmap=uids=0-0-1-1;gids=0-0-1",
            "idmap=pids=0-0-1",
        ] {
            assert!(parse(text).unwrap_err().contains("id"), "{text}");
        }
    }
}
