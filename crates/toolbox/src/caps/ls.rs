//! `caps ls`: every process that has capabilities.

use std::io;

use serde::Serialize;

use super::describe;
use super::show::SetNames;
use crate::accounts::Accounts;
use crate::containers::Containers;
use crate::process::{self, Process};
use crate::{Align, Table};

/// A process with capabilities.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Holder {
    pub pid: i32,
    pub ppid: Option<i32>,
    pub user: String,
    pub container: Option<String>,
    pub command: String,
    pub sets: SetNames,
    #[serde(skip)]
    permitted: String,
    #[serde(skip)]
    ambient: bool,
}

/// The processes that have permitted capabilities; kernel threads, which have all, only where `all` is set.
pub fn holders(all: bool, containers: &Containers) -> io::Result<Vec<Holder>> {
    let users = Accounts::users();
    let holder = |pid| {
        let process = Process::read(pid).ok()?;
        let command = process::command_line(pid).ok()?;
        // Kernel threads have no command line, which shows as a name in brackets.
        let wanted = all || (!command.starts_with('[') && !process.is_zombie());
        if process.capabilities.permitted.is_empty() || !wanted {
            return None;
        }
        Some(Holder {
            pid: pid.as_raw_pid(),
            ppid: process.parent.map(|parent| parent.as_raw_pid()),
            user: users.name(process.uids[1]),
            container: containers.of_process(pid),
            command,
            sets: (&process.capabilities).into(),
            permitted: describe(process.capabilities.permitted),
            ambient: !process.capabilities.ambient.is_empty(),
        })
    };
    Ok(process::all()?.into_iter().filter_map(holder).collect())
}

/// As a table. A `+` after the capabilities says that some are ambient: programs that it runs keep them.
pub fn table(holders: &[Holder]) -> Table {
    let columns = [
        ("PID", Align::Right),
        ("PPID", Align::Right),
        ("USER", Align::Left),
        ("CONTAINER", Align::Left),
        ("CAPABILITIES", Align::Left),
        ("COMMAND", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for holder in holders {
        table.row(vec![
            holder.pid.to_string(),
            holder.ppid.map_or_else(String::new, |ppid| ppid.to_string()),
            holder.user.clone(),
            holder.container.clone().unwrap_or_default(),
            format!("{}{}", holder.permitted, if holder.ambient { " +" } else { "" }),
            holder.command.clone(),
        ]);
    }
    table
}
