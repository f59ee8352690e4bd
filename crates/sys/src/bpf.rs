//! bpf(2), as much as a cgroup's device filter takes: assemble, load, attach, list, detach.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::check;

// include/uapi/linux/bpf.h
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_DETACH: libc::c_int = 9;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;
const BPF_F_REPLACE: u32 = 4;

/// `struct bpf_insn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    code: u8,
    /// Destination in the low, source in the high four bits.
    registers: u8,
    offset: i16,
    immediate: i32,
}

impl Instruction {
    const fn new(code: u8, dst: u8, src: u8, offset: i16, immediate: i32) -> Self {
        Self { code, registers: dst | src << 4, offset, immediate }
    }

    /// `dst = *(u32 *)(src + offset)`
    pub const fn load_word(dst: u8, src: u8, offset: i16) -> Self {
        Self::new(0x61, dst, src, offset, 0)
    }

    /// `dst = src`
    pub const fn copy(dst: u8, src: u8) -> Self {
        Self::new(0xbc, dst, src, 0, 0)
    }

    /// `dst = value`
    pub const fn set(dst: u8, value: i32) -> Self {
        Self::new(0xb4, dst, 0, 0, value)
    }

    /// `dst &= mask`
    pub const fn and(dst: u8, mask: i32) -> Self {
        Self::new(0x54, dst, 0, 0, mask)
    }

    /// `dst >>= bits`
    pub const fn shift_right(dst: u8, bits: i32) -> Self {
        Self::new(0x74, dst, 0, 0, bits)
    }

    /// `if (u32)dst != (u32)value, skip` that many instructions.
    pub const fn skip_if_not(dst: u8, value: i32, skip: i16) -> Self {
        Self::new(0x56, dst, 0, skip, value)
    }

    /// `if dst & mask, skip` that many instructions.
    pub const fn skip_if_any(dst: u8, mask: i32, skip: i16) -> Self {
        Self::new(0x46, dst, 0, skip, mask)
    }

    /// Skips that many instructions.
    pub const fn skip(skip: i16) -> Self {
        Self::new(0x05, 0, 0, skip, 0)
    }

    /// Returns register 0.
    pub const fn exit() -> Self {
        Self::new(0x95, 0, 0, 0, 0)
    }
}

/// The members of `union bpf_attr` for BPF_PROG_LOAD; shorter than the kernel's, which takes the rest as 0.
#[repr(C)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

#[repr(C)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

#[repr(C)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
}

#[repr(C)]
struct ById {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

/// Calls bpf(2).
///
/// # Safety
/// `attr` must be the `repr(C)` prefix of `union bpf_attr` that `command` reads, and every pointer in it
/// must be valid for the lengths beside it.
unsafe fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the caller vouches for the contents; pointer and size are those of a live value.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) })
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn owned(fd: libc::c_long) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor (always with O_CLOEXEC) and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) }
}

/// Loads a program of type CGROUP_DEVICE: `r1` points to `struct bpf_cgroup_dev_ctx`, a return value of 0
/// denies with `EPERM`. `EINVAL` or `EACCES` if the verifier refuses it.
pub fn load_device_filter(program: &[Instruction], name: &CStr) -> io::Result<OwnedFd> {
    let mut prog_name = [0; 16];
    let length = name.count_bytes().min(15);
    prog_name[..length].copy_from_slice(&name.to_bytes()[..length]);
    let mut attr = Load {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        insns: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name,
    };
    // SAFETY: `insns` points to `insn_cnt` instructions, `license` to a C string; both outlive the call.
    unsafe { bpf(BPF_PROG_LOAD, &mut attr) }.map(owned)
}

/// Attaches a device filter to a group of v2 beside others, or atomically in the place of `replaced`.
pub fn attach_device_filter(
    group: impl AsFd,
    program: impl AsFd,
    replaced: Option<&OwnedFd>,
) -> io::Result<()> {
    let mut attr = Attach {
        target_fd: number(group.as_fd()),
        attach_bpf_fd: number(program.as_fd()),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI | replaced.map_or(0, |_| BPF_F_REPLACE),
        replace_bpf_fd: replaced.map_or(0, |fd| number(fd.as_fd())),
    };
    // SAFETY: no pointers.
    unsafe { bpf(BPF_PROG_ATTACH, &mut attr) }.map(drop)
}

/// Detaches a device filter from a group of v2.
pub fn detach_device_filter(group: impl AsFd, program: impl AsFd) -> io::Result<()> {
    let mut attr = Attach {
        target_fd: number(group.as_fd()),
        attach_bpf_fd: number(program.as_fd()),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: 0,
        replace_bpf_fd: 0,
    };
    // SAFETY: no pointers.
    unsafe { bpf(BPF_PROG_DETACH, &mut attr) }.map(drop)
}

/// The ids of the device filters attached to a group of v2 itself (not to those above it).
pub fn device_filters(group: impl AsFd) -> io::Result<Vec<u32>> {
    // The kernel attaches at most 64 programs of one type.
    let mut ids = vec![0u32; 64];
    let mut attr = Query {
        target_fd: number(group.as_fd()),
        attach_type: BPF_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: ids.len() as u32,
    };
    // SAFETY: `prog_ids` points to `prog_cnt` numbers that outlive the call.
    unsafe { bpf(BPF_PROG_QUERY, &mut attr) }?;
    ids.truncate(attr.prog_cnt as usize);
    Ok(ids)
}

/// Opens a loaded program by its id.
pub fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attr = ById { id, next_id: 0, open_flags: 0 };
    // SAFETY: no pointers.
    unsafe { bpf(BPF_PROG_GET_FD_BY_ID, &mut attr) }.map(owned)
}
