//! CPU, I/O and memory placement of the calling thread.

use std::io;

use crate::check;

/// Parameters of sched_setattr(2), in the kernel's layout.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedAttr {
    /// Size of this structure, set by [`set_scheduler`].
    pub size: u32,
    /// `SCHED_…`.
    pub policy: u32,
    /// `SCHED_FLAG_…`.
    pub flags: u64,
    /// For `SCHED_OTHER` and `SCHED_BATCH`.
    pub nice: i32,
    /// For `SCHED_FIFO` and `SCHED_RR`.
    pub priority: u32,
    /// For `SCHED_DEADLINE`, nanoseconds.
    pub runtime: u64,
    /// For `SCHED_DEADLINE`, nanoseconds.
    pub deadline: u64,
    /// For `SCHED_DEADLINE`, nanoseconds.
    pub period: u64,
}

/// sched_setattr(2) on the caller.
///
/// # Errors
/// Those of sched_setattr(2).
pub fn set_scheduler(mut attr: SchedAttr) -> io::Result<()> {
    attr.size = size_of::<SchedAttr>() as u32;
    // SAFETY: the structure carries its own size and outlives the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) }).map(drop)
}

/// ioprio_set(2) on the caller: class 1 to 3, level 0 to 7.
///
/// # Errors
/// Those of ioprio_set(2).
pub fn set_io_priority(class: u32, level: u32) -> io::Result<()> {
    const WHO_PROCESS: i32 = 1;
    const CLASS_SHIFT: u32 = 13;
    // SAFETY: takes no pointer.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, class << CLASS_SHIFT | level) })
        .map(drop)
}

/// set_mempolicy(2) on the caller; `nodes` are node numbers.
///
/// # Errors
/// Those of set_mempolicy(2), `EINVAL` for a node above 1023.
pub fn set_memory_policy(mode: u32, nodes: &[u32]) -> io::Result<()> {
    const BITS: usize = u64::BITS as usize;
    let mut mask = [0u64; 1024 / BITS];
    for &node in nodes {
        let word = mask.get_mut(node as usize / BITS).ok_or(io::ErrorKind::InvalidInput)?;
        *word |= 1 << (node as usize % BITS);
    }
    // The kernel reads one bit fewer than it is told (mm/mempolicy.c, get_nodes).
    let (pointer, bits) = if nodes.is_empty() { (std::ptr::null(), 0) } else { (mask.as_ptr(), 1025) };
    // SAFETY: `mask` has 1024 bits and outlives the call.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, bits) }).map(drop)
}

/// sched_setaffinity(2) on the caller; `cpus` are CPU numbers.
///
/// # Errors
/// Those of sched_setaffinity(2), `EINVAL` for a CPU above 8191.
pub fn set_affinity(cpus: &[u32]) -> io::Result<()> {
    const BITS: usize = u64::BITS as usize;
    let mut mask = [0u64; 8192 / BITS];
    for &cpu in cpus {
        let word = mask.get_mut(cpu as usize / BITS).ok_or(io::ErrorKind::InvalidInput)?;
        *word |= 1 << (cpu as usize % BITS);
    }
    set_mask(&mask)
}

/// sched_setaffinity(2) of the caller to every CPU there is: the kernel cuts off what is too much.
///
/// # Errors
/// Those of sched_setaffinity(2).
pub fn use_all_cpus() -> io::Result<()> {
    set_mask(&[u64::MAX; 8192 / u64::BITS as usize])
}

fn set_mask(mask: &[u64]) -> io::Result<()> {
    // SAFETY: `mask` outlives the call and has the length given.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(mask), mask.as_ptr()) })
        .map(drop)
}
