//! `netns ls`, `identify` and `pids`: every network namespace, who is in it, and what it is connected to.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use namespace::{Kind, NamespaceFile};
use rustix::process::Pid;
use serde::Serialize;

use super::links::{self, Link};
use super::names;
use crate::containers::Containers;
use crate::ns::scan::Scan;
use crate::process;
use crate::{Align, Table};

/// A network namespace.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Network {
    pub ns: u64,
    /// Its names in /run/netns.
    pub names: Vec<String>,
    /// Other files that it is mounted on.
    pub mounts: Vec<String>,
    pub container: Option<String>,
    pub nprocs: usize,
    pub pid: Option<i32>,
    pub command: Option<String>,
    /// None where the caller may not enter.
    pub links: Option<Vec<Link>>,
}

/// Every network namespace that a process is in or a mount keeps, by inode.
pub fn networks(containers: &Containers) -> io::Result<Vec<Network>> {
    let scan = Scan::new(&[Kind::Net])?;
    let files: BTreeMap<u64, NamespaceFile> =
        scan.namespaces.keys().filter_map(|&inode| Some((inode, scan.open(inode)?))).collect();
    let mut links = links::of(&files);
    let network = |namespace: &crate::ns::scan::Namespace| {
        let (names, mounts) = split_names(&namespace.mounts);
        Network {
            ns: namespace.inode,
            names,
            mounts,
            container: namespace.leader.and_then(|pid| containers.of_process(pid)),
            nprocs: namespace.processes,
            pid: namespace.leader.map(Pid::as_raw_pid),
            command: namespace.leader.and_then(|pid| process::command_line(pid).ok()),
            links: links.remove(&namespace.inode),
        }
    };
    Ok(scan.namespaces.values().map(network).collect())
}

/// The names among mount points, and the others. A shared mount shows twice: below /run and below /var/run.
fn split_names(mounts: &[String]) -> (Vec<String>, Vec<String>) {
    let name = |mount: &String| {
        let below = Path::new(mount).strip_prefix(names::DIRECTORY).ok()?;
        Some(below.to_str()?.to_owned())
    };
    let (mut named, mut others): (Vec<_>, Vec<_>) = (
        mounts.iter().filter_map(name).collect(),
        mounts.iter().filter(|mount| name(mount).is_none()).cloned().collect(),
    );
    named.dedup();
    others.dedup();
    (named, others)
}

/// As a table.
pub fn table(networks: &[Network]) -> Table {
    let columns = [
        ("NS", Align::Right),
        ("NAME", Align::Left),
        ("CONTAINER", Align::Left),
        ("NPROCS", Align::Right),
        ("PID", Align::Right),
        ("LINKS", Align::Left),
        ("COMMAND", Align::Left),
    ];
    let mut table = Table::new(&columns);
    let label = |ns: u64| {
        let other = networks.iter().find(|network| network.ns == ns);
        other.and_then(Network::label).unwrap_or_else(|| ns.to_string())
    };
    for network in networks {
        let names: Vec<_> = network.names.iter().chain(&network.mounts).cloned().collect();
        table.row(vec![
            network.ns.to_string(),
            names.join(","),
            network.container.clone().unwrap_or_default(),
            network.nprocs.to_string(),
            network.pid.map_or_else(String::new, |pid| pid.to_string()),
            network
                .links
                .as_deref()
                .map_or_else(|| "?".to_owned(), |links| links_text(links, network.ns, label)),
            network.command.clone().unwrap_or_default(),
        ]);
    }
    table
}

impl Network {
    /// What a reader knows it by.
    fn label(&self) -> Option<String> {
        self.names.first().or(self.container.as_ref()).or(self.mounts.first()).cloned()
    }
}

fn links_text(links: &[Link], ns: u64, label: impl Fn(u64) -> String) -> String {
    let text = |link: &Link| match &link.peer {
        Some(peer) if peer.ns == ns => format!("{}→{}", link.name, peer.name),
        Some(peer) => format!("{}→{}@{}", link.name, peer.name, label(peer.ns)),
        None => link.name.clone(),
    };
    links.iter().map(text).collect::<Vec<_>>().join(" ")
}

/// The names of the network namespace that a process is in.
pub fn identify(pid: Pid) -> Result<Vec<String>, namespace::FileError> {
    let wanted = NamespaceFile::of_process(pid, Kind::Net)?.id()?;
    let is_wanted = |name: &String| {
        let id = names::open(name).ok().and_then(|file| file.id().ok());
        id == Some(wanted)
    };
    Ok(names::all().into_iter().filter(is_wanted).collect())
}

/// The processes in a network namespace.
pub fn pids(file: &NamespaceFile) -> Result<Vec<Pid>, PidsError> {
    let wanted = file.id()?.inode;
    let is_in = |pid: &Pid| {
        Scan::of_process(*pid, &[Kind::Net]).is_ok_and(|scan| scan.namespaces.contains_key(&wanted))
    };
    Ok(process::all().map_err(PidsError::List)?.into_iter().filter(is_in).collect())
}

/// Why the processes could not be found.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum PidsError {
    #[error(transparent)]
    Namespace(#[from] namespace::FileError),
    #[error("list /proc: {0}")]
    List(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_other_mounts() {
        let mounts = ["/run/netns/a", "/run/netns/a", "/run/docker/netns/1"].map(str::to_owned);
        let (names, others) = split_names(&mounts);
        assert_eq!((names, others), (vec!["a".to_owned()], vec!["/run/docker/netns/1".to_owned()]));
    }
}
