//! A seccomp profile is compiled to a program that the kernel would take, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::spec::seccomp::Seccomp;
use seccomp::{Architecture, Call, CompileError, compile, interpret};

fuzz_target!(|text: &[u8]| {
    let Ok(profile) = serde_json::from_slice::<Seccomp>(text) else { return };
    for host in [Architecture::X86_64, Architecture::Arm, Architecture::S390X] {
        match compile(&profile, host) {
            Ok(filter) => {
                interpret(filter.program(), &Call { architecture: host, number: 1, arguments: [0; 6] });
            }
            Err(CompileError::Malformed(error)) => panic!("{error}"),
            Err(_) => {}
        }
    }
});
