//! Programs as text.

use std::fmt::Write as _;

use crate::architecture::{Architecture, ByteOrder, X32_SYSCALL_BIT};
use crate::bpf::{Instruction, Program, code, data};
use crate::interpret::describe;
use crate::syscalls;

/// What is known where an instruction begins.
#[derive(Clone, Copy, Default)]
struct Known {
    /// What the accumulator holds.
    word: Option<u32>,
    /// The architecture that led here.
    architecture: Option<Architecture>,
}

/// One line an instruction: place, operation, operand with its name, ways on.
///
/// The byte order tells the halves of arguments apart.
pub fn disassemble(program: &Program, byte_order: ByteOrder) -> String {
    let instructions = program.instructions();
    let mut known = vec![Known::default(); instructions.len()];
    let mut text = String::new();
    for (at, one) in instructions.iter().enumerate() {
        line(&mut text, at, one, known[at], byte_order);
        spread(&mut known, at, one);
    }
    text
}

/// Hands on what is known: every jump leads forward, so one pass is enough.
fn spread(known: &mut [Known], at: usize, one: &Instruction) {
    let here = known[at];
    let next = at + 1;
    match one.code {
        code::LOAD => known[next] = Known { word: Some(one.k), ..here },
        code::AND => known[next] = Known { word: None, ..here },
        code::JUMP => known[next + one.k as usize] = here,
        code::RETURN => {}
        _ => {
            let (yes, no) = (next + usize::from(one.jt), next + usize::from(one.jf));
            known[no] = here;
            known[yes] = here;
            if one.code == code::JUMP_EQUAL && here.word == Some(data::ARCHITECTURE) {
                known[yes].architecture = architecture(one.k);
            }
        }
    }
}

fn line(text: &mut String, at: usize, one: &Instruction, known: Known, byte_order: ByteOrder) {
    let next = at + 1;
    let operation = match one.code {
        code::LOAD => format!("ld   {}", word(one.k, byte_order)),
        code::AND => format!("and  {:#x}", one.k),
        code::JUMP => format!("jmp  {:04}", next + one.k as usize),
        code::RETURN => format!("ret  {}", describe(one.k)),
        compare => {
            let (yes, no) = (next + usize::from(one.jt), next + usize::from(one.jf));
            format!("{} {} then {yes:04} else {no:04}", mnemonic(compare), operand(one.k, known))
        }
    };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{at:04}  {operation}");
}

const fn mnemonic(compare: u16) -> &'static str {
    match compare {
        code::JUMP_EQUAL => "jeq ",
        code::JUMP_GREATER => "jgt ",
        code::JUMP_GREATER_OR_EQUAL => "jge ",
        _ => "jset",
    }
}

fn word(offset: u32, byte_order: ByteOrder) -> String {
    match offset {
        data::NUMBER => "nr".into(),
        data::ARCHITECTURE => "arch".into(),
        data::ARGUMENTS.. => {
            let low = offset.is_multiple_of(8) == (byte_order == ByteOrder::Little);
            format!("args[{}].{}", (offset - data::ARGUMENTS) / 8, if low { "low" } else { "high" })
        }
        _ => format!("ip+{}", offset - 8),
    }
}

/// A constant, with its name where it is compared with something that has names.
fn operand(value: u32, known: Known) -> String {
    match (known.word, known.architecture) {
        (Some(data::ARCHITECTURE), _) => match architecture(value) {
            Some(architecture) => architecture.to_string(),
            None => format!("{value:#x}"),
        },
        (Some(data::NUMBER), Some(architecture)) => {
            let abi = match architecture {
                Architecture::X86_64 if value & X32_SYSCALL_BIT != 0 => Architecture::X32,
                other => other,
            };
            let number = if value < X32_SYSCALL_BIT { value.to_string() } else { format!("{value:#x}") };
            match syscalls::name(abi, value) {
                Some(name) => format!("{number} ({name})"),
                None => number,
            }
        }
        _ => format!("{value:#x}"),
    }
}

fn architecture(audit: u32) -> Option<Architecture> {
    Architecture::ALL.into_iter().find(|one| one.audit() == audit)
}
