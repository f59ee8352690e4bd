//! `mounts`: the mounts of a process, as findmnt(8) lists them, and how they differ from the caller's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rustix::process::Pid;
use serde::Serialize;

use crate::mountinfo::{self, Mount};
use crate::process::{self, ProcessError};
use crate::{Align, Table};

/// The mounts of a process.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Mounts {
    pub pid: i32,
    pub mounts: Vec<Entry>,
    /// Mount points of the caller that the process does not have.
    pub missing: Vec<String>,
}

/// One mount.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Entry {
    pub id: u32,
    pub parent: u32,
    pub target: String,
    pub source: String,
    pub fstype: String,
    pub options: String,
    /// `private`, or the peer groups: `shared:1`, `slave:1`, `unbindable`.
    pub propagation: String,
    /// The directories of an overlay, the uppermost first.
    pub layers: Vec<String>,
    /// Whether ids are mapped on the way through this mount.
    pub idmapped: bool,
    pub difference: Difference,
}

/// How a mount differs from what the caller has at the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Difference {
    /// Not at all.
    Same,
    /// The same file system with other options.
    Options,
    /// Another file system, or nothing is mounted there for the caller.
    Own,
}

impl Mounts {
    /// Reads the mounts of a process.
    pub fn of_process(pid: Pid) -> Result<Self, ProcessError> {
        let theirs = mountinfo::parse(&process::read_file(pid, "mountinfo")?);
        let ours = mountinfo::read(Path::new("/proc/self/mountinfo")).unwrap_or_default();
        let mut at: BTreeMap<&str, Vec<&Mount>> = BTreeMap::new();
        for mount in &ours {
            at.entry(&mount.mount_point).or_default().push(mount);
        }
        let on = |point: &str| at.get(point).map_or(&[][..], Vec::as_slice);
        let entry = |mount: &Mount| Entry::new(mount, on(&mount.mount_point));
        let present: BTreeSet<&str> = theirs.iter().map(|mount| mount.mount_point.as_str()).collect();
        let mut missing: Vec<_> =
            at.keys().filter(|point| !present.contains(**point)).map(ToString::to_string).collect();
        missing.sort();
        Ok(Self { pid: pid.as_raw_pid(), mounts: theirs.iter().map(entry).collect(), missing })
    }

    /// As a table; in a tree each mount is below the one it is on.
    pub fn text(&self, tree: bool) -> String {
        let columns = [
            ("TARGET", Align::Left),
            ("SOURCE", Align::Left),
            ("FSTYPE", Align::Left),
            ("OPTIONS", Align::Left),
            ("PROPAGATION", Align::Left),
            ("HOST", Align::Left),
        ];
        let mut table = Table::new(&columns);
        let mut layers = String::new();
        for (depth, entry) in self.ordered(tree) {
            let host = match entry.difference {
                Difference::Same => "same",
                Difference::Options => "other options",
                Difference::Own => "own",
            };
            table.row(vec![
                format!("{}{}", "  ".repeat(depth), entry.target),
                entry.source.clone(),
                entry.fstype.clone(),
                entry.options.clone(),
                entry.propagation.clone(),
                host.to_owned(),
            ]);
            for (number, layer) in entry.layers.iter().enumerate() {
                layers.push_str(&format!("{} layer {number}: {layer}\n", entry.target));
            }
        }
        let missing = match self.missing.len() {
            0 => String::new(),
            count => format!("\n{count} mount points of the caller are not there\n"),
        };
        format!("{table}{}{layers}{missing}", if layers.is_empty() { "" } else { "\n" })
    }

    fn ordered(&self, tree: bool) -> Vec<(usize, &Entry)> {
        if !tree {
            return self.mounts.iter().map(|entry| (0, entry)).collect();
        }
        let ids: BTreeSet<u32> = self.mounts.iter().map(|entry| entry.id).collect();
        let is_root = |entry: &&Entry| entry.parent == entry.id || !ids.contains(&entry.parent);
        let mut stack: Vec<_> = self.mounts.iter().filter(is_root).rev().map(|root| (0, root)).collect();
        let mut ordered = Vec::new();
        while let Some((depth, entry)) = stack.pop() {
            ordered.push((depth, entry));
            let below = self.mounts.iter().filter(|child| child.parent == entry.id && child.id != entry.id);
            stack.extend(below.rev().map(|child| (depth + 1, child)));
        }
        ordered
    }
}

impl Entry {
    /// `ours` are the caller's mounts on the same mount point.
    fn new(mount: &Mount, ours: &[&Mount]) -> Self {
        let mut difference = Difference::Own;
        for ours in ours.iter().filter(|ours| ours.device == mount.device && ours.root == mount.root) {
            if ours.options == mount.options {
                difference = Difference::Same;
                break;
            }
            difference = Difference::Options;
        }
        let source = match mount.root.as_str() {
            "/" => mount.source.clone(),
            root => format!("{}[{root}]", mount.source),
        };
        Self {
            id: mount.id,
            parent: mount.parent,
            target: mount.mount_point.clone(),
            source,
            fstype: mount.file_system.clone(),
            options: options(mount),
            propagation: propagation(mount),
            layers: layers(mount),
            idmapped: mount.options.iter().any(|option| option == "idmapped"),
            difference,
        }
    }
}

/// Those of the mount, then those of the file system that it has not, without an overlay's layers.
fn options(mount: &Mount) -> String {
    let is_layer =
        |option: &str| ["lowerdir", "upperdir", "workdir"].iter().any(|name| option.starts_with(name));
    let more = mount.super_options.iter().filter(|option| {
        // The mount's own ro or rw is what counts.
        !mount.options.contains(option) && *option != "rw" && *option != "ro" && !is_layer(option)
    });
    mount.options.iter().chain(more).map(String::as_str).collect::<Vec<_>>().join(",")
}

fn propagation(mount: &Mount) -> String {
    let tag = |(name, group): (&String, &Option<u32>)| {
        let name = if name == "master" { "slave" } else { name };
        group.map_or_else(|| name.to_owned(), |group| format!("{name}:{group}"))
    };
    match mount.propagation.is_empty() {
        true => "private".to_owned(),
        false => mount.propagation.iter().map(tag).collect::<Vec<_>>().join(","),
    }
}

fn layers(mount: &Mount) -> Vec<String> {
    if mount.file_system != "overlay" {
        return Vec::new();
    }
    let named = |prefix: &'static str| {
        mount.super_options.iter().filter_map(move |option| option.strip_prefix(prefix))
    };
    let lower = named("lowerdir=").flat_map(|list| list.split(':')).filter(|layer| !layer.is_empty());
    named("upperdir=").chain(lower).chain(named("lowerdir+=")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(line: &str) -> Mount {
        mountinfo::parse(line.as_bytes()).remove(0)
    }

    #[test]
    fn an_overlay_shows_its_layers_from_the_top() {
        let overlay =
            mount("9 1 0:9 / /m rw master:3 - overlay o rw,lowerdir=/b:/a,upperdir=/u,workdir=/w,xino=off\n");
        let entry = Entry::new(&overlay, &[]);
        assert_eq!(entry.layers, ["/u", "/b", "/a"]);
        assert_eq!((entry.options.as_str(), entry.propagation.as_str()), ("rw,xino=off", "slave:3"));
        assert_eq!(entry.difference, Difference::Own);
        let appended = mount("9 1 0:9 / /m ro - overlay o ro,lowerdir+=/b,lowerdir+=/a\n");
        assert_eq!(Entry::new(&appended, &[]).layers, ["/b", "/a"]);
    }

    #[test]
    fn differences_are_those_of_file_system_and_options() {
        let ours = mount("1 1 8:1 / / rw shared:1 - ext4 /dev/a rw\n");
        let difference = |line: &str| Entry::new(&mount(line), &[&ours]).difference;
        assert_eq!(difference("7 7 8:1 / / rw - ext4 /dev/a rw\n"), Difference::Same);
        assert_eq!(difference("7 7 8:1 / / ro,idmapped - ext4 /dev/a rw\n"), Difference::Options);
        assert_eq!(difference("7 7 8:1 /sub / rw - ext4 /dev/a rw\n"), Difference::Own);
    }
}
