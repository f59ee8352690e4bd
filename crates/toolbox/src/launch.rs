//! Becoming another program, by itself or in a child that is waited for.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};
use sys::process::{CloneFlags, Cloned};

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With this status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// Which side of a fork the caller is on.
#[derive(Debug)]
pub enum Side {
    /// The child, which goes on.
    Child,
    /// The parent; the child has this id.
    Parent(Pid),
}

/// Forks. The program has one thread.
pub fn fork() -> io::Result<Side> {
    Ok(match sys::process::clone(CloneFlags::empty(), None)? {
        Cloned::Child => Side::Child,
        Cloned::Parent { pid, .. } => Side::Parent(pid),
    })
}

/// Waits for a child. When it is stopped, as by Ctrl-Z, the caller stops too, and wakes it on waking.
pub fn wait(child: Pid) -> io::Result<Ending> {
    loop {
        match waitpid(Some(child), WaitOptions::UNTRACED) {
            Ok(Some((_, status))) if status.stopped() => {
                kill_process(rustix::process::getpid(), Signal::STOP)?;
                kill_process(child, Signal::CONT)?;
            }
            Ok(Some((_, status))) => return Ok(ending(status)),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn ending(status: WaitStatus) -> Ending {
    match status.terminating_signal() {
        Some(signal) => Ending::Killed(signal),
        None => Ending::Exited(status.exit_status().unwrap_or(0)),
    }
}

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
#[error("execute {}: {source}", program.to_string_lossy().escape_debug())]
#[allow(missing_docs)]
pub struct ExecError {
    pub program: OsString,
    pub source: io::Error,
}

impl ExecError {
    /// 127 where there is no such program, 126 where it can't be run; as shells do.
    pub fn exit_status(&self) -> u8 {
        if self.source.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
    }
}

/// Environment variables and their values.
pub type Environment = Vec<(OsString, OsString)>;

/// Becomes `command`, found along PATH; an empty one is a login shell, as of nsenter and unshare. Returns only if
/// that failed.
pub fn exec(command: &[OsString], environment: Option<Environment>) -> ExecError {
    let (mut program, arguments) = match command {
        [program, arguments @ ..] => (Command::new(program), arguments),
        [] => (shell(), [].as_slice()),
    };
    if let Some(environment) = environment {
        program.env_clear().envs(environment);
    }
    let source = program.args(arguments).exec();
    ExecError { program: program.get_program().to_owned(), source }
}

fn shell() -> Command {
    let shell =
        std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| "/bin/sh".into());
    let name = Path::new(&shell).file_name().unwrap_or(OsStr::new("sh"));
    let mut command = Command::new(&shell);
    command.arg0(OsString::from_vec([b"-", name.as_bytes()].concat()));
    command
}
