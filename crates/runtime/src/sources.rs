//! Trees of the host that the parent opens because init can't: from within a user namespace it may not reach the path,
//! and no id map can be put on a mount that the host owns.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use namespace::Kind;
use oci::spec::Linux;
use rustix::fs::{Mode, OFlags};
use sys::mount::{MountAttr, MountChange, mount_setattr};

use crate::failure::{Failure, OrFail, Result};
use crate::init::{open_bind, user_namespace};
use crate::plan::{IdMapPlan, Namespaces, Source, StartPlan, Step};

/// Opens them, by their place in `mounts`; `sources` has those that the caller opened.
pub(crate) fn open(
    plan: &StartPlan,
    linux: &Linux,
    rootless: bool,
    mut sources: BTreeMap<usize, OwnedFd>,
) -> Result<BTreeMap<usize, OwnedFd>> {
    let for_user = plan.namespaces.has(Kind::User) && !rootless;
    for step in &plan.init {
        let Step::Mount(mount) = step else { continue };
        let Source::Bind { path, recursive, link } = &mount.source else { continue };
        if mount.idmap.is_none() && !for_user {
            continue;
        }
        let tree = match sources.remove(&mount.index) {
            Some(tree) => tree,
            None => open_bind(path, *recursive, *link)?,
        };
        let slave = MountChange { propagation: libc::MS_SLAVE, recursive: true, ..MountChange::default() };
        mount_setattr(tree.as_fd(), c"", &slave).or_fail_at("make slave", path)?;
        if let Some(map) = &mount.idmap {
            map_ids(&tree, path, map, linux, &plan.namespaces)?;
        }
        sources.insert(mount.index, tree);
    }
    Ok(sources)
}

fn map_ids(
    tree: &OwnedFd,
    path: &Path,
    map: &IdMapPlan,
    linux: &Linux,
    namespaces: &Namespaces,
) -> Result<()> {
    let namespace = mapping_namespace(map, linux, namespaces)?;
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

/// A user namespace with the mount's own map, or else with the container's, which may be that of a joined one.
fn mapping_namespace(map: &IdMapPlan, linux: &Linux, namespaces: &Namespaces) -> Result<OwnedFd> {
    let own = |mappings: &Vec<_>, container: &Vec<_>| {
        if mappings.is_empty() { container.clone() } else { mappings.clone() }
    };
    let (uids, gids) = (own(&map.uids, &linux.uid_mappings), own(&map.gids, &linux.gid_mappings));
    match namespaces.join.iter().find(|(kind, _)| *kind == Kind::User) {
        Some((_, path)) if uids.is_empty() && gids.is_empty() => {
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .or_fail_at("open user namespace", path)
        }
        _ => user_namespace(&uids, &gids),
    }
}
