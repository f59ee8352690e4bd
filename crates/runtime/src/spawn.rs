//! Cloning init: directly, or from a process between that joins namespaces first.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use namespace::{Kind, NamespaceFile};
use rustix::process::{Pid, PidfdFlags};
use sys::process::{CloneFlags, Cloned, NamespaceFlags};

use crate::failure::{Failure, OrFail, Result};
use crate::init::Init;
use crate::plan::{Namespaces, Step};

/// Init, as its parent sees it.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub pid: Pid,
    pub pidfd: OwnedFd,
}

/// Clones init, which goes through `steps`, with the new namespaces of `namespaces`.
pub(crate) fn spawn(
    namespaces: &Namespaces,
    cgroup: Option<BorrowedFd<'_>>,
    init: Init<'_>,
    steps: &[Step],
) -> Result<Spawned> {
    if namespaces.needs_intermediate() {
        return spawn_joined(namespaces, cgroup, init, steps);
    }
    match sys::process::clone(namespaces.clone_flags(), cgroup).map_err(|error| refused(&error))? {
        Cloned::Child => init.run(steps),
        Cloned::Parent { pid, pidfd } => Ok(Spawned { pid, pidfd }),
    }
}

fn spawn_joined(
    namespaces: &Namespaces,
    cgroup: Option<BorrowedFd<'_>>,
    init: Init<'_>,
    steps: &[Step],
) -> Result<Spawned> {
    let born = || sys::process::clone(CloneFlags::empty(), cgroup).map_err(|error| refused(&error));
    spawn_through(born, |init| join_and_clone(namespaces, init), init, steps)
}

/// Init as a process that was added to a container, for a caller who may enter its pid namespace only from within its
/// user namespace: up to there the process between goes through `steps`.
pub(crate) fn spawn_member(
    born: impl FnOnce() -> Result<Cloned>,
    init: Init<'_>,
    steps: &[Step],
) -> Result<Spawned> {
    let joins = |step: &Step| matches!(step, Step::JoinContainer(_) | Step::BecomeRoot);
    let (outside, inside) = steps.split_at(steps.iter().rposition(joins).map_or(0, |last| last + 1));
    let join = |init: &mut Init<'_>| {
        outside.iter().try_for_each(|step| init.apply(step))?;
        sys::process::clone(CloneFlags::PARENT, None).map_err(|error| refused(&error))
    };
    spawn_through(born, join, init, inside)
}

/// ```text
/// parent -- born() --> between: joins cgroups and namespaces
///                        '-- clone3(CLONE_PARENT, new namespaces) --> init, a child of the parent
/// ```
fn spawn_through(
    born: impl FnOnce() -> Result<Cloned>,
    join: impl FnOnce(&mut Init<'_>) -> Result<Cloned>,
    mut init: Init<'_>,
    steps: &[Step],
) -> Result<Spawned> {
    let (answer, question) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).or_fail("make", "a pipe")?;
    let Cloned::Parent { pidfd, .. } = born()? else {
        init.leave_parent();
        let pid = join(&mut init).map(|cloned| match cloned {
            Cloned::Child => None,
            Cloned::Parent { pid, .. } => Some(pid),
        });
        match pid {
            Ok(None) => {
                drop(question);
                init.run(steps)
            }
            Ok(Some(pid)) => {
                let _ = rustix::io::write(&question, &pid.as_raw_nonzero().get().to_ne_bytes());
            }
            // As init would report it, for the parent reads init's messages either way.
            Err(failure) => init.fail(failure),
        }
        sys::process::exit_now(0);
    };
    // Both are its children's now; this end must close for the parent to see init's end.
    drop(init);
    drop(question);
    let mut pid = [0; 4];
    let n =
        rustix::io::retry_on_intr(|| rustix::io::read(&answer, &mut pid)).or_fail("read", "init's pid")?;
    crate::process::reap(&pidfd).or_fail("wait for", "the process that joins namespaces")?;
    match Pid::from_raw(i32::from_ne_bytes(pid)) {
        // Not reaped before we do: the number is still init's.
        Some(pid) if n == 4 => {
            let pidfd =
                rustix::process::pidfd_open(pid, PidfdFlags::empty()).or_fail("open pidfd of", "init")?;
            Ok(Spawned { pid, pidfd })
        }
        _ => Err(Failure::because("clone", "init", "joining the namespaces failed")),
    }
}

/// Joins what the caller's own privileges reach, then the user namespace, then what only that one's reach.
fn join_and_clone(namespaces: &Namespaces, init: &mut Init<'_>) -> Result<Cloned> {
    // Members of the namespaces see this process, and init, as soon as they are in there.
    crate::init::hide_memory()?;
    init.join_cgroups()?;
    let files = std::mem::take(&mut init.namespaces);
    let (users, mut others): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.kind() == Kind::User);
    others.retain(|file| users.is_empty() || file.enter().is_err());
    let all: Vec<NamespaceFile> = users.into_iter().chain(others).collect();
    for file in &all {
        file.enter().map_err(|error| {
            Failure::because("join", format!("{} namespace", file.kind().oci_name()), error)
        })?;
    }
    let flags = namespaces.clone_flags();
    if namespaces.joins(Kind::User) {
        // What is made from now on belongs to the namespace only if it is made by root of it.
        crate::init::become_root()?;
    }
    sys::process::clone(flags | CloneFlags::PARENT, None).map_err(|error| refused(&error))
}

fn refused(error: &io::Error) -> Failure {
    let failure = Failure::new("clone3", "the container's first process", io::Error::from(error.kind()));
    let failure = Failure { errno: error.raw_os_error(), detail: String::new(), ..failure };
    match error.raw_os_error() {
        Some(libc::EPERM) => failure.hint(
            "making namespaces needs CAP_SYS_ADMIN, or a user namespace (linux.namespaces of type user), which the \
             host's administrator may have switched off (sysctl user.max_user_namespaces, \
             kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)",
        ),
        Some(libc::ENOSPC) => failure.hint("the limit of namespaces is reached (sysctl user.max_*_namespaces)"),
        Some(libc::EINVAL) => failure.hint("this kernel lacks one of the namespaces"),
        Some(libc::EAGAIN) => failure.hint("the limit of processes is reached (pids cgroup or RLIMIT_NPROC)"),
        _ => failure,
    }
}

/// The namespaces of a container that are not the runtime's, from their names in its record, without that of pids,
/// which is for children alone. A user namespace that is the runtime's own can't be entered again.
pub(crate) fn flags_of(names: &[String], pid: i32) -> Result<NamespaceFlags> {
    let mut flags = NamespaceFlags::empty();
    for kind in Kind::ALL.into_iter().filter(|kind| names.iter().any(|name| name == kind.oci_name())) {
        flags |= match kind {
            Kind::Mount => NamespaceFlags::MOUNT,
            Kind::Uts => NamespaceFlags::UTS,
            Kind::Ipc => NamespaceFlags::IPC,
            Kind::User if is_own_user_namespace(pid)? => NamespaceFlags::empty(),
            Kind::User => NamespaceFlags::USER,
            Kind::Pid => NamespaceFlags::empty(),
            Kind::Net => NamespaceFlags::NET,
            Kind::Cgroup => NamespaceFlags::CGROUP,
            Kind::Time => NamespaceFlags::TIME,
        };
    }
    Ok(flags)
}

fn is_own_user_namespace(pid: i32) -> Result<bool> {
    let id = |path: &str| rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino)).or_fail("stat", path);
    Ok(id("/proc/self/ns/user")? == id(&format!("/proc/{pid}/ns/user"))?)
}
