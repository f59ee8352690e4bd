//! `top`: the processes of a container, as ps(1) shows them.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// Clock ticks a second, the same on every architecture that we are built for (USER_HZ).
const TICKS: u64 = 100;

/// Processes in columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Top {
    /// The columns' names.
    pub titles: Vec<String>,
    /// A process a line.
    pub processes: Vec<Vec<String>>,
}

impl Engine {
    /// The processes of a running container: the columns of `ps -ef`, read from /proc; with other arguments, what the
    /// host's ps(1) prints of them.
    ///
    /// # Errors
    /// Where it does not run, or there is no ps(1) for these arguments.
    pub fn top(&self, container: &Container, args: &[String]) -> Result<Top> {
        let state = self.state(container)?;
        if !state.status.is_active() || state.pid == 0 {
            return Err(Error::Conflict(format!("container {} is not running", container.name)));
        }
        let pids: BTreeSet<u32> = self.running_payload(container)?.pids()?.into_iter().collect();
        if args.is_empty() || args == ["-ef"] { Ok(from_proc(&pids)) } else { from_ps(&pids, args) }
    }
}

fn from_proc(pids: &BTreeSet<u32>) -> Top {
    let titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"].map(str::to_owned).to_vec();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let boot = boot_time();
    // One that has ended meanwhile is none.
    let processes = pids.iter().filter_map(|pid| line(*pid, &users, boot)).collect();
    Top { titles, processes }
}

/// proc(5): of /proc/PID/stat the fields 4 (ppid), 7 (tty_nr), 14 and 15 (utime, stime), 22 (starttime).
fn line(pid: u32, users: &str, boot: i64) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |index: usize| fields.get(index - 3).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let (ticks, start) = (number(14) + number(15), number(22) / TICKS);
    let began = boot + i64::try_from(start).unwrap_or(0);
    let now = crate::clock::now() / 1_000_000_000;
    let age = u64::try_from(now - began).unwrap_or(0).max(1);
    let seconds = ticks / TICKS;
    let share = (seconds * 100 / age).min(99);
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&words).trim_end_matches('\0').replace('\0', " ");
    let name = head.split_once('(').map_or("", |(_, name)| name);
    let command = if command.is_empty() { format!("[{name}]") } else { command };
    Some(vec![
        user_of(pid, users),
        pid.to_string(),
        number(4).to_string(),
        share.to_string(),
        start_text(began, now),
        tty(number(7)),
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
        command,
    ])
}

fn user_of(pid: u32, users: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("Uid:")).unwrap_or_default();
    // Real, effective, …: ps shows the effective one.
    let uid = line.split_whitespace().nth(2).unwrap_or("?");
    let entry = users.lines().find(|line| line.split(':').nth(2) == Some(uid));
    entry.and_then(|line| line.split(':').next()).unwrap_or(uid).to_owned()
}

/// Minor and major number as in stat(5): 136 and up are pseudo terminals.
fn tty(device: u64) -> String {
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00));
    match major {
        0 => "?".into(),
        4 => format!("tty{minor}"),
        136..=143 => format!("pts/{}", minor + (major - 136) * 256),
        _ => format!("{major}:{minor}"),
    }
}

/// `HH:MM` of today, `MonDD` of this year, or the year: in UTC, for a static binary knows no zone.
fn start_text(began: i64, now: i64) -> String {
    let Ok(time) = jiff::Timestamp::from_second(began) else { return "?".into() };
    let format = match now - began {
        age if age < 86_400 => "%H:%M",
        age if age < 31_536_000 => "%b%d",
        _ => "%Y",
    };
    time.strftime(format).to_string()
}

fn boot_time() -> i64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// What the host's ps(1) prints; the column PID says whose line it is.
fn from_ps(pids: &BTreeSet<u32>, args: &[String]) -> Result<Top> {
    let output = Command::new("ps").args(args).output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::Unavailable(
            "ps: not found on this host: install procps, or leave the arguments out".to_owned(),
        ),
        _ => Error::io("run", "ps", error),
    })?;
    if !output.status.success() {
        return Err(Error::Invalid(format!("ps: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let column = titles.iter().position(|title| title == "PID").ok_or_else(|| {
        Error::Invalid("Couldn't find PID field in ps output: add the column pid".to_owned())
    })?;
    let wanted = |words: &Vec<String>| {
        words.get(column).and_then(|pid| pid.parse().ok()).is_some_and(|pid: u32| pids.contains(&pid))
    };
    let processes = lines.map(|line| columns(line, titles.len())).filter(wanted).collect();
    Ok(Top { titles, processes })
}

/// Words, the last column taking the rest.
fn columns(line: &str, count: usize) -> Vec<String> {
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    if words.len() > count && count > 0 {
        let rest = words.split_off(count - 1).join(" ");
        words.push(rest);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_shown() {
        let own = std::process::id();
        let top = from_proc(&BTreeSet::from([own]));
        let line = &top.processes[0];
        assert_eq!(line.len(), top.titles.len());
        assert_eq!(line[1], own.to_string());
        assert!(!line[7].is_empty());
    }

    #[test]
    fn the_last_column_takes_the_rest() {
        assert_eq!(columns("1 root sh -c x", 3), ["1", "root", "sh -c x"]);
        assert_eq!((tty(0).as_str(), tty(0x8803).as_str(), tty(0x0401).as_str()), ("?", "pts/3", "tty1"));
    }
}
