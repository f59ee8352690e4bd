//! The runtime's own binary, out of the container's reach.
//!
//! Until its exec, a container's first process is a copy of the runtime, and /proc/PID/exe of it leads to the binary.
//! A program whose path or interpreter is /proc/self/exe even executes it; its descriptor, kept until the process
//! ends, could then be opened for writing, and the host's root would run what was written (CVE-2019-5736).
//!
//! So whoever makes containers first executes itself again from a read-only mount of the binary that is attached
//! nowhere: nobody can find it, remount it or write through it, and the page cache stays shared with all others. Where
//! the caller may not mount (rootless), the copy is a sealed memfd.

use std::ffi::{CStr, CString, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use sys::mount::MountAttr;

use crate::failure::{OrFail, Result};
use crate::init::set_attributes;

const SELF: &CStr = c"/proc/self/exe";
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// Executes the program again from where the container can't reach it; returns at once where that was done already.
///
/// `variable` is added to the environment.
///
/// # Errors
/// Where neither a mount nor a memfd can be made: then no container may be.
pub fn leave_host_binary(variable: Option<(String, String)>) -> Result<()> {
    let own = open_self()?;
    if is_out_of_reach(&own)? {
        return Ok(());
    }
    let copy = copy_of(&own)?;
    let strings = |strings: &mut dyn Iterator<Item = OsString>| {
        // What the kernel passed holds no NUL.
        strings.filter_map(|string| CString::new(string.into_vec()).ok()).collect::<Vec<_>>()
    };
    let args = strings(&mut std::env::args_os());
    let added = variable.map(|(name, value)| (name.into(), value.into()));
    let env = strings(&mut std::env::vars_os().chain(added).map(|(name, value)| {
        let mut variable = name;
        variable.push("=");
        variable.push(value);
        variable
    }));
    Err(sys::process::exec_fd(copy.as_fd(), &args, &env)).or_fail("exec", "a copy of the own binary")
}

/// The own binary, out of any container's reach: to execute a child from it ([`sys::process::exec_fd`]) that makes
/// containers itself. Where this process was started from such a copy, it is that one.
///
/// # Errors
/// As [`leave_host_binary`].
pub fn own_binary() -> Result<OwnedFd> {
    let own = open_self()?;
    if is_out_of_reach(&own)? { Ok(own) } else { copy_of(&own) }
}

fn open_self() -> Result<OwnedFd> {
    rustix::fs::open(SELF, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).or_fail("open", "own binary")
}

fn copy_of(own: &OwnedFd) -> Result<OwnedFd> {
    detached_mount(own).or_else(|_| sealed_copy(own))
}

/// A memfd that nobody can write, or a read-only mount. Files of a tmpfs have seals, too, if others.
fn is_out_of_reach(own: &OwnedFd) -> Result<bool> {
    if rustix::fs::fcntl_get_seals(own).is_ok_and(|seals| seals.contains(SEALS)) {
        return Ok(true);
    }
    let flags = rustix::fs::fstatvfs(own).or_fail("statvfs", "own binary")?.f_flag;
    Ok(flags.contains(StatVfsMountFlags::RDONLY))
}

fn detached_mount(own: &OwnedFd) -> Result<OwnedFd> {
    let mount = clone_mount(own).or_fail("clone mount of", "own binary")?;
    set_attributes(&mount, MountAttr::RDONLY).or_fail("make read-only", "own binary")?;
    Ok(mount)
}

/// After setns(2) into another mount namespace, the link of /proc leads to a mount of the one before, which can't be
/// cloned from here: the same file by its path can.
fn clone_mount(own: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let refused = match rustix::mount::open_tree(CWD, SELF, flags) {
        Err(Errno::INVAL) => Errno::INVAL,
        other => return other,
    };
    let path = rustix::fs::readlink(SELF, Vec::new())?;
    let mount = rustix::mount::open_tree(CWD, path, flags)?;
    let file = |fd| rustix::fs::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    if file(mount.as_fd())? == file(own.as_fd())? { Ok(mount) } else { Err(refused) }
}

fn sealed_copy(own: &OwnedFd) -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = rustix::fs::memfd_create("berth", flags | MemfdFlags::EXEC)
        // Before Linux 6.3 there is no such flag, and every memfd can be executed.
        .or_else(|_| rustix::fs::memfd_create("berth", flags))
        .or_fail("make", "a memfd")?;
    while rustix::fs::sendfile(&copy, own, None, 1 << 30).or_fail("copy", "own binary")? > 0 {}
    rustix::fs::fcntl_add_seals(&copy, SEALS).or_fail("seal", "a copy of the own binary")?;
    Ok(copy)
}
