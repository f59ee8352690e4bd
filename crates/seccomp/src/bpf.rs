//! Classic BPF programs as seccomp(2) takes them: <linux/filter.h>, restricted as in the kernel's
//! `seccomp_check_filter`.

pub use sys::seccomp::Instruction;
use thiserror::Error;

/// The longest program that the kernel takes: `BPF_MAXINSNS`.
pub const MAX_INSTRUCTIONS: usize = 4096;

/// The size of an instruction in a file.
const INSTRUCTION_SIZE: usize = 8;

/// Offsets in `struct seccomp_data`.
pub(crate) mod data {
    /// The number of the call.
    pub(crate) const NUMBER: u32 = 0;
    /// The architecture.
    pub(crate) const ARCHITECTURE: u32 = 4;
    /// The first argument; each has eight bytes.
    pub(crate) const ARGUMENTS: u32 = 16;
    /// The end.
    pub(crate) const SIZE: u32 = 64;
}

/// Operations, `BPF_LD | BPF_W | BPF_ABS` and so on.
pub(crate) mod code {
    pub(crate) const LOAD: u16 = 0x20;
    pub(crate) const AND: u16 = 0x54;
    pub(crate) const JUMP: u16 = 0x05;
    pub(crate) const JUMP_EQUAL: u16 = 0x15;
    pub(crate) const JUMP_GREATER: u16 = 0x25;
    pub(crate) const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
    pub(crate) const JUMP_ANY_BIT: u16 = 0x45;
    pub(crate) const RETURN: u16 = 0x06;
}

/// A program that the kernel would take: every jump leads forward to an instruction, the end is a return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program(Vec<Instruction>);

/// Why a sequence of instructions is no program.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ProgramError {
    /// The size is no multiple of an instruction's.
    #[error("{0} bytes are no whole number of 8-byte BPF instructions")]
    Torn(usize),
    /// Nothing, or too much.
    #[error("a BPF program has 1 to {MAX_INSTRUCTIONS} instructions, this one has {0}")]
    Length(usize),
    /// An operation that this compiler doesn't emit.
    #[error("instruction {at}: operation {code:#06x} is not one of a seccomp filter's")]
    Operation {
        /// Where.
        at: usize,
        /// Which.
        code: u16,
    },
    /// A jump out of the program.
    #[error("instruction {at}: jump beyond the end of the program")]
    Jump {
        /// Where.
        at: usize,
    },
    /// A load outside of `seccomp_data`, or one across two words.
    #[error("instruction {at}: no word of seccomp_data lies at offset {offset}")]
    Load {
        /// Where.
        at: usize,
        /// What it loads.
        offset: u32,
    },
    /// The last instruction doesn't return.
    #[error("the last instruction is no return")]
    OpenEnd,
}

impl Program {
    /// Checks and takes instructions.
    ///
    /// # Errors
    /// The kernel would refuse them, or they use operations (multiplication, scratch memory) that no
    /// compiler of OCI profiles emits.
    pub fn new(instructions: Vec<Instruction>) -> Result<Self, ProgramError> {
        let len = instructions.len();
        if len == 0 || len > MAX_INSTRUCTIONS {
            return Err(ProgramError::Length(len));
        }
        for (at, instruction) in instructions.iter().enumerate() {
            check_instruction(at, instruction, len)?;
        }
        if instructions[len - 1].code != code::RETURN {
            return Err(ProgramError::OpenEnd);
        }
        Ok(Self(instructions))
    }

    /// Reads a program of the host's byte order, as `seccomp_export_bpf(3)` and bubblewrap's `--seccomp` have
    /// it.
    ///
    /// # Errors
    /// As [`Program::new`]; or the size is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProgramError> {
        let chunks = bytes.chunks_exact(INSTRUCTION_SIZE);
        if !chunks.remainder().is_empty() {
            return Err(ProgramError::Torn(bytes.len()));
        }
        if chunks.len() > MAX_INSTRUCTIONS {
            return Err(ProgramError::Length(chunks.len()));
        }
        let instruction = |raw: &[u8]| Instruction {
            code: u16::from_ne_bytes([raw[0], raw[1]]),
            jt: raw[2],
            jf: raw[3],
            k: u32::from_ne_bytes([raw[4], raw[5], raw[6], raw[7]]),
        };
        Self::new(chunks.map(instruction).collect())
    }

    /// The program as [`Program::from_bytes`] reads it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * INSTRUCTION_SIZE);
        for instruction in &self.0 {
            bytes.extend_from_slice(&instruction.code.to_ne_bytes());
            bytes.extend_from_slice(&[instruction.jt, instruction.jf]);
            bytes.extend_from_slice(&instruction.k.to_ne_bytes());
        }
        bytes
    }

    /// The instructions.
    pub fn instructions(&self) -> &[Instruction] {
        &self.0
    }
}

fn check_instruction(at: usize, instruction: &Instruction, len: usize) -> Result<(), ProgramError> {
    // Jumps count from the next instruction; there is always one behind a jump that is in range.
    let reaches = |skip: u32| (skip as usize) < len - at - 1;
    let good = match instruction.code {
        code::RETURN | code::AND => true,
        code::LOAD => {
            if !instruction.k.is_multiple_of(4) || instruction.k >= data::SIZE {
                return Err(ProgramError::Load { at, offset: instruction.k });
            }
            true
        }
        code::JUMP => reaches(instruction.k),
        code::JUMP_EQUAL | code::JUMP_GREATER | code::JUMP_GREATER_OR_EQUAL | code::JUMP_ANY_BIT => {
            reaches(instruction.jt.into()) && reaches(instruction.jf.into())
        }
        code => return Err(ProgramError::Operation { at, code }),
    };
    if good { Ok(()) } else { Err(ProgramError::Jump { at }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
        Instruction { code, jt, jf, k }
    }

    #[test]
    fn refuses_what_the_kernel_refuses() {
        let allow = instruction(code::RETURN, 0, 0, libc::SECCOMP_RET_ALLOW);
        assert_eq!(Program::new(vec![]), Err(ProgramError::Length(0)));
        assert_eq!(Program::new(vec![allow; 4097]), Err(ProgramError::Length(4097)));
        let jump = instruction(code::JUMP, 0, 0, 1);
        assert_eq!(Program::new(vec![jump, allow]), Err(ProgramError::Jump { at: 0 }));
        let far = instruction(code::JUMP, 0, 0, u32::MAX);
        assert_eq!(Program::new(vec![far, allow]), Err(ProgramError::Jump { at: 0 }));
        let branch = instruction(code::JUMP_EQUAL, 0, 1, 7);
        assert_eq!(Program::new(vec![branch, allow]), Err(ProgramError::Jump { at: 0 }));
        let load = instruction(code::LOAD, 0, 0, 64);
        assert_eq!(Program::new(vec![load, allow]), Err(ProgramError::Load { at: 0, offset: 64 }));
        let store = instruction(0x02, 0, 0, 0);
        assert_eq!(Program::new(vec![store, allow]), Err(ProgramError::Operation { at: 0, code: 2 }));
        assert_eq!(Program::new(vec![instruction(code::LOAD, 0, 0, 0)]), Err(ProgramError::OpenEnd));
        assert_eq!(Program::from_bytes(&[0; 9]), Err(ProgramError::Torn(9)));
    }

    #[test]
    fn bytes_are_read_as_written() {
        let program = Program::new(vec![
            instruction(code::LOAD, 0, 0, data::ARCHITECTURE),
            instruction(code::JUMP_EQUAL, 0, 1, 0xc000_003e),
            instruction(code::RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
            instruction(code::RETURN, 0, 0, libc::SECCOMP_RET_KILL_THREAD),
        ])
        .unwrap();
        assert_eq!(Program::from_bytes(&program.to_bytes()), Ok(program));
    }
}
