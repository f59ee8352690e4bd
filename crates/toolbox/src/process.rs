//! What /proc tells about a process.

use std::io;

use capability::Sets;
use rustix::process::Pid;

use crate::printable;

/// A process as /proc/PID/status describes it.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its id in the caller's pid namespace.
    pub pid: Pid,
    /// The name of its first thread.
    pub name: String,
    /// The letter of its state: R, S, D, T, t, Z, X or I.
    pub state: char,
    /// Its parent; none for the first process of a pid namespace and for what lies outside of ours.
    pub parent: Option<Pid>,
    /// Real, effective, saved and file system user, as the caller's user namespace counts.
    pub uids: [u32; 4],
    /// Real, effective, saved and file system group.
    pub gids: [u32; 4],
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Its ids in the pid namespaces from the caller's down to its own.
    pub namespace_pids: Vec<u32>,
    /// Whether exec can give it no privileges any more.
    pub no_new_privileges: bool,
    /// Mode of seccomp: 0 off, 1 strict, 2 filter.
    pub seccomp: u8,
    /// How many seccomp filters it is under.
    pub seccomp_filters: u32,
    /// Its five capability sets.
    pub capabilities: Sets,
}

/// Why a process could not be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ProcessError {
    #[error("there is no process {0}")]
    Gone(Pid),
    #[error("read /proc/{pid}/{file}: {source}{}", hint(source))]
    Unreadable { pid: Pid, file: &'static str, source: io::Error },
    #[error("read /proc/{pid}/status: no valid field {field}")]
    Field { pid: Pid, field: &'static str },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; that of another user's process may only be seen by root",
        _ => "",
    }
}

impl Process {
    /// Reads the process with this id.
    pub fn read(pid: Pid) -> Result<Self, ProcessError> {
        let text = read_file(pid, "status")?;
        Self::parse(pid, &text).map_err(|field| ProcessError::Field { pid, field })
    }

    fn parse(pid: Pid, text: &[u8]) -> Result<Self, &'static str> {
        let status = Status(text);
        Ok(Self {
            pid,
            name: printable(status.bytes("Name").ok_or("Name")?),
            state: status.text("State").and_then(|state| state.chars().next()).ok_or("State")?,
            parent: status.number("PPid").and_then(|parent| Pid::from_raw(parent.cast_signed())),
            uids: status.numbers("Uid").try_into().map_err(|_| "Uid")?,
            gids: status.numbers("Gid").try_into().map_err(|_| "Gid")?,
            groups: status.numbers("Groups"),
            namespace_pids: status.numbers("NSpid"),
            no_new_privileges: status.number("NoNewPrivs") == Some(1),
            seccomp: status.number("Seccomp").and_then(|mode| u8::try_from(mode).ok()).unwrap_or(0),
            seccomp_filters: status.number("Seccomp_filters").unwrap_or(0),
            capabilities: Sets::from_status(text)?,
        })
    }

    /// Whether it has ended and waits for its parent to notice.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

struct Status<'text>(&'text [u8]);

impl<'text> Status<'text> {
    fn bytes(&self, name: &str) -> Option<&'text [u8]> {
        let mut lines = self.0.split(|&byte| byte == b'\n');
        let value = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))?;
        Some(value.trim_ascii())
    }

    fn text(&self, name: &str) -> Option<&'text str> {
        std::str::from_utf8(self.bytes(name)?).ok()
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.text(name)?.parse().ok()
    }

    fn numbers(&self, name: &str) -> Vec<u32> {
        let words = self.text(name).unwrap_or_default().split_whitespace();
        words.map_while(|word| word.parse().ok()).collect()
    }
}

/// The processes that /proc shows, by id. One that is listed may be gone a moment later.
pub fn all() -> io::Result<Vec<Pid>> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        pids.extend(number.and_then(Pid::from_raw));
    }
    pids.sort_unstable_by_key(|pid| pid.as_raw_pid());
    Ok(pids)
}

/// The command line with spaces between its words, or `[name]` where there is none: a kernel thread or a zombie.
pub fn command_line(pid: Pid) -> Result<String, ProcessError> {
    let words = read_file(pid, "cmdline")?;
    match words.trim_ascii_end().strip_suffix(b"\0").unwrap_or(&words) {
        b"" => Ok(format!("[{}]", printable(read_file(pid, "comm")?.trim_ascii_end()))),
        words => {
            Ok(printable(&words.iter().map(|&byte| if byte == 0 { b' ' } else { byte }).collect::<Vec<_>>()))
        }
    }
}

/// The effective user, which owns /proc/PID as long as the process may be traced.
pub fn owner(pid: Pid) -> Result<u32, ProcessError> {
    let stat = rustix::fs::stat(format!("/proc/{pid}"));
    stat.map(|stat| stat.st_uid).map_err(|errno| read_error(pid, "", errno.into()))
}

/// Reads /proc/PID/`file`.
pub fn read_file(pid: Pid, file: &'static str) -> Result<Vec<u8>, ProcessError> {
    std::fs::read(format!("/proc/{pid}/{file}")).map_err(|source| read_error(pid, file, source))
}

/// An error about /proc/PID/`file`, which tells a process that is gone from one that may not be read.
pub fn read_error(pid: Pid, file: &'static str, source: io::Error) -> ProcessError {
    // ESRCH: it ended after the file was opened.
    let vanished = source.kind() == io::ErrorKind::NotFound || source.raw_os_error() == Some(3);
    if vanished && !std::path::Path::new(&format!("/proc/{pid}")).exists() {
        ProcessError::Gone(pid)
    } else {
        ProcessError::Unreadable { pid, file, source }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn this_process_reads_itself() {
        let own = Process::read(rustix::process::getpid()).unwrap();
        assert_eq!(own.uids[1], rustix::process::geteuid().as_raw());
        assert_eq!(own.parent, rustix::process::getppid());
        assert!(all().unwrap().contains(&own.pid));
        let first_word = std::env::args().next().unwrap();
        assert!(command_line(own.pid).unwrap().starts_with(&first_word));
    }

    #[test]
    fn a_zombie_is_half_a_process() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        while !Process::read(pid).unwrap().is_zombie() {
            std::thread::yield_now();
        }
        assert_eq!(command_line(pid).unwrap(), "[true]");
        child.wait().unwrap();
        assert!(matches!(Process::read(pid), Err(ProcessError::Gone(gone)) if gone == pid));
    }

    #[test]
    fn a_name_can_contain_anything() {
        let pid = Pid::INIT;
        let text = std::fs::read_to_string("/proc/self/status").unwrap();
        let (_, rest) = text.split_once('\n').unwrap();
        let hostile = [b"Name:\tUid: \xff\x1b[2J\n".as_slice(), rest.as_bytes()].concat();
        assert_eq!(Process::parse(pid, &hostile).unwrap().name, "Uid: \\xff\\u{1b}[2J");
        assert_eq!(Process::parse(pid, b"").unwrap_err(), "Name");
    }
}
