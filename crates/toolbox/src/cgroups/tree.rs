//! `cgroup tree`: a cgroup and those below it with their processes, as systemd-cgls(1) draws them.

use std::path::{Path, PathBuf};

use rustix::process::Pid;
use serde::Serialize;

use super::show::bytes;
use crate::{printable, process};

/// A cgroup with what is in it.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Node {
    pub name: String,
    pub directory: PathBuf,
    /// Bytes, where the memory controller counts.
    pub memory: Option<u64>,
    pub processes: Vec<Member>,
    pub children: Vec<Node>,
}

/// A process in a cgroup.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Member {
    pub pid: i32,
    pub command: String,
}

impl Node {
    /// Reads a cgroup and everything below. What vanishes meanwhile is left out.
    pub fn read(directory: &Path) -> std::io::Result<Self> {
        let mut children = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir())
                && let Ok(child) = Self::read(&entry.path())
            {
                children.push(child);
            }
        }
        children.sort_by(|one, other| one.name.cmp(&other.name));
        let name = directory.file_name().unwrap_or(directory.as_os_str());
        Ok(Self {
            name: printable(name.as_encoded_bytes()),
            memory: ["memory.current", "memory.usage_in_bytes"]
                .iter()
                .find_map(|file| std::fs::read_to_string(directory.join(file)).ok()?.trim().parse().ok()),
            processes: members(directory),
            children,
            directory: directory.to_owned(),
        })
    }

    /// As a drawing; cgroups without any process below only where `all` is set.
    pub fn text(&self, all: bool) -> String {
        let mut text = format!("{}\n", self.heading(&self.directory.display().to_string()));
        self.draw(&mut text, "", all);
        text
    }

    fn draw(&self, text: &mut String, indent: &str, all: bool) {
        let children: Vec<_> = self.children.iter().filter(|child| all || child.is_populated()).collect();
        let count = self.processes.len() + children.len();
        let branch =
            |position: usize| if position + 1 == count { ("└─", "  ") } else { ("├─", "│ ") };
        for (position, member) in self.processes.iter().enumerate() {
            text.push_str(&format!("{indent}{}{} {}\n", branch(position).0, member.pid, member.command));
        }
        for (position, child) in children.iter().enumerate() {
            let (line, below) = branch(self.processes.len() + position);
            text.push_str(&format!("{indent}{line}{}\n", child.heading(&child.name)));
            child.draw(text, &format!("{indent}{below}"), all);
        }
    }

    fn heading(&self, name: &str) -> String {
        self.memory.map_or_else(|| name.to_owned(), |memory| format!("{name} ({})", bytes(memory)))
    }

    fn is_populated(&self) -> bool {
        !self.processes.is_empty() || self.children.iter().any(Self::is_populated)
    }
}

fn members(directory: &Path) -> Vec<Member> {
    // A threaded cgroup of version 2 refuses: its processes are listed where its domain is.
    let text = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    let pids = text.lines().filter_map(|line| Pid::from_raw(line.parse().ok().filter(|&pid| pid > 0)?));
    pids.filter_map(|pid| Some(Member { pid: pid.as_raw_pid(), command: process::command_line(pid).ok()? }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_end_where_they_end() {
        let node = |name: &str, processes: usize, children| Node {
            name: name.into(),
            directory: Path::new("/sys").join(name),
            memory: None,
            processes: (0..processes).map(|_| Member { pid: 7, command: "sh".into() }).collect(),
            children,
        };
        let tree = node("top", 1, vec![node("a", 1, vec![node("b", 1, vec![])]), node("empty", 0, vec![])]);
        assert_eq!(tree.text(false), "/sys/top\n├─7 sh\n└─a\n  ├─7 sh\n  └─b\n    └─7 sh\n");
        assert!(tree.text(true).ends_with("└─empty\n"));
    }
}
