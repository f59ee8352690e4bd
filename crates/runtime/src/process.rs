//! Whether a process is still the one that it was.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};

use crate::failure::{OrFail, Result};

/// The start time of a process in clock ticks since boot; none where it is gone or a zombie (proc(5), fields 3 and 22
/// of /proc/PID/stat).
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, also a parenthesis.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    match fields.next()? {
        "Z" | "X" | "x" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
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
    use super::start_time;

    #[test]
    fn ones_own_start_time_is_known_and_nobodys_is_not() {
        let own = std::process::id() as i32;
        assert!(start_time(own).is_some_and(|time| time > 0));
        assert_eq!(start_time(own), start_time(own));
        assert_eq!(start_time(0), None);
    }
}
