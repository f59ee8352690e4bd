//! At start: what has to be done before the runtime can mount.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};

use crate::idmaps::Mapping;
use crate::volumes::{Volumes, populate};

use super::arrange::{Act, Deed};
use super::{MountError, Planned, subpath};

/// What mounts are opened in.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The volumes.
    pub volumes: &'a Volumes,
    /// The mounted root of the container, which new volumes are filled from.
    pub root: BorrowedFd<'a>,
    /// The container's user namespace, where it has its own.
    pub mapping: Option<Mapping<'a>>,
    /// Gives a detached, read-only view of an image, by its reference.
    pub image: &'a dyn Fn(&Planned) -> Result<OwnedFd, String>,
}

/// Does what has to be done, and gives the sources that were opened for it, by the destination of their mount.
///
/// # Errors
/// Something is not there, or can't be used.
pub fn realize(deeds: &[Deed<'_>], with: Surroundings<'_>) -> Result<BTreeMap<String, OwnedFd>, MountError> {
    let mut trees = BTreeMap::new();
    for deed in deeds {
        let tree = perform(deed, with)?;
        trees.extend(tree.map(|tree| (deed.one.mount.target.clone(), tree)));
    }
    Ok(trees)
}

fn perform(deed: &Deed<'_>, with: Surroundings<'_>) -> Result<Option<OwnedFd>, MountError> {
    let one = deed.one;
    let part_of = |tree: BorrowedFd<'_>, part: &str| {
        subpath::open(tree, part).map_err(|errno| MountError::open(one, format!("subpath {part}: {errno}")))
    };
    match &deed.act {
        Act::MakeSource => {
            std::fs::create_dir_all(&one.mount.source).map_err(|error| MountError::open(one, error))?;
            Ok(None)
        }
        Act::Fill(volume) => {
            populate(with.volumes, volume, with.root, &one.mount.target, with.mapping)?;
            Ok(None)
        }
        Act::OpenPart { directory, part } => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = rustix::fs::openat(CWD, directory, flags, Mode::empty());
            let directory = directory.map_err(|errno| MountError::open(one, errno))?;
            part_of(directory.as_fd(), part).map(Some)
        }
        Act::OpenImage { part } => {
            let tree = (with.image)(one).map_err(|problem| MountError::open(one, problem))?;
            // From a mount that is attached nowhere the kernel copies since 6.15.
            if part.is_empty() { Ok(Some(tree)) } else { part_of(tree.as_fd(), part).map(Some) }
        }
    }
}
