//! Whether a process is still the one that it was.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};

use crate::failure::{OrFail, Result};

/// The start time of a process; none where it is gone or a zombie.
///
/// # Errors
/// Where it can't be read for another reason.
pub(crate) fn start_time(pid: i32) -> Result<Option<u64>> {
    sys::process::start_time(pid).or_fail_at("read", format!("/proc/{pid}/stat"))
}

/// The processes that are in the pid namespace of `first`, which is one of them.
///
/// # Errors
/// Where /proc can't be read; who can't be looked at is not ours.
pub(crate) fn in_pid_namespace_of(first: u32) -> Result<Vec<u32>> {
    let namespace = |pid: u32| {
        rustix::fs::stat(format!("/proc/{pid}/ns/pid")).ok().map(|stat| (stat.st_dev, stat.st_ino))
    };
    let own = namespace(first);
    Ok(all()?.into_iter().filter(|pid| own.is_some() && namespace(*pid) == own).collect())
}

/// `first`, its children, theirs, and so on.
///
/// # Errors
/// Where /proc can't be read.
pub(crate) fn descendants(first: u32) -> Result<Vec<u32>> {
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let parents: Vec<(u32, u32)> = all()?.into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![first];
    let mut next = 0;
    while let Some(&one) = found.get(next) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == one).map(|(pid, _)| *pid));
        next += 1;
    }
    Ok(found)
}

/// The processes that /proc shows.
fn all() -> Result<Vec<u32>> {
    let entries = fs::read_dir("/proc").or_fail("list", "/proc")?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// Sends any signal number to a process; one that has ended needs none.
///
/// # Errors
/// Those of pidfd_send_signal(2).
pub(crate) fn signal(pid: u32, signal: i32) -> Result<()> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let sent = rustix::process::pidfd_open(pid, PidfdFlags::empty())
        .map_err(std::io::Error::from)
        .and_then(|pidfd| sys::process::pidfd_signal(pidfd.as_fd(), signal));
    match sent {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        other => other.or_fail("signal", format!("process {pid}")),
    }
}

/// Waits for the end of a child.
///
/// # Errors
/// Those of waitid(2).
pub(crate) fn reap(pidfd: &OwnedFd) -> rustix::io::Result<()> {
    let wait = || rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
    rustix::io::retry_on_intr(wait).map(drop)
}

#[cfg(test)]
mod tests {
    use super::{descendants, in_pid_namespace_of};

    #[test]
    fn who_belongs_together() {
        let own = std::process::id();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let (tree, namespace) = (descendants(own).unwrap(), in_pid_namespace_of(own).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        for pid in [own, child.id()] {
            assert!(tree.contains(&pid) && namespace.contains(&pid), "{pid}");
        }
        assert!(!tree.contains(&1));
    }
}
