//! The freestanding program: `docker-init -- PROGRAM ARGUMENT…`.
#![no_std]
#![no_main]
#![no_builtins]

#[allow(dead_code)]
#[macro_use]
#[path = "../../sys/src/bare.rs"]
mod bare;

use core::ffi::CStr;

use bare::Arguments;

freestanding!(main);

const SIGCHLD: i32 = 17;
const ENOENT: i32 = 2;
const EACCES: i32 = 13;
/// Where programs are looked for where no variable says it.
const PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn main(arguments: Arguments) -> u8 {
    let first = if arguments.get(1) == Some(c"--") { 2 } else { 1 };
    let Some(program) = arguments.get(first) else {
        bare::write_all(2, b"init: no program was given\n");
        return 127;
    };
    // Held back they are not lost, though the first process of a namespace has no default actions.
    bare::hold_signals(true);
    match bare::fork() {
        0 => {
            bare::lead_group();
            bare::hold_signals(false);
            run(arguments, program, first)
        }
        child if child > 0 => attend(child),
        _ => {
            bare::write_all(2, b"init: no process can be made\n");
            126
        }
    }
}

/// Passes signals on until the child ends; with it, all others of the namespace end.
fn attend(child: isize) -> u8 {
    loop {
        match bare::wait_signal() {
            SIGCHLD => {
                let mut ended = None;
                while let Some((pid, status)) = bare::reap() {
                    if pid == child {
                        ended = Some(code(status));
                    }
                }
                if let Some(code) = ended {
                    return code;
                }
            }
            0 => {}
            signal => bare::kill(child, signal),
        }
    }
}

/// The exit code; 128 and the signal where one ended it (wait(2)).
fn code(status: i32) -> u8 {
    match status & 0x7f {
        0 => (status >> 8) as u8,
        signal => 128 + signal as u8,
    }
}

/// execvp(3); returns where there is nothing to execute.
fn run(arguments: Arguments, program: &CStr, first: usize) -> u8 {
    let name = program.to_bytes();
    let mut errno = ENOENT;
    if name.contains(&b'/') {
        errno = arguments.execute(program, first);
    } else {
        let mut buffer = [0; 4096];
        for directory in arguments.variable(b"PATH").unwrap_or(PATH).split(|byte| *byte == b':') {
            let Some(path) = join(directory, name, &mut buffer) else { continue };
            match arguments.execute(path, first) {
                ENOENT => {}
                other => errno = other,
            }
        }
    }
    bare::write_all(2, b"init: ");
    bare::write_all(2, name);
    if errno == ENOENT {
        bare::write_all(2, b": not found\n");
        return 127;
    }
    bare::write_all(2, if errno == EACCES { b": permission denied\n" } else { b": can't be executed\n" });
    126
}

fn join<'b>(directory: &[u8], name: &[u8], buffer: &'b mut [u8; 4096]) -> Option<&'b CStr> {
    let mut length = 0;
    for &byte in directory.iter().chain(b"/").chain(name).chain(b"\0") {
        *buffer.get_mut(length)? = byte;
        length += 1;
    }
    CStr::from_bytes_with_nul(buffer.get(..length)?).ok()
}
