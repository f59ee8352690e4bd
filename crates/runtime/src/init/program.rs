//! Finding and executing the program.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::Init;
use crate::failure::{Failure, Result};
use crate::users;

/// Where programs are looked for when the process has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What the kernel reads of a file to know how to execute it (BINPRM_BUF_SIZE).
const HEAD: usize = 256;

impl Init<'_> {
    /// Finds the program with the credentials that it will run with.
    pub(super) fn find_program(&mut self) -> Result<()> {
        let name = self
            .process
            .args
            .first()
            .ok_or_else(|| Failure::because("exec", "", "args must not be empty"))?;
        let found =
            if name.contains('/') { executable(name).map(|()| name.clone()) } else { self.search(name) };
        let path = found.map_err(|problem| match problem {
            Problem::Errno(errno) => {
                let what =
                    if name.contains('/') { format!("{name:?}: stat {name}") } else { format!("{name:?}") };
                Failure::new("exec:", what, errno)
            }
            Problem::NotInPath => {
                Failure::because("exec:", format!("{name:?}"), "executable file not found in $PATH")
            }
        })?;
        self.program = Some(c_string("process.args[0]", &path)?);
        Ok(())
    }

    fn search(&self, name: &str) -> Result<String, Problem> {
        let path = self.process.env.iter().rev().find_map(|variable| variable.strip_prefix("PATH="));
        let mut problem = Problem::NotInPath;
        for directory in path.unwrap_or(DEFAULT_PATH).split(':') {
            let candidate = format!("{}/{name}", if directory.is_empty() { "." } else { directory });
            match executable(&candidate) {
                Ok(()) => return Ok(candidate),
                Err(Problem::Errno(Errno::ACCESS)) => problem = Problem::Errno(Errno::ACCESS),
                Err(_) => {}
            }
        }
        Err(problem)
    }

    /// Executes the program. Returns only why it could not.
    pub(super) fn exec(&mut self) -> Failure {
        self.exec_program().unwrap_or_else(|failure| failure)
    }

    fn exec_program(&mut self) -> Result<Failure> {
        let program = self
            .program
            .take()
            .ok_or_else(|| Failure::because("exec", "", "the program was not looked for"))?;
        let args =
            self.process.args.iter().map(|arg| c_string("process.args", arg)).collect::<Result<Vec<_>>>()?;
        let env = self.environment()?;
        sys::process::reset_signals().map_err(|error| Failure::new("reset", "signals", error))?;
        // What is left open, the report, closes by exec: to the runtime that is the message.
        let error = sys::process::exec(&program, &args, &env);
        Ok(explain(&program, &Failure::new("exec", program.to_string_lossy(), error)))
    }

    /// The environment: the last of several values counts, and HOME is that of the user's entry.
    pub(super) fn environment(&self) -> Result<Vec<CString>> {
        let mut variables: Vec<&str> = Vec::with_capacity(self.process.env.len() + 1);
        for (i, variable) in self.process.env.iter().enumerate() {
            let name = variable.split('=').next().unwrap_or_default();
            if name.is_empty() || !variable.contains('=') {
                let at = format!("process.env[{i}]");
                return Err(Failure::because(
                    "set environment",
                    at,
                    format!("{variable:?} is not NAME=value"),
                ));
            }
            match variables.iter_mut().find(|known| known.split('=').next() == Some(name)) {
                Some(known) => *known = variable,
                None => variables.push(variable),
            }
        }
        let home;
        if !variables.iter().any(|variable| variable.starts_with("HOME=") && variable.len() > 5) {
            variables.retain(|variable| !variable.starts_with("HOME="));
            home = format!("HOME={}", users::home_of(self.process.user.uid));
            variables.push(&home);
        }
        variables.into_iter().map(|variable| c_string("process.env", variable)).collect()
    }
}

enum Problem {
    Errno(Errno),
    NotInPath,
}

fn executable(path: &str) -> Result<(), Problem> {
    let stat = rustix::fs::stat(path).map_err(Problem::Errno)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Problem::Errno(Errno::ISDIR));
    }
    let may_execute = |flags| rustix::fs::accessat(CWD, path, Access::EXEC_OK, flags);
    match may_execute(AtFlags::EACCESS) {
        // A seccomp profile from before faccessat2(2) may forbid it: here real and effective ids are the same.
        Err(Errno::PERM | Errno::NOSYS) => may_execute(AtFlags::empty()).map_err(Problem::Errno),
        other => other.map_err(Problem::Errno),
    }
}

fn c_string(at: &str, text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Failure::because("use", at, format!("{text:?} contains nul byte (\\x00)")))
}

/// Why the kernel refused a program: its errno says little (execve(2)), the file's first bytes say more.
fn explain(program: &CString, failure: &Failure) -> Failure {
    let path = Path::new(OsStr::from_bytes(program.as_bytes()));
    let head = head(path).unwrap_or_default();
    let detail = if failure.is(Errno::NOENT) {
        missing_interpreter(path, &head)
    } else if failure.is(Errno::NOEXEC) {
        wrong_format(&head)
    } else {
        None
    };
    match detail {
        Some(detail) => failure.clone().hint(detail),
        None => failure.clone(),
    }
}

fn head(path: &Path) -> Option<Vec<u8>> {
    let file =
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty()).ok()?;
    let mut head = vec![0; HEAD];
    let n = rustix::io::read(&file, &mut head).ok()?;
    head.truncate(n);
    Some(head)
}

fn missing_interpreter(path: &Path, head: &[u8]) -> Option<String> {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|&b| b == b'\n').next().unwrap_or_default();
        let interpreter = String::from_utf8_lossy(line);
        let interpreter = interpreter.split_whitespace().next()?;
        let crlf = if line.ends_with(b"\r") { " (the line ends with a carriage return)" } else { "" };
        return Some(format!("its interpreter {interpreter:?} is missing{crlf}"));
    }
    let loader = elf_loader(path, head)?;
    Some(format!(
        "its loader {loader} is missing: the program is linked dynamically, the image lacks that library"
    ))
}

/// The path in an ELF file's `PT_INTERP` (elf(5)), for both word sizes, little endian.
fn elf_loader(path: &Path, head: &[u8]) -> Option<String> {
    let wide = match head.get(..6)? {
        [0x7f, b'E', b'L', b'F', 2, 1] => true,
        [0x7f, b'E', b'L', b'F', 1, 1] => false,
        _ => return None,
    };
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let read = |offset: u64, length: usize| {
        let mut bytes = vec![0; length];
        (rustix::io::pread(&file, &mut bytes, offset).ok()? == length).then_some(bytes)
    };
    let number = |bytes: &[u8], at: usize, size: usize| {
        let mut value = [0; 8];
        value[..size].copy_from_slice(bytes.get(at..at + size)?);
        Some(u64::from_le_bytes(value))
    };
    let word = if wide { 8 } else { 4 };
    let table = number(head, if wide { 32 } else { 28 }, word)?;
    let size = number(head, if wide { 54 } else { 42 }, 2)?;
    let count = number(head, if wide { 56 } else { 44 }, 2)?;
    for i in 0..count.min(64) {
        let header = read(table.checked_add(i * size)?, 40)?;
        const PT_INTERP: u64 = 3;
        if number(&header, 0, 4)? == PT_INTERP {
            let offset = number(&header, if wide { 8 } else { 4 }, word)?;
            let length = number(&header, if wide { 32 } else { 16 }, word)?.min(4096) as usize;
            let path = read(offset, length)?;
            return Some(String::from_utf8_lossy(path.split(|&b| b == 0).next()?).into_owned());
        }
    }
    None
}

fn wrong_format(head: &[u8]) -> Option<String> {
    if !head.starts_with(b"\x7fELF") {
        return Some("it is neither a program for Linux nor a script with #! in its first line".into());
    }
    let machine = u16::from_le_bytes([*head.get(18)?, *head.get(19)?]);
    let name = match machine {
        3 => "x86 (32-bit)",
        20 | 21 => "PowerPC",
        22 => "s390x",
        40 => "ARM (32-bit)",
        62 => "x86-64",
        183 => "ARM64",
        243 => "RISC-V",
        258 => "LoongArch",
        _ => return Some(format!("it is for another machine (ELF machine {machine})")),
    };
    Some(format!(
        "it is for {name}, and this machine is {}: use an image for that platform",
        std::env::consts::ARCH
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_interpreter_is_named() {
        let why = missing_interpreter(Path::new("/x"), b"#!/usr/bin/python3 -u\nprint()").unwrap();
        assert!(why.contains("\"/usr/bin/python3\""), "{why}");
        let why = missing_interpreter(Path::new("/x"), b"#!/bin/sh\r\necho").unwrap();
        assert!(why.contains("carriage return"), "{why}");
    }

    #[test]
    fn a_foreign_machine_is_named() {
        let mut head = b"\x7fELF\x02\x01\x01".to_vec();
        head.resize(64, 0);
        head[18] = 183;
        assert!(wrong_format(&head).unwrap().contains("ARM64"));
        assert!(wrong_format(b"hello").unwrap().contains("neither"));
    }

    #[test]
    fn the_loader_of_a_dynamic_program_is_read_from_its_header() {
        let shell = Path::new("/bin/bash");
        let loader = elf_loader(shell, &head(shell).unwrap()).unwrap();
        assert!(Path::new(&loader).exists(), "{loader}");
    }
}
