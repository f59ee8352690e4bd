//! The device filter of cgroup v2: a BPF program of type `CGROUP_DEVICE`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use sys::bpf::{self, Instruction};

use super::{Access, Devices, Kind, Policy};

// Registers; r1 points to struct bpf_cgroup_dev_ctx { u32 access_type, major, minor }.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// The program for `policy`: every exception in turn, then the default.
fn program(policy: &Policy) -> Vec<Instruction> {
    let mut program = vec![
        // access_type has the kind of the device in its low and the access in its high half.
        Instruction::load_word(KIND, CONTEXT, 0),
        Instruction::copy(ACCESS, KIND),
        Instruction::and(KIND, 0xffff),
        Instruction::shift_right(ACCESS, 16),
        Instruction::load_word(MAJOR, CONTEXT, 4),
        Instruction::load_word(MINOR, CONTEXT, 8),
    ];
    for (devices, access) in &policy.exceptions {
        exception(&mut program, devices, *access, !policy.default_allow);
    }
    program.extend([Instruction::set(RESULT, policy.default_allow.into()), Instruction::exit()]);
    program
}

/// Returns `allow` if the exception applies, goes on behind this block otherwise. As in v1, an allowance has
/// to cover all that is asked for; a denial applies to any part of it.
fn exception(program: &mut Vec<Instruction>, devices: &Devices, access: Access, allow: bool) {
    // Last instruction first: what a test has to skip is then what the block holds so far.
    let mut block = vec![Instruction::exit(), Instruction::set(RESULT, allow.into())];
    let rest = |block: &Vec<Instruction>| block.len() as i16;
    if access != Access::ALL && allow {
        let beyond = i32::from(Access::ALL.without(access).0);
        block.push(Instruction::skip_if_any(ACCESS, beyond, rest(&block)));
    } else if access != Access::ALL {
        block.push(Instruction::skip(rest(&block)));
        block.push(Instruction::skip_if_any(ACCESS, i32::from(access.0), 1));
    }
    if let Some(minor) = devices.minor {
        block.push(Instruction::skip_if_not(MINOR, minor.cast_signed(), rest(&block)));
    }
    if let Some(major) = devices.major {
        block.push(Instruction::skip_if_not(MAJOR, major.cast_signed(), rest(&block)));
    }
    let kind = match devices.kind {
        Kind::Block => 1,
        Kind::Character => 2,
    };
    block.push(Instruction::skip_if_not(KIND, kind, rest(&block)));
    program.extend(block.into_iter().rev());
}

/// Loads the filter of `policy` and attaches it to the new group `directory`.
pub(crate) fn attach(policy: &Policy, directory: impl AsFd) -> io::Result<()> {
    bpf::attach_device_filter(directory, load(policy)?, None)
}

/// Puts the filter of `policy` in the place of those attached to `directory`: a single one is replaced
/// atomically; of several, none goes before the new one is there.
pub(crate) fn replace(policy: &Policy, directory: impl AsFd) -> io::Result<()> {
    let filter = load(policy)?;
    let old: Vec<OwnedFd> =
        bpf::device_filters(&directory)?.into_iter().map(bpf::program_by_id).collect::<io::Result<_>>()?;
    if let [only] = &old[..] {
        return bpf::attach_device_filter(&directory, filter, Some(only));
    }
    bpf::attach_device_filter(&directory, filter, None)?;
    old.iter().try_for_each(|old| bpf::detach_device_filter(&directory, old))
}

fn load(policy: &Policy) -> io::Result<OwnedFd> {
    bpf::load_device_filter(&program(policy), c"berth_devices")
}
