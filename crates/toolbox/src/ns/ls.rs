//! `ns ls`: all namespaces, as lsns(8) lists them, and those that nobody is in.

use std::collections::BTreeMap;
use std::str::FromStr;

use namespace::Kind;
use rustix::process::Pid;
use serde_json::{Map, Value, json};

use super::scan::{Namespace, Scan};
use crate::accounts::Accounts;
use crate::containers::Containers;
use crate::process::{self, Process};
use crate::{Align, Table};

/// What can be shown of a namespace. The names are those of lsns, and CONTAINER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Column {
    Ns,
    Type,
    Path,
    Nprocs,
    Pid,
    Ppid,
    Command,
    Uid,
    User,
    Nsfs,
    ParentNs,
    OwnerNs,
    Container,
}

/// A text that names no column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown column \"{}\": expected some of {}", .0.escape_debug(), Column::ALL.map(|column| column.heading()).join(","))]
pub struct UnknownColumn(pub String);

/// What to list and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which types.
    pub kinds: Vec<Kind>,
    /// Only the namespaces of this process.
    pub task: Option<Pid>,
    /// Only the namespace with this inode.
    pub namespace: Option<u64>,
    /// Which columns.
    pub columns: Vec<Column>,
    /// Show which namespace is below which.
    pub tree: Option<Relation>,
}

/// What makes one namespace the child of another in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Relation {
    Parent,
    Owner,
}

/// The namespaces and the facts about their leaders that the columns ask for.
#[derive(Debug)]
pub struct Listing {
    request: Request,
    scan: Scan,
    leaders: BTreeMap<i32, Leader>,
    users: Accounts,
}

#[derive(Debug, Default)]
struct Leader {
    command: Option<String>,
    uid: Option<u32>,
    parent: Option<Pid>,
    container: Option<String>,
}

impl Column {
    /// All of them, in lsns's order.
    pub const ALL: [Self; 13] = [
        Self::Ns,
        Self::Type,
        Self::Path,
        Self::Nprocs,
        Self::Pid,
        Self::Ppid,
        Self::Command,
        Self::Uid,
        Self::User,
        Self::Nsfs,
        Self::ParentNs,
        Self::OwnerNs,
        Self::Container,
    ];

    /// Those that are shown unless others are asked for.
    pub const DEFAULT: [Self; 8] = [
        Self::Ns,
        Self::Type,
        Self::Nprocs,
        Self::Pid,
        Self::User,
        Self::Container,
        Self::Nsfs,
        Self::Command,
    ];

    /// The heading, which is also the name to ask for it.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Ns => "NS",
            Self::Type => "TYPE",
            Self::Path => "PATH",
            Self::Nprocs => "NPROCS",
            Self::Pid => "PID",
            Self::Ppid => "PPID",
            Self::Command => "COMMAND",
            Self::Uid => "UID",
            Self::User => "USER",
            Self::Nsfs => "NSFS",
            Self::ParentNs => "PNS",
            Self::OwnerNs => "ONS",
            Self::Container => "CONTAINER",
        }
    }

    const fn align(self) -> Align {
        match self {
            Self::Ns | Self::Nprocs | Self::Pid | Self::Ppid | Self::Uid | Self::ParentNs | Self::OwnerNs => {
                Align::Right
            }
            _ => Align::Left,
        }
    }
}

impl FromStr for Column {
    type Err = UnknownColumn;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|column| column.heading().eq_ignore_ascii_case(text));
        named.ok_or_else(|| UnknownColumn(text.to_owned()))
    }
}

impl Listing {
    /// Looks at the host.
    pub fn new(request: Request, containers: &Containers) -> std::io::Result<Self> {
        let mut scan = Scan::new(&request.kinds)?;
        let wants = |column| request.columns.contains(&column);
        if request.tree.is_some() || wants(Column::ParentNs) || wants(Column::OwnerNs) {
            scan.add_relations();
        }
        if let Some(task) = request.task {
            let own = Scan::of_process(task, &request.kinds)?.namespaces;
            scan.namespaces.retain(|inode, _| own.contains_key(inode));
        }
        if let Some(only) = request.namespace {
            scan.namespaces.retain(|inode, _| *inode == only);
        }
        let mut leaders = BTreeMap::new();
        for pid in scan.namespaces.values().filter_map(|namespace| namespace.leader) {
            leaders
                .entry(pid.as_raw_pid())
                .or_insert_with(|| Leader::read(pid, &request.columns, containers));
        }
        Ok(Self { request, scan, leaders, users: Accounts::users() })
    }

    /// Processes whose namespaces the caller may not see.
    pub fn hidden(&self) -> usize {
        self.scan.hidden
    }

    /// As a table.
    pub fn table(&self) -> Table {
        let shown = self.shown_columns();
        let columns: Vec<_> = shown.iter().map(|column| (column.heading(), column.align())).collect();
        let mut table = Table::new(&columns);
        for (depth, namespace) in self.ordered() {
            let mut cells: Vec<String> = shown.iter().map(|&column| self.cell(namespace, column)).collect();
            if let Some(last) = cells.last_mut() {
                last.insert_str(0, &"  ".repeat(depth));
            }
            table.row(cells);
        }
        table
    }

    /// As JSON, with lsns's member names.
    pub fn json(&self) -> Value {
        let object = |(_, namespace): (usize, &Namespace)| {
            let members = self
                .request
                .columns
                .iter()
                .map(|&column| (column.heading().to_ascii_lowercase(), self.value(namespace, column)));
            Value::Object(members.collect::<Map<_, _>>())
        };
        json!({ "namespaces": self.ordered().into_iter().map(object).collect::<Vec<_>>() })
    }

    /// The columns asked for, without those of the default that would be empty on this host.
    fn shown_columns(&self) -> Vec<Column> {
        let is_default = self.request.columns == Column::DEFAULT;
        let is_filled = |column| match column {
            Column::Container => self.leaders.values().any(|leader| leader.container.is_some()),
            Column::Nsfs => self.scan.namespaces.values().any(|namespace| !namespace.mounts.is_empty()),
            _ => true,
        };
        self.request.columns.iter().copied().filter(|&column| !is_default || is_filled(column)).collect()
    }

    /// The namespaces by inode, or each below its parent with its depth.
    fn ordered(&self) -> Vec<(usize, &Namespace)> {
        let Some(relation) = self.request.tree else {
            return self.scan.namespaces.values().map(|namespace| (0, namespace)).collect();
        };
        let above = |namespace: &Namespace| {
            let above = match relation {
                Relation::Parent => namespace.parent,
                Relation::Owner if namespace.kind == Kind::User => namespace.parent,
                Relation::Owner => namespace.owner,
            };
            above.filter(|inode| *inode != namespace.inode && self.scan.namespaces.contains_key(inode))
        };
        let mut below: BTreeMap<Option<u64>, Vec<&Namespace>> = BTreeMap::new();
        for namespace in self.scan.namespaces.values() {
            below.entry(above(namespace)).or_default().push(namespace);
        }
        let mut ordered = Vec::new();
        let mut stack: Vec<(usize, &Namespace)> =
            below.get(&None).into_iter().flatten().rev().map(|root| (0, *root)).collect();
        while let Some((depth, namespace)) = stack.pop() {
            ordered.push((depth, namespace));
            let children = below.get(&Some(namespace.inode)).into_iter().flatten().rev();
            stack.extend(children.map(|child| (depth + 1, *child)));
        }
        ordered
    }

    fn cell(&self, namespace: &Namespace, column: Column) -> String {
        match self.value(namespace, column) {
            Value::Null => String::new(),
            Value::String(text) => text,
            Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
            number => number.to_string(),
        }
    }

    fn value(&self, namespace: &Namespace, column: Column) -> Value {
        let leader = namespace.leader.and_then(|pid| self.leaders.get(&pid.as_raw_pid()));
        match column {
            Column::Ns => json!(namespace.inode),
            Column::Type => json!(namespace.kind.proc_name()),
            Column::Path => match (namespace.leader, namespace.mounts.first()) {
                (Some(pid), _) => json!(format!("/proc/{pid}/ns/{}", namespace.kind)),
                (None, mount) => json!(mount),
            },
            Column::Nprocs => json!(namespace.processes),
            Column::Pid => json!(namespace.leader.map(Pid::as_raw_pid)),
            Column::Ppid => json!(leader.and_then(|leader| leader.parent).map(Pid::as_raw_pid)),
            Column::Command => json!(leader.and_then(|leader| leader.command.as_ref())),
            Column::Uid => json!(self.uid(namespace, leader)),
            Column::User => json!(self.uid(namespace, leader).map(|uid| self.users.name(uid))),
            Column::Nsfs => json!(namespace.mounts),
            Column::ParentNs => json!(namespace.parent),
            Column::OwnerNs => json!(namespace.owner),
            Column::Container => json!(leader.and_then(|leader| leader.container.as_ref())),
        }
    }

    /// The user of the leader; where nobody is in, whoever made the namespace.
    fn uid(&self, namespace: &Namespace, leader: Option<&Leader>) -> Option<u32> {
        leader.and_then(|leader| leader.uid).or(namespace.owner_uid)
    }
}

impl Leader {
    fn read(pid: Pid, columns: &[Column], containers: &Containers) -> Self {
        let wants = |column| columns.contains(&column);
        let mut leader = Self::default();
        if wants(Column::Command) {
            leader.command = process::command_line(pid).ok();
        }
        if wants(Column::Uid) || wants(Column::User) {
            leader.uid = process::owner(pid).ok();
        }
        if wants(Column::Ppid) {
            leader.parent = Process::read(pid).ok().and_then(|process| process.parent);
        }
        if wants(Column::Container) {
            leader.container = containers.of_process(pid);
        }
        leader
    }
}
