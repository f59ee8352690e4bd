//! Typed system calls on owned and borrowed file descriptors; the only crate with unsafe code.
//!
//! What rustix has is used from rustix; here is what it lacks.
#![allow(unsafe_code)]

pub mod bare;
pub mod bpf;
mod entry;
pub mod fsid;
pub mod memory;
pub mod mount;
pub mod net;
pub mod nsfs;
pub mod probe;
pub mod process;
pub mod ptrace;
pub mod quota;
pub mod sched;
pub mod seccomp;
#[cfg(own_start)]
mod start;
pub mod trace;

/// A system call's return value as a result: the errno where it is negative.
pub(crate) fn check(ret: libc::c_long) -> std::io::Result<libc::c_long> {
    if ret < 0 { Err(std::io::Error::last_os_error()) } else { Ok(ret) }
}
