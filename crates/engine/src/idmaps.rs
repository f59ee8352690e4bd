//! User namespaces of containers: which ids of the host are a container's, for as long as there is it.
//!
//! `--userns auto` gives each container a range that no other has: whole slots of 65,536 ids. A slot that is taken is a
//! symlink in ROOT/idmaps, named after its first id, that leads to the container's id; it is made at once or not at all,
//! so no lock is needed to take one. Slots whose container is gone are looked for only when none is free.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci::spec::IdMapping;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use crate::check::Invalid;
use crate::config::HostConfig;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::mounts::Ids;
use crate::record;

/// How many ids are given out together, as systemd does.
const SLOT: u32 = 65_536;
/// Where no range is set aside for containers: what systemd-nspawn and others take, too, but for the last id, -1, which
/// is nobody.
const HIGH: Pool = Pool { first: 0x8000_0000, count: 0x7fff_0000 };
/// The users in subuid(5) whose ranges are for containers: the first is podman's.
const USERS: [&str; 2] = ["containers", "berth"];

/// Which user namespace a container wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The host's.
    Host,
    /// Its own, with so many ids from 0 on.
    Range(u32),
    /// Its own, with these maps.
    Maps(Ids),
}

/// Reads `--userns`, `--uidmap` and `--gidmap`.
///
/// # Errors
/// What makes no sense, or can't be had.
pub fn wish(host: &HostConfig) -> std::result::Result<Wish, Invalid> {
    let mode = host.userns_mode.as_str();
    let refuse = |problem: &str| Err(Invalid(format!("--userns {mode}: {problem}")));
    if let Some(maps) = host.id_mappings.as_ref().filter(|maps| !maps.is_empty()) {
        if !matches!(mode, "" | "private") {
            return refuse("it says which ids are mapped: leave out --uidmap and --gidmap, or --userns");
        }
        return Ok(Wish::Maps(explicit(&maps.uid_map, &maps.gid_map)?));
    }
    match mode.split_once(':').unwrap_or((mode, "")) {
        ("" | "host", "") => Ok(Wish::Host),
        ("private" | "auto", "") => Ok(Wish::Range(SLOT)),
        ("auto", options) => {
            let size = options.strip_prefix("size=").and_then(|size| size.parse().ok());
            match size.filter(|size| (1..=HIGH.count).contains(size)) {
                Some(size) => Ok(Wish::Range(size)),
                None => refuse("expected auto or auto:size=N with N from 1 to 2147418112"),
            }
        }
        ("keep-id" | "nomap", _) => refuse(
            "this is not supported: root in an ordinary user's container is that user; as root take --userns auto, or \
             --uidmap CONTAINER:HOST:SIZE",
        ),
        _ => refuse("joining a user namespace is not supported: take --userns auto"),
    }
}

/// podman's lists; where one is missing, the other counts for both.
fn explicit(uids: &[String], gids: &[String]) -> std::result::Result<Ids, Invalid> {
    let read = |flag: &str, own: &[String], other: &[String]| {
        let lines = if own.is_empty() { other } else { own };
        lines.iter().map(|line| mapping(flag, line)).collect::<std::result::Result<Vec<_>, _>>()
    };
    let ids = Ids { uids: read("--uidmap", uids, gids)?, gids: read("--gidmap", gids, uids)? };
    for (flag, map) in [("--uidmap", &ids.uids), ("--gidmap", &ids.gids)] {
        if !map.iter().any(|one| one.container_id == 0) {
            return Err(Invalid(format!("invalid {flag}: it maps no id to 0, so the container has no root")));
        }
    }
    Ok(ids)
}

/// `CONTAINER:HOST[:SIZE]`.
fn mapping(flag: &str, text: &str) -> std::result::Result<IdMapping, Invalid> {
    let numbers: Option<Vec<u32>> = text.split(':').map(|number| number.parse().ok()).collect();
    let (container_id, host_id, size) = match numbers.as_deref() {
        Some([inside, outside]) => (*inside, *outside, 1),
        Some([inside, outside, size]) => (*inside, *outside, *size),
        _ => (0, 0, 0),
    };
    let fits = |first: u32| first.checked_add(size).is_some();
    if size == 0 || !fits(container_id) || !fits(host_id) {
        let text = text.escape_debug();
        return Err(Invalid(format!(
            "invalid {flag} \"{text}\": expected CONTAINER:HOST:SIZE, as in 0:100000:65536"
        )));
    }
    Ok(IdMapping { container_id, host_id, size })
}

/// Ids of the host that may be given to containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pool {
    first: u32,
    count: u32,
}

impl Pool {
    /// The slots that lie in it as a whole, by their first ids.
    fn slots(self) -> impl Iterator<Item = u32> {
        (0..self.count / SLOT).map(move |slot| self.first + slot * SLOT)
    }

    fn common(self, other: Pool) -> Option<Pool> {
        let first = self.first.max(other.first);
        let end = self.first.saturating_add(self.count).min(other.first.saturating_add(other.count));
        (end > first).then(|| Pool { first, count: end - first })
    }
}

/// What /etc/subuid and /etc/subgid both set aside for containers; the high ids where they name nobody.
fn pools(subuid: &str, subgid: &str) -> Vec<Pool> {
    for user in USERS {
        let (uids, gids) = (ranges(subuid, user), ranges(subgid, user));
        if !uids.is_empty() || !gids.is_empty() {
            return uids.iter().flat_map(|one| gids.iter().filter_map(|other| one.common(*other))).collect();
        }
    }
    vec![HIGH]
}

/// subuid(5)
fn ranges(text: &str, user: &str) -> Vec<Pool> {
    let range = |line: &str| match line.trim().split(':').collect::<Vec<_>>()[..] {
        [owner, first, count] if owner == user => {
            Some(Pool { first: first.parse().ok()?, count: count.parse().ok()? })
        }
        _ => None,
    };
    text.lines().filter_map(range).collect()
}

impl Engine {
    /// The maps of a new container's user namespace, where it wants one: its own until it is removed.
    pub(crate) fn map_ids(&self, container: &Container) -> Result<Option<Ids>> {
        let gone = |id: &str| crate::record::is_gone(&self.paths().container(id));
        self.map_ids_with(container, |pools, size| {
            lease(&self.paths().id_maps(), pools, size, &container.id, &gone)
        })
    }

    /// The maps that it would get, without taking them.
    pub(crate) fn foresee_ids(&self, container: &Container) -> Result<Option<Ids>> {
        self.map_ids_with(container, |pools, size| {
            Ok(free(pools, size, &taken(&self.paths().id_maps())?).next())
        })
    }

    fn map_ids_with(
        &self,
        container: &Container,
        find: impl FnOnce(&[Pool], u32) -> Result<Option<u32>>,
    ) -> Result<Option<Ids>> {
        let size = match wish(&container.asked.host_config)? {
            Wish::Host => return Ok(None),
            Wish::Maps(ids) => return Ok(Some(ids)),
            Wish::Range(size) => size,
        };
        if !rustix::process::geteuid().is_root() {
            return Err(Error::Invalid(
                "--userns auto: only root may give ids of the host to a container".into(),
            ));
        }
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let pools = pools(&read("/etc/subuid"), &read("/etc/subgid"));
        let first = find(&pools, size)?.ok_or_else(|| {
            Error::Conflict(format!(
                "--userns auto: no range of {size} ids is free: remove containers, ask for fewer (auto:size=N), or give \
                 the user containers more in /etc/subuid and /etc/subgid"
            ))
        })?;
        let map = vec![IdMapping { container_id: 0, host_id: first, size }];
        Ok(Some(Ids { uids: map.clone(), gids: map }))
    }

    /// Gives a container's range back. One without a record may have one, too.
    pub(crate) fn release_ids(&self, id: &str, container: &Container) -> Result<()> {
        if !container.id.is_empty() && container.id_maps.is_none() {
            return Ok(());
        }
        let leases = self.paths().id_maps();
        taken(&leases)?.into_iter().try_for_each(|slot| record::drop_name(&leases, &slot.to_string(), id))
    }
}

/// Takes the first free slots for `size` ids and gives their first id.
fn lease(
    leases: &Path,
    pools: &[Pool],
    size: u32,
    id: &str,
    gone: &dyn Fn(&str) -> bool,
) -> Result<Option<u32>> {
    loop {
        for first in free(pools, size, &taken(leases)?) {
            if take(leases, slots_from(first, size), id)? {
                return Ok(Some(first));
            }
        }
        if !reclaim(leases, gone)? {
            return Ok(None);
        }
    }
}

/// The first ids of `size` that lie in a pool and in no slot that is taken.
fn free<'a>(pools: &'a [Pool], size: u32, taken: &'a BTreeSet<u32>) -> impl Iterator<Item = u32> + 'a {
    pools.iter().flat_map(move |pool| {
        let end = pool.first.saturating_add(pool.count);
        let fits = move |first: u32| first.checked_add(size).is_some_and(|last| last <= end);
        let is_free = move |first: &u32| !slots_from(*first, size).any(|slot| taken.contains(&slot));
        pool.slots().filter(move |first| fits(*first)).filter(is_free)
    })
}

/// The slots that `size` ids from `first` on take.
fn slots_from(first: u32, size: u32) -> impl Iterator<Item = u32> {
    (0..size.div_ceil(SLOT)).filter_map(move |slot| first.checked_add(slot * SLOT))
}

/// All of the slots, or none.
fn take(leases: &Path, slots: impl Iterator<Item = u32>, id: &str) -> Result<bool> {
    let mut own = Vec::new();
    for slot in slots {
        let name = slot.to_string();
        match record::take_name(leases, &name, id) {
            Ok(None) => own.push(name),
            other => {
                own.iter().try_for_each(|name| record::drop_name(leases, name, id))?;
                return other.map(|_| false);
            }
        }
    }
    Ok(true)
}

/// The slots that are taken.
fn taken(leases: &Path) -> Result<BTreeSet<u32>> {
    let entries = match std::fs::read_dir(leases) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries.map_err(|error| Error::io("read", leases, error))?,
    };
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// Frees the slots whose container is gone, and says whether there were any. Under a lock, so that nobody frees a slot
/// that another has freed and a third taken meanwhile.
fn reclaim(leases: &Path, gone: &dyn Fn(&str) -> bool) -> Result<bool> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = match rustix::fs::open(leases, flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(false),
        opened => opened.map_err(|errno| Error::io("open", leases, errno))?,
    };
    rustix::io::retry_on_intr(|| flock(&directory, FlockOperation::LockExclusive))
        .map_err(|errno| Error::io("lock", leases, errno))?;
    let mut any = false;
    for slot in taken(leases)? {
        let name = slot.to_string();
        if let Some(holder) = record::named(leases, &name)?.filter(|holder| gone(holder)) {
            record::drop_name(leases, &name, &holder)?;
            any = true;
        }
    }
    Ok(any)
}

/// A user namespace of a container, as its files are seen through it.
#[derive(Clone, Copy, Debug)]
pub struct Mapping<'a> {
    /// A namespace with its maps.
    pub namespace: BorrowedFd<'a>,
    /// The maps.
    pub ids: &'a Ids,
}

impl<'a> Mapping<'a> {
    /// The namespace that `made` made, where there is one.
    pub(crate) fn of(container: &'a Container, made: Option<&'a OwnedFd>) -> Option<Mapping<'a>> {
        Some(Mapping { namespace: made?.as_fd(), ids: container.id_maps.as_ref()? })
    }

    /// The host's ids of the container's root.
    pub fn root(&self) -> (u32, u32) {
        self.ids.outside(0, 0)
    }
}

/// A user namespace with the container's maps, where it has any.
pub(crate) fn namespace(container: &Container) -> Result<Option<OwnedFd>> {
    let made = container.id_maps.as_ref().map(|ids| runtime::user_namespace(&ids.uids, &ids.gids));
    Ok(made.transpose()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(mode: &str, uids: &[&str], gids: &[&str]) -> std::result::Result<Wish, Invalid> {
        let list = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        let maps = crate::config::IdMappings { uid_map: list(uids), gid_map: list(gids) };
        wish(&HostConfig { userns_mode: mode.into(), id_mappings: Some(maps), ..HostConfig::default() })
    }

    #[test]
    fn modes_are_read() {
        assert_eq!(asked("", &[], &[]), Ok(Wish::Host));
        assert_eq!(asked("auto", &[], &[]), Ok(Wish::Range(65_536)));
        assert_eq!(asked("auto:size=1000", &[], &[]), Ok(Wish::Range(1000)));
        let one = |inside, outside, size| IdMapping { container_id: inside, host_id: outside, size };
        let uids = vec![one(0, 1000, 1), one(1, 100_000, 10)];
        let ids = Ids { gids: uids.clone(), uids };
        assert_eq!(asked("private", &["0:1000", "1:100000:10"], &[]), Ok(Wish::Maps(ids)));
        for (mode, uids) in [
            ("auto:size=0", None),
            ("auto:size=x", None),
            ("auto:uidmapping=0:0:1", None),
            ("keep-id", None),
            ("nomap", None),
            ("container:x", None),
            ("auto", Some("0:1:1")),
            ("", Some("0:1:0")),
            ("", Some("1:1:1")),
            ("", Some("0:4294967295:2")),
            ("", Some("0:1:1:1")),
        ] {
            assert!(asked(mode, uids.as_slice(), &[]).is_err(), "{mode} {uids:?}");
        }
    }

    #[test]
    fn ids_are_those_that_both_files_set_aside() {
        assert_eq!(pools("someone:1:2\n", ""), [HIGH]);
        let both = pools("containers:100000:200000\nberth:1:1", "containers:165536:200000\n");
        assert_eq!(both, [Pool { first: 165_536, count: 134_464 }]);
        assert_eq!(both[0].slots().collect::<Vec<_>>(), [165_536, 231_072]);
        assert_eq!(pools("containers:1:9", ""), []);
        assert_eq!(HIGH.slots().last().map(|first| first.checked_add(SLOT)), Some(Some(0xffff_0000)));
    }

    #[test]
    fn slots_are_taken_once_and_reclaimed_from_the_dead() {
        let bed = tempfile::tempdir().unwrap();
        let leases = bed.path().join("idmaps");
        let pools = [Pool { first: 1000, count: 4 * SLOT }];
        let lease = |size, id: &str, dead: &str| lease(&leases, &pools, size, id, &|id| id == dead).unwrap();
        assert_eq!(lease(SLOT, "a", ""), Some(1000));
        assert_eq!(lease(SLOT + 1, "b", ""), Some(1000 + SLOT));
        assert_eq!(lease(SLOT + 1, "c", ""), None);
        assert_eq!(lease(1, "c", ""), Some(1000 + 3 * SLOT));
        assert_eq!(lease(1, "d", ""), None);
        assert_eq!(lease(2 * SLOT, "d", "b"), Some(1000 + SLOT));
    }
}
