//! `ns show`: the namespaces of one process beside those of the caller, and who else is in them.

use std::io;

use namespace::Kind;
use rustix::process::Pid;
use serde::Serialize;

use super::scan::Scan;
use crate::process::{self, ProcessError};
use crate::{Align, Table};

/// The namespaces of a process.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The process.
    pub pid: i32,
    /// Its command line.
    pub command: String,
    /// Its namespaces.
    pub namespaces: Vec<Membership>,
}

/// One namespace of the process.
#[derive(Debug, Clone, Serialize)]
pub struct Membership {
    /// Its type, as in /proc/PID/ns.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its inode.
    pub ns: u64,
    /// That of the caller.
    pub host: u64,
    /// Whether both are the same.
    pub shared: bool,
    /// How many processes are in it.
    pub nprocs: usize,
    /// A few of the others, lowest id first.
    pub others: Vec<Member>,
}

/// A process that is in the same namespace.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Member {
    pub pid: i32,
    pub command: String,
}

/// How many other processes are named; their number is always given.
const OTHERS: usize = 5;

/// Why the namespaces of a process can't be shown.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ShowError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("list /proc: {0}")]
    List(#[source] io::Error),
}

impl Comparison {
    /// Compares the namespaces of `pid` with the caller's own.
    pub fn new(pid: Pid) -> Result<Self, ShowError> {
        let command = process::command_line(pid)?;
        let of =
            |pid| Scan::of_process(pid, &Kind::ALL).map_err(|error| process::read_error(pid, "ns", error));
        let (theirs, ours) = (of(pid)?, of(rustix::process::getpid())?);
        let everyone = process::all().map_err(ShowError::List)?;

        let mut members: Vec<(u64, Vec<Pid>)> =
            theirs.namespaces.keys().map(|inode| (*inode, Vec::new())).collect();
        for other in everyone {
            let Ok(scan) = Scan::of_process(other, &Kind::ALL) else { continue };
            for (inode, pids) in &mut members {
                if scan.namespaces.contains_key(inode) {
                    pids.push(other);
                }
            }
        }
        let mut namespaces: Vec<_> = members
            .into_iter()
            .map(|(inode, pids)| {
                let kind = theirs.namespaces[&inode].kind;
                let host = ours.namespaces.values().find(|namespace| namespace.kind == kind);
                Membership::new(kind, inode, host.map_or(0, |namespace| namespace.inode), pid, &pids)
            })
            .collect();
        namespaces.sort_by_key(|membership| membership.kind);
        Ok(Self { pid: pid.as_raw_pid(), command, namespaces })
    }

    /// As text: a line of title and a table.
    pub fn text(&self) -> String {
        let columns = [
            ("TYPE", Align::Left),
            ("NS", Align::Right),
            ("HOST", Align::Right),
            ("", Align::Left),
            ("NPROCS", Align::Right),
            ("ALSO IN IT", Align::Left),
        ];
        let mut table = Table::new(&columns);
        for membership in &self.namespaces {
            table.row(vec![
                membership.kind.to_owned(),
                membership.ns.to_string(),
                membership.host.to_string(),
                if membership.shared { "shared" } else { "own" }.to_owned(),
                membership.nprocs.to_string(),
                membership.others_text(),
            ]);
        }
        format!("{} {}\n\n{table}", self.pid, self.command)
    }
}

impl Membership {
    fn new(kind: Kind, ns: u64, host: u64, pid: Pid, members: &[Pid]) -> Self {
        let shared = ns == host;
        // Naming the host's processes would say nothing.
        let named = if shared { 0 } else { OTHERS };
        let others = members.iter().filter(|&&other| other != pid).take(named).filter_map(|&other| {
            Some(Member { pid: other.as_raw_pid(), command: process::command_line(other).ok()? })
        });
        Self { kind: kind.proc_name(), ns, host, shared, nprocs: members.len(), others: others.collect() }
    }

    fn others_text(&self) -> String {
        if self.shared {
            return "the caller's own".to_owned();
        }
        let mut names: Vec<_> =
            self.others.iter().map(|member| format!("{} {}", member.pid, member.command)).collect();
        let more = self.nprocs.saturating_sub(1 + names.len());
        if more > 0 {
            names.push(format!("and {more} more"));
        }
        names.join(", ")
    }
}
