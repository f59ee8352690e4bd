//! Trees of the host that the parent opens because init can't: from within a user namespace it may not reach the path,
//! and no id map can be put on a mount that the host owns.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use namespace::Kind;
use oci::spec::{IdMapping, Linux};
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;
use sys::mount::{MountAttr, MountChange, mount_setattr};
use sys::process::NamespaceFlags;

use crate::failure::{Failure, OrFail, Result};
use crate::init::{open_bind, user_namespace};
use crate::plan::{IdMapPlan, MountPlan, Namespaces, Source, StartPlan, Step};

/// A source that init does not open itself.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It is there.
    Tree(OwnedFd),
    /// Init makes mounts below it before, and asks for it then.
    Later,
}

/// Opens them, by their place in `mounts`; `trees` has those that the caller opened.
pub(crate) fn open(
    plan: &StartPlan,
    linux: &Linux,
    rootless: bool,
    trees: BTreeMap<usize, OwnedFd>,
) -> Result<BTreeMap<usize, Opened>> {
    let for_user = plan.namespaces.has(Kind::User) && !rootless;
    let mut sources: BTreeMap<_, _> =
        trees.into_iter().map(|(index, tree)| (index, Opened::Tree(tree))).collect();
    let mut made = Made::default();
    for step in &plan.init {
        let Step::Mount(mount) = step else { continue };
        let Source::Bind { path, recursive, link } = &mount.source else { continue };
        if mount.idmap.is_none() && !for_user {
            continue;
        }
        let tree = match sources.remove(&mount.index) {
            Some(Opened::Tree(tree)) => tree,
            _ if mount.within_root => {
                sources.insert(mount.index, Opened::Later);
                continue;
            }
            _ => open_bind(path, *recursive, *link)?,
        };
        let tree = adapted(tree, mount, path, linux, &plan.namespaces, &mut made)?;
        sources.insert(mount.index, Opened::Tree(tree));
    }
    Ok(sources)
}

/// Opens one that init asks for, as it is among init's mounts by now.
pub(crate) fn open_later(plan: &StartPlan, linux: &Linux, index: usize, init: Pid) -> Result<OwnedFd> {
    let asked = plan.init.iter().find_map(|step| match step {
        Step::Mount(mount) if mount.index == index => Some(mount),
        _ => None,
    });
    let Some((mount, Source::Bind { path, recursive, link })) = asked.map(|mount| (mount, &mount.source))
    else {
        return Err(Failure::because("open", format!("the source of mounts[{index}]"), "it is no bind"));
    };
    let tree = among_mounts_of(init, || open_bind(path, *recursive, *link))?;
    adapted(tree, mount, path, linux, &plan.namespaces, &mut Made::default())
}

/// Calls `act` in the mount namespace of `init`, and comes back.
fn among_mounts_of<T>(init: Pid, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let open = |path: &str| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).or_fail("open", path)
    };
    let (root, directory, own) = (open("/")?, open(".")?, open("/proc/self/ns/mnt")?);
    let theirs = open(&format!("/proc/{}/ns/mnt", init.as_raw_nonzero()))?;
    let enter = |namespace: &OwnedFd| sys::process::setns(namespace.as_fd(), NamespaceFlags::MOUNT);
    enter(&theirs).or_fail("join", "the mount namespace of init")?;
    let done = act();
    let back = || -> io::Result<()> {
        enter(&own)?;
        rustix::process::fchdir(&root)?;
        rustix::process::chroot(".")?;
        Ok(rustix::process::fchdir(&directory)?)
    };
    back().or_fail("return to", "the own mount namespace")?;
    done
}

/// The tree as init attaches it: nothing that is mounted inside comes out, and ids are mapped.
fn adapted(
    tree: OwnedFd,
    mount: &MountPlan,
    path: &Path,
    linux: &Linux,
    namespaces: &Namespaces,
    made: &mut Made,
) -> Result<OwnedFd> {
    let slave = MountChange { propagation: libc::MS_SLAVE, recursive: true, ..MountChange::default() };
    mount_setattr(tree.as_fd(), c"", &slave).or_fail_at("make slave", path)?;
    if let Some(map) = &mount.idmap {
        map_ids(&tree, path, map, linux, namespaces, made)?;
    }
    Ok(tree)
}

fn map_ids(
    tree: &OwnedFd,
    path: &Path,
    map: &IdMapPlan,
    linux: &Linux,
    namespaces: &Namespaces,
    made: &mut Made,
) -> Result<()> {
    let namespace = mapping_namespace(map, linux, namespaces, made)?;
    let change = MountChange {
        set: MountAttr::IDMAP,
        user_namespace: Some(namespace.as_fd()),
        recursive: map.recursive,
        ..MountChange::default()
    };
    mount_setattr(tree.as_fd(), c"", &change).map_err(|error| {
        Failure::new("map ids of", path.display(), error)
            .hint("failed to set MOUNT_ATTR_IDMAP: the file system may not support id-mapped mounts")
    })
}

/// The last user namespace that was made, by its maps: most mounts of a container have the same, and one costs a process.
type Made = Option<(Vec<IdMapping>, Vec<IdMapping>, OwnedFd)>;

/// A user namespace with the mount's own map, or else with the container's, which may be that of a joined one.
fn mapping_namespace(
    map: &IdMapPlan,
    linux: &Linux,
    namespaces: &Namespaces,
    made: &mut Made,
) -> Result<OwnedFd> {
    let own = |mappings: &Vec<_>, container: &Vec<_>| {
        if mappings.is_empty() { container.clone() } else { mappings.clone() }
    };
    let (uids, gids) = (own(&map.uids, &linux.uid_mappings), own(&map.gids, &linux.gid_mappings));
    match namespaces.join.iter().find(|(kind, _)| *kind == Kind::User) {
        Some((_, path)) if uids.is_empty() && gids.is_empty() => {
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .or_fail_at("open user namespace", path)
        }
        _ => {
            let copy = |fd: &OwnedFd| fd.try_clone().or_fail("copy", "a user namespace");
            match made {
                Some((known_uids, known_gids, namespace)) if *known_uids == uids && *known_gids == gids => {
                    copy(namespace)
                }
                _ => {
                    let namespace = user_namespace(&uids, &gids)?;
                    let another = copy(&namespace)?;
                    *made = Some((uids, gids, namespace));
                    Ok(another)
                }
            }
        }
    }
}
