//! Whether a process is still the one that it was.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};

use crate::failure::{OrFail, Result};

/// The start time of a process in clock ticks since boot; none where it is gone or a zombie (proc(5), fields 3 and 22
/// of /proc/PID/stat).
///
/// # Errors
/// Where it can't be read for another reason: nobody may be taken for dead because descriptors ran out.
pub(crate) fn start_time(pid: i32) -> Result<Option<u64>> {
    let path = format!("/proc/{pid}/stat");
    match fs::read_to_string(&path) {
        Ok(stat) => Ok(start_time_in(&stat)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(None),
        Err(error) => Err(error).or_fail_at("read", path),
    }
}

fn start_time_in(stat: &str) -> Option<u64> {
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
    use super::{start_time, start_time_in};

    #[test]
    fn ones_own_start_time_is_known_and_nobodys_is_not() {
        let own = std::process::id() as i32;
        let time = start_time(own).unwrap();
        assert!(time.is_some_and(|time| time > 0));
        assert_eq!(start_time(own).unwrap(), time);
        assert_eq!(start_time(0).unwrap(), None);
    }

    #[test]
    fn a_name_in_parentheses_hides_nothing_and_a_zombie_is_gone() {
        let fields = (4..22).map(|field| field.to_string()).collect::<Vec<_>>().join(" ");
        let stat = |state: &str| format!("7 (a) b) {state} {fields} 4711 0");
        assert_eq!(start_time_in(&stat("S")), Some(4711));
        assert_eq!(start_time_in(&stat("Z")), None);
        assert_eq!(start_time_in(""), None);
    }
}
