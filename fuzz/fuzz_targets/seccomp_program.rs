//! A BPF program of a file is refused, or runs to an end and has a listing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seccomp::architecture::ByteOrder;
use seccomp::{Architecture, Call, Program, disassemble, interpret};

fuzz_target!(|bytes: &[u8]| {
    let Ok(program) = Program::from_bytes(bytes) else { return };
    let call = Call { architecture: Architecture::X86_64, number: 1, arguments: [u64::MAX; 6] };
    assert!(interpret(&program, &call).steps <= program.instructions().len());
    assert_eq!(disassemble(&program, ByteOrder::Big).lines().count(), program.instructions().len());
});
