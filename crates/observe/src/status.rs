//! What a process is allowed to, as /proc tells.

use capability::{CapSet, Sets};
use rustix::process::Pid;

/// An id that is none: what -1 is for chown(2).
const NONE: u32 = u32::MAX;

/// A thread's credentials, its ids as the observer's user namespace counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub command: String,
    /// Its process id in its own pid namespace.
    pub pid: i32,
    /// Real, effective, saved and file system user.
    pub uids: [u32; 4],
    /// The same of groups.
    pub gids: [u32; 4],
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Its capabilities.
    pub effective: CapSet,
    /// What it can never get beyond.
    pub bounding: CapSet,
    /// Whether exec can give it no privileges.
    pub no_new_privileges: bool,
    /// How many seccomp filters it is under.
    pub filters: u32,
}

impl Status {
    /// Reads a thread's; none where it is gone.
    pub fn read(tid: Pid) -> Option<Self> {
        Self::parse(&std::fs::read(format!("/proc/{}/status", tid.as_raw_pid())).ok()?)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let field = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
        };
        let numbers = |name| -> Vec<u32> {
            let words = field(name).unwrap_or_default().split_whitespace();
            words.filter_map(|word| word.parse().ok()).collect()
        };
        let sets = Sets::from_status(bytes).ok()?;
        Some(Self {
            command: field("Name")?.to_owned(),
            pid: numbers("NStgid").last().map_or(0, |pid| pid.cast_signed()),
            uids: numbers("Uid").try_into().ok()?,
            gids: numbers("Gid").try_into().ok()?,
            groups: numbers("Groups"),
            effective: sets.effective,
            bounding: sets.bounding,
            no_new_privileges: field("NoNewPrivs") == Some("1"),
            filters: numbers("Seccomp_filters").first().copied().unwrap_or(0),
        })
    }

    /// The user that files are accessed as.
    pub fn fs_uid(&self) -> u32 {
        self.uids[3]
    }

    /// Whether files of this group are its own.
    pub fn is_in(&self, gid: u32) -> bool {
        self.gids[3] == gid || self.groups.contains(&gid)
    }
}

/// The id map of a process's user namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Map(Vec<[u64; 3]>);

impl Map {
    /// Reads `uid_map` or `gid_map`.
    pub fn read(tid: Pid, file: &str) -> Self {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", tid.as_raw_pid())).unwrap_or_default();
        let line = |line: &str| -> Option<[u64; 3]> {
            let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            numbers.try_into().ok()
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// The observer's id of one of the process's; -1 stays what it is.
    pub fn outside(&self, id: u32) -> Option<u32> {
        if id == NONE {
            return Some(NONE);
        }
        let id = u64::from(id);
        let extent = self.0.iter().find(|[inside, _, count]| (*inside..inside + count).contains(&id));
        extent.and_then(|[inside, outside, _]| u32::try_from(outside + id - inside).ok())
    }

    /// Whether one of the observer's ids has a name within.
    pub fn has(&self, id: u32) -> bool {
        let id = u64::from(id);
        self.0.iter().any(|[_, outside, count]| (*outside..outside + count).contains(&id))
    }

    /// Whether it is not the map of all ids to themselves.
    pub fn is_partial(&self) -> bool {
        !matches!(self.0[..], [[0, 0, count]] if count >= u64::from(NONE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_cross_a_map_both_ways() {
        let map = Map(vec![[0, 100_000, 1000], [1000, 1000, 1]]);
        assert_eq!([map.outside(5), map.outside(1000), map.outside(2000)], [Some(100_005), Some(1000), None]);
        assert_eq!(map.outside(NONE), Some(NONE));
        assert!(map.has(100_999) && !map.has(101_000) && map.is_partial());
    }

    #[test]
    fn a_status_is_read() {
        let own = Status::read(rustix::process::getpid()).unwrap();
        assert_eq!(own.pid, rustix::process::getpid().as_raw_pid());
        assert_eq!(own.uids[1], rustix::process::geteuid().as_raw());
    }
}
