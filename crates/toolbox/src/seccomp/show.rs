//! `seccomp show`: the filters that a process is under, as the kernel keeps them.

use std::io;

use rustix::process::Pid;
use seccomp::Program;
use serde::Serialize;
use sys::ptrace::Stopped;

use crate::process::{Process, ProcessError};

/// What seccomp does to a process.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct Confinement {
    pub pid: i32,
    pub mode: &'static str,
    pub no_new_privileges: bool,
    /// How many filters there are.
    pub filters: u32,
}

/// Why a process's filters could not be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum FiltersError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("stop process {pid} to read its seccomp filters: {source}{}", hint(source))]
    Stop { pid: Pid, source: io::Error },
    #[error("read a seccomp filter of process {pid}: {source}{}", hint(source))]
    Filter { pid: Pid, source: io::Error },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; it needs CAP_SYS_PTRACE and CAP_SYS_ADMIN, no filter on berth itself, and no other tracer"
        }
        _ => "",
    }
}

impl Confinement {
    /// Reads what /proc/PID/status tells.
    pub fn of_process(pid: Pid) -> Result<Self, ProcessError> {
        let process = Process::read(pid)?;
        Ok(Self {
            pid: pid.as_raw_pid(),
            mode: match process.seccomp {
                0 => "off",
                1 => "strict: read, write, exit and sigreturn only",
                _ => "filter",
            },
            no_new_privileges: process.no_new_privileges,
            filters: process.seccomp_filters,
        })
    }

    /// As text.
    pub fn text(&self) -> String {
        format!(
            "seccomp            {}\nfilters            {}\nno new privileges  {}\n",
            self.mode,
            self.filters,
            if self.no_new_privileges { "yes" } else { "no" },
        )
    }
}

/// The filters of a process, the latest first. It stands still meanwhile.
pub fn filters(pid: Pid) -> Result<Vec<Vec<u8>>, FiltersError> {
    if Process::read(pid)?.seccomp != 2 {
        return Ok(Vec::new());
    }
    let stopped = Stopped::new(pid).map_err(|source| FiltersError::Stop { pid, source })?;
    let mut filters = Vec::new();
    while let Some(filter) =
        stopped.seccomp_filter(filters.len()).map_err(|source| FiltersError::Filter { pid, source })?
    {
        filters.push(filter);
    }
    Ok(filters)
}

/// The programs of filters; none for one that this program can't read, such as one with other loads than those
/// that seccomp(2) documents.
pub fn programs(filters: &[Vec<u8>]) -> Vec<Option<Program>> {
    filters.iter().map(|bytes| Program::from_bytes(bytes).ok()).collect()
}
