//! What ioctl_nsfs(2) tells about a namespace file.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

// include/uapi/linux/nsfs.h: _IO(0xb7, n)
const NS_GET_USERNS: libc::Ioctl = 0xb701;
const NS_GET_PARENT: libc::Ioctl = 0xb702;
const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
const NS_GET_OWNER_UID: libc::Ioctl = 0xb704;

/// The `CLONE_NEW*` flag of the namespace's type; `ENOTTY` if the file is not a namespace.
pub fn namespace_type(file: impl AsFd) -> io::Result<u32> {
    // SAFETY: NS_GET_NSTYPE takes no argument and touches no memory of ours.
    let flag = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), NS_GET_NSTYPE) };
    u32::try_from(flag).map_err(|_| io::Error::last_os_error())
}

/// The user namespace that owns this one; `EPERM` if it lies outside the caller's.
pub fn owning_user_namespace(file: impl AsFd) -> io::Result<OwnedFd> {
    related(file, NS_GET_USERNS)
}

/// The parent of a user or pid namespace; `EPERM` if it lies outside the caller's, `EINVAL` if the type has
/// no hierarchy.
pub fn parent_namespace(file: impl AsFd) -> io::Result<OwnedFd> {
    related(file, NS_GET_PARENT)
}

/// The user id, as the caller sees it, of whoever created a user namespace; `EINVAL` for other types.
pub fn owner_uid(file: impl AsFd) -> io::Result<u32> {
    let mut uid: libc::uid_t = 0;
    // SAFETY: NS_GET_OWNER_UID writes one uid_t to the pointer, which is valid for the call.
    let answer = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), NS_GET_OWNER_UID, &raw mut uid) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(uid) }
}

fn related(file: impl AsFd, request: libc::Ioctl) -> io::Result<OwnedFd> {
    // SAFETY: both requests take no argument and touch no memory of ours.
    let fd = unsafe { libc::ioctl(file.as_fd().as_raw_fd(), request) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor (with O_CLOEXEC) and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
