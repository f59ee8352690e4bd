//! seccomp(2).

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr;

use bitflags::bitflags;

use crate::check;

/// One instruction of classic BPF, `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// How many instructions a comparison skips that holds.
    pub jt: u8,
    /// How many instructions a comparison skips that does not hold.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

bitflags! {
    /// `SECCOMP_FILTER_FLAG_…`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct FilterFlags: u32 {
        /// Every thread of the process gets the filter.
        const TSYNC = 1 << 0;
        /// What the filter denies is logged, but for errnos.
        const LOG = 1 << 1;
        /// Speculative store bypass stays on.
        const SPEC_ALLOW = 1 << 2;
        /// The call returns the descriptor of a listener.
        const NEW_LISTENER = 1 << 3;
        /// A notified thread that the listener has received only dies of fatal signals.
        const WAIT_KILLABLE_RECV = 1 << 5;
    }
}

#[repr(C)]
struct RawProgram {
    len: libc::c_ushort,
    filter: *const Instruction,
}

/// Puts the calling thread under `program` for good: `SECCOMP_SET_MODE_FILTER`. Allocates nothing.
///
/// Returns the listener if `flags` ask for one.
///
/// # Errors
/// `EACCES` without `CAP_SYS_ADMIN` and without no_new_privs; `EINVAL` for a malformed or overlong program
/// or a flag that this kernel doesn't know; `EBUSY` where a filter above has a listener already; `ESRCH`
/// where a thread can't be synchronised.
pub fn set_mode_filter(program: &[Instruction], flags: FilterFlags) -> io::Result<Option<OwnedFd>> {
    let len = program.len().try_into().map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let raw = RawProgram { len, filter: program.as_ptr() };
    // SAFETY: `raw` describes `program`, which outlives the call; the kernel only reads and copies it.
    let ret = check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags.bits(), &raw const raw)
    })?;
    if !flags.contains(FilterFlags::NEW_LISTENER) {
        // With TSYNC the kernel returns the thread that it could not synchronise.
        return if ret == 0 { Ok(None) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) };
    }
    // SAFETY: with NEW_LISTENER a successful call returns a fresh descriptor (close-on-exec) that nobody
    // else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(ret as RawFd) }))
}

/// Whether the kernel knows all of `flags`.
///
/// The kernel looks at the flags before the program, so that a null program fails with `EFAULT` only where
/// the flags are good. `WAIT_KILLABLE_RECV` is only good together with `NEW_LISTENER`.
pub fn flags_available(flags: FilterFlags) -> bool {
    let program = ptr::null::<RawProgram>();
    // SAFETY: the kernel answers a null program with an error and changes nothing.
    let ret = check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags.bits(), program)
    });
    matches!(ret, Err(error) if error.raw_os_error() == Some(libc::EFAULT))
}

/// Whether the kernel knows the action (`SECCOMP_RET_…` without data): `SECCOMP_GET_ACTION_AVAIL`.
pub fn action_available(action: u32) -> bool {
    // SAFETY: the kernel only reads the four bytes of `action`.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) })
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_known_actions_and_flags_from_unknown() {
        assert!(action_available(libc::SECCOMP_RET_ALLOW));
        assert!(action_available(libc::SECCOMP_RET_KILL_PROCESS));
        assert!(!action_available(0x1234_0000));
        assert!(flags_available(FilterFlags::LOG | FilterFlags::TSYNC));
        assert!(!flags_available(FilterFlags::from_bits_retain(1 << 30)));
    }
}
