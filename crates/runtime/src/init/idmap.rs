//! A user namespace that exists only for its id maps, to be given to mount_setattr(2).

use std::os::fd::OwnedFd;

use namespace::{Extent, IdKind, IdMap};
use oci::spec::IdMapping;
use rustix::process::Pid;
use sys::process::{CloneFlags, Cloned};

use crate::failure::{Failure, OrFail, Result};

/// The map as the crate `namespace` has it.
pub(crate) fn map(mappings: &[IdMapping], what: &str) -> Result<IdMap> {
    let extent = |m: &IdMapping| Extent { inside: m.container_id, outside: m.host_id, count: m.size };
    IdMap::new(mappings.iter().map(extent).collect()).map_err(|error| Failure::because("map", what, error))
}

/// Makes a user namespace with these maps, for id-mapped mounts, and keeps only the namespace: the process that it was made with ends at once.
///
/// # Errors
/// Maps that the kernel refuses.
pub fn user_namespace(uids: &[IdMapping], gids: &[IdMapping]) -> Result<OwnedFd> {
    let (uids, gids) = (map(uids, "uids")?, map(gids, "gids")?);
    let (hold, release) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).or_fail("make", "a pipe")?;
    match sys::process::clone(CloneFlags::NEWUSER, None).or_fail("clone", "a user namespace")? {
        Cloned::Child => {
            drop(release);
            // Ends when the parent has what it wants, or is gone itself.
            let _ = rustix::io::read(&hold, &mut [0; 1]);
            sys::process::exit_now(0)
        }
        Cloned::Parent { pid, pidfd } => {
            let made = write_and_open(pid, &uids, &gids);
            drop(release);
            crate::process::reap(&pidfd).or_fail("wait for", "the holder of a user namespace")?;
            made
        }
    }
}

fn write_and_open(pid: Pid, uids: &IdMap, gids: &IdMap) -> Result<OwnedFd> {
    let refused = |error| Failure::because("make", "a user namespace", error);
    namespace::write_map(pid, IdKind::User, uids).map_err(refused)?;
    namespace::write_map(pid, IdKind::Group, gids).map_err(refused)?;
    let path = format!("/proc/{pid}/ns/user");
    std::fs::File::open(&path).map(OwnedFd::from).or_fail("open", path)
}
