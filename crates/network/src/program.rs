//! The program beside a container, found again after a SIGKILL of whoever started it. It should end with its parent
//! (`PR_SET_PDEATHSIG`), but the kernel forgets that wish where a security module changes who a program is when it is
//! executed (prctl(2)), as AppArmor's profile of pasta does.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::{Error, Result, disk};

/// Writes down who the calling process is, which is about to execute the program; false where it can't.
pub(crate) fn note_self(note: &Path) -> bool {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let Ok(Some(start)) = sys::process::start_time(pid) else { return false };
    disk::remove(note).is_ok() && disk::note(note, &format!("{pid} {start}")).is_ok_and(|made| made)
}

/// Ends the program that the note tells of, if it still runs, and forgets it.
///
/// # Errors
/// Where the note can't be read, or the program not be signalled.
pub(crate) fn end_noted(note: &Path) -> Result<()> {
    let Some(text) = disk::noted(note)? else { return Ok(()) };
    let fail = |errno: Errno| Error::kernel("end", "the program that connected the container", errno);
    if let Some((pid, start)) = parse(&text) {
        match pidfd_open(pid, PidfdFlags::empty()) {
            // The number is this process's own as long as the descriptor is open.
            Ok(pidfd) if sys::process::start_time(pid.as_raw_nonzero().get()).ok() == Some(Some(start)) => {
                let sent = sys::process::pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
                let ended = || poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None);
                match sent {
                    Ok(()) => drop(rustix::io::retry_on_intr(ended).map_err(fail)?),
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    Err(error) => return Err(fail(Errno::from_io_error(&error).unwrap_or(Errno::PERM))),
                }
            }
            Ok(_) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(fail(errno)),
        }
    }
    disk::remove(note)
}

fn parse(note: &str) -> Option<(Pid, u64)> {
    let (pid, start) = note.split_once(' ')?;
    Some((Pid::from_raw(pid.parse().ok()?)?, start.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_noted_is_ended_and_nobody_else() {
        let bed = tempfile::tempdir().unwrap();
        let note = bed.path().join("program");
        end_noted(&note).unwrap();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = child.id() as i32;
        let start = sys::process::start_time(pid).unwrap().unwrap();
        // The number is another's by now.
        assert!(disk::note(&note, &format!("{pid} {}", start + 1)).unwrap());
        end_noted(&note).unwrap();
        assert!(child.try_wait().unwrap().is_none());
        assert!(disk::note(&note, &format!("{pid} {start}")).unwrap());
        end_noted(&note).unwrap();
        assert_eq!(disk::noted(&note).unwrap(), None);
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}
