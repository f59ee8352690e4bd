//! Runs a program as the kernel would.

use std::fmt;

use crate::action::RETURN_VALUES;
use crate::architecture::{Architecture, ByteOrder};
use crate::bpf::{Program, code, data};

/// A system call as a filter sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The ABI.
    pub architecture: Architecture,
    /// The number, with x32's bit where that is the ABI.
    pub number: u32,
    /// The arguments.
    pub arguments: [u64; 6],
}

/// What a filter says to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The value for the kernel: `SECCOMP_RET_…` with its data.
    pub value: u32,
    /// How many instructions it took.
    pub steps: usize,
}

impl Call {
    /// The word of `seccomp_data` at `offset`.
    fn word(&self, offset: u32) -> u32 {
        match offset {
            data::NUMBER => self.number,
            data::ARCHITECTURE => self.architecture.audit(),
            data::ARGUMENTS.. => {
                let argument = self.arguments[((offset - data::ARGUMENTS) / 8) as usize];
                let first = offset.is_multiple_of(8);
                if first == (self.architecture.byte_order() == ByteOrder::Little) {
                    argument as u32
                } else {
                    (argument >> 32) as u32
                }
            }
            // No instruction pointer is as good as another.
            _ => 0,
        }
    }
}

impl fmt::Display for Outcome {
    /// `ALLOW`, `ERRNO(38)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&describe(self.value))
    }
}

/// The name of a filter's return value, with its data where the action has any.
pub(crate) fn describe(value: u32) -> String {
    let action = value & libc::SECCOMP_RET_ACTION_FULL;
    let data = value & libc::SECCOMP_RET_DATA;
    match RETURN_VALUES.iter().find(|(known, _)| *known == action) {
        Some((libc::SECCOMP_RET_ERRNO | libc::SECCOMP_RET_TRACE, name)) => format!("{name}({data})"),
        Some((_, name)) => (*name).to_owned(),
        None => format!("{value:#010x}"),
    }
}

/// Runs `program` on a call.
pub fn interpret(program: &Program, call: &Call) -> Outcome {
    let instructions = program.instructions();
    let (mut at, mut accumulator, mut steps) = (0, 0, 0);
    loop {
        let one = instructions[at];
        steps += 1;
        at += 1;
        let holds = match one.code {
            code::RETURN => return Outcome { value: one.k, steps },
            code::LOAD => {
                accumulator = call.word(one.k);
                continue;
            }
            code::AND => {
                accumulator &= one.k;
                continue;
            }
            code::JUMP => {
                at += one.k as usize;
                continue;
            }
            code::JUMP_EQUAL => accumulator == one.k,
            code::JUMP_GREATER => accumulator > one.k,
            code::JUMP_GREATER_OR_EQUAL => accumulator >= one.k,
            code::JUMP_ANY_BIT => accumulator & one.k != 0,
            other => unreachable!("a program has no operation {other:#x}"),
        };
        at += usize::from(if holds { one.jt } else { one.jf });
    }
}
