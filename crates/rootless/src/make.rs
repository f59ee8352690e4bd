//! New namespaces: a child is born in them and waits until its maps are written and its parent has joined it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use namespace::{Extent, IdKind, IdMap, WriteError};
use rustix::process::{Pid, WaitId, WaitIdOptions};
use sys::process::{CloneFlags, Cloned};

use crate::{Error, Namespaces, Range, User, advice, own_ranges};

/// A child that keeps namespaces alive, until this is dropped.
struct Keeper {
    pid: Pid,
    pidfd: OwnedFd,
    /// When its last copy is closed, also because the parent was killed, the child ends.
    #[allow(dead_code, reason = "held open")]
    hold: OwnedFd,
}

/// Makes both namespaces. They are there as long as somebody holds them open.
pub fn make(user: User) -> Result<Namespaces, Error> {
    let users = own_ranges(IdKind::User, user.uid)?;
    let groups = own_ranges(IdKind::Group, user.uid)?;
    let keeper = Keeper::start(CloneFlags::NEWUSER | CloneFlags::NEWNS)?;
    match users.is_empty() || groups.is_empty() {
        // Nobody needs help to map himself alone.
        true => single(keeper.pid, user),
        false => several(keeper.pid, user, &users, &groups),
    }?;
    Namespaces::of(keeper.pid, true).map_err(|source| Error::Enter { source, advice: String::new() })
}

/// Makes a network namespace, and mounts it at `place` for as long as the mount namespace is there.
pub fn mount_network(place: &Path) -> Result<(), Error> {
    let keeper = Keeper::start(CloneFlags::NEWNET)?;
    std::fs::write(place, b"").map_err(|error| Error::io("make", place, error))?;
    rustix::mount::mount_bind(format!("/proc/{}/ns/net", keeper.pid.as_raw_nonzero()), place)
        .map_err(|errno| Error::io("mount a network namespace at", place, errno))
}

fn single(pid: Pid, user: User) -> Result<(), Error> {
    let map = |outside| IdMap::new(vec![Extent { inside: 0, outside, count: 1 }]).map_err(Error::Map);
    let refused = |source| Error::Write { source, advice: "" };
    namespace::write_map(pid, IdKind::User, &map(user.uid)?).map_err(refused)?;
    // user_namespaces(7): who maps just his own group gives up setgroups(2) first.
    namespace::deny_setgroups(pid).map_err(refused)?;
    namespace::write_map(pid, IdKind::Group, &map(user.gid)?).map_err(refused)
}

fn several(pid: Pid, user: User, users: &[Range], groups: &[Range]) -> Result<(), Error> {
    let (users, groups) = (map(user.uid, users)?, map(user.gid, groups)?);
    namespace::write_maps_with_helpers(pid, &users, &groups).map_err(|source| {
        let advice = match &source {
            WriteError::HelperMissing { .. } => {
                "; as root, apt-get install uidmap (Debian, Ubuntu) or dnf install shadow-utils (Fedora)"
            }
            WriteError::HelperRefused { .. } => {
                "; the program must be set-user-id or have file capabilities (as root, chmod u+s $(command -v newuidmap \
                 newgidmap)), and the ranges must be this user's in /etc/subuid and /etc/subgid"
            }
            WriteError::File { .. } => "",
        };
        Error::Write { source, advice }
    })
}

/// The own id is 0; all others follow, range after range.
fn map(own: u32, ranges: &[Range]) -> Result<IdMap, Error> {
    let mut extents = vec![Extent { inside: 0, outside: own, count: 1 }];
    let mut next = 1u32;
    for range in ranges {
        // One's own id may lie in one's own range, and can be mapped once only.
        let own_is_in = own.checked_sub(range.start).filter(|before| *before < range.count);
        let parts = match own_is_in {
            None => [*range, Range { start: 0, count: 0 }],
            Some(before) => [
                Range { start: range.start, count: before },
                Range { start: own.saturating_add(1), count: range.count - before - 1 },
            ],
        };
        for Range { start, count } in parts.into_iter().filter(|part| part.count > 0) {
            let count = count.min(u32::MAX - next);
            extents.push(Extent { inside: next, outside: start, count });
            next = next.saturating_add(count);
        }
    }
    IdMap::new(extents).map_err(Error::Map)
}

impl Keeper {
    fn start(namespaces: CloneFlags) -> Result<Keeper, Error> {
        let refused = |source| Error::Make { advice: advice::of_host(), source };
        let (end, hold) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|errno| Error::io("make", "a pipe", errno))?;
        match sys::process::clone(namespaces, None).map_err(refused)? {
            Cloned::Parent { pid, pidfd } => Ok(Keeper { pid, pidfd, hold }),
            Cloned::Child => {
                drop(hold);
                let _ = rustix::io::read(&end, &mut [0; 1][..]);
                sys::process::exit_now(0);
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = sys::process::pidfd_signal(self.pidfd.as_fd(), libc::SIGKILL);
        let wait = || rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
        let _ = rustix::io::retry_on_intr(wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(own: u32, ranges: &[(u32, u32)]) -> String {
        let ranges: Vec<_> = ranges.iter().map(|&(start, count)| Range { start, count }).collect();
        map(own, &ranges).unwrap().render().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_own_id_is_root_and_all_ranges_follow() {
        assert_eq!(text(1000, &[(100_000, 65_536)]), "0 1000 1 1 100000 65536");
        assert_eq!(text(1000, &[(100_000, 10), (5, 3)]), "0 1000 1 1 100000 10 11 5 3");
        assert_eq!(text(7, &[(5, 5)]), "0 7 1 1 5 2 3 8 2");
    }
}
