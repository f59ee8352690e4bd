//! Who is in the namespaces: a file with a line for each process, under a lock.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::process::Pid;

use crate::{Error, Namespaces};

/// Ends the line of a container's first process.
const PAYLOAD: &str = " payload";
/// Above this many bytes the dead are looked for in all of the file, not only up to the first that lives.
const LARGE: usize = 64 << 10;

/// The list, locked. Nobody enters or makes the namespaces meanwhile.
#[derive(Debug)]
pub struct Members {
    path: PathBuf,
    file: File,
}

impl Members {
    /// Takes the lock of the list in `dir`; waits for whoever is entering.
    ///
    /// # Errors
    /// Where the directory can't be made or used.
    pub fn lock(dir: &Path) -> Result<Members, Error> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(dir).map_err(|error| Error::io("make", dir, error))?;
        let path = dir.join("members");
        let mut options = File::options();
        options.read(true).append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(&path).map_err(|error| Error::io("open", &path, error))?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockExclusive))
            .map_err(|errno| Error::io("lock", &path, errno))?;
        Ok(Members { path, file })
    }

    /// Writes a process down that is inside.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn add(&self, pid: Pid) -> Result<(), Error> {
        self.add_line(pid, "")
    }

    /// Writes a container's first process down, which has a mount namespace of its own: when its monitor was killed, it
    /// is the way back to the only user namespace from which it can be killed too.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn add_payload(&self, pid: Pid) -> Result<(), Error> {
        self.add_line(pid, PAYLOAD)
    }

    fn add_line(&self, pid: Pid, mark: &str) -> Result<(), Error> {
        let start = start_time(pid).unwrap_or_default();
        (&self.file)
            .write_all(format!("{} {start}{mark}\n", pid.as_raw_nonzero()).as_bytes())
            .map_err(|error| Error::io("write", &self.path, error))
    }

    /// The namespaces, where somebody is inside. Those who died are struck off.
    pub(crate) fn namespaces(&self) -> Result<Option<Namespaces>, Error> {
        let text = self.read()?;
        let lines: Vec<&str> = text.lines().collect();
        let (payloads, members): (Vec<&str>, Vec<&str>) =
            lines.iter().partition(|line| line.ends_with(PAYLOAD));
        let (mut kept, mut found) = up_to_the_living(&members);
        let (more, by_payload) = if found.is_none() { up_to_the_living(&payloads) } else { (payloads, None) };
        found = found.or(by_payload);
        kept.extend(more);
        if text.len() > LARGE {
            kept.retain(|line| living(line).is_some());
        }
        if kept.len() < lines.len() {
            self.write(&kept)?;
        }
        Ok(found)
    }

    fn read(&self) -> Result<String, Error> {
        let mut text = String::new();
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.read_to_string(&mut text))
            .map_err(|error| Error::io("read", &self.path, error))?;
        Ok(text)
    }

    /// Written in place: it is the file that is locked. Whoever is killed in between leaves fewer lines, or half of one,
    /// which is nobody's.
    fn write(&self, lines: &[&str]) -> Result<(), Error> {
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        let fail = |error| Error::io("write", &self.path, error);
        let file = File::options().write(true).open(&self.path).map_err(fail)?;
        file.write_all_at(text.as_bytes(), 0).and_then(|()| file.set_len(text.len() as u64)).map_err(fail)
    }
}

impl AsFd for Members {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The lines from the first on whose process lives, and its namespaces.
fn up_to_the_living<'a>(lines: &[&'a str]) -> (Vec<&'a str>, Option<Namespaces>) {
    for (dead, line) in lines.iter().enumerate() {
        let found = living(line).and_then(|pid| {
            let namespaces = Namespaces::of(pid, !line.ends_with(PAYLOAD)).ok()?;
            // Its number could have become another's in between.
            living(line).map(|_| namespaces)
        });
        if found.is_some() {
            return (lines[dead..].to_vec(), found);
        }
    }
    (Vec::new(), None)
}

/// The process of a line, where it is still that one.
fn living(line: &str) -> Option<Pid> {
    let (pid, start) = line.strip_suffix(PAYLOAD).unwrap_or(line).split_once(' ')?;
    let pid = Pid::from_raw(pid.parse().ok()?)?;
    (start_time(pid)? == start.parse::<u64>().ok()?).then_some(pid)
}

/// When a process started; none for who is gone.
fn start_time(pid: Pid) -> Option<u64> {
    sys::process::start_time(pid.as_raw_nonzero().get()).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_are_struck_off_up_to_the_first_that_lives() {
        let bed = tempfile::tempdir().unwrap();
        let members = Members::lock(bed.path()).unwrap();
        assert!(members.namespaces().unwrap().is_none());
        members.add(rustix::process::getpid()).unwrap();
        let own = members.read().unwrap();
        members.write(&["1 1", "x", own.trim_end(), "2 2"]).unwrap();
        assert!(members.namespaces().unwrap().is_some());
        assert_eq!(members.read().unwrap(), format!("{own}2 2\n"));
        let payload = format!("{} payload", own.trim_end());
        members.write(&["1 1", &payload, own.trim_end()]).unwrap();
        assert!(members.namespaces().unwrap().unwrap().has_mount());
        members.write(&["1 1", "1 1 payload", &payload]).unwrap();
        assert!(!members.namespaces().unwrap().unwrap().has_mount());
        assert_eq!(members.read().unwrap(), format!("{payload}\n"));
        members.write(&["1 1", "7"]).unwrap();
        assert!(members.namespaces().unwrap().is_none());
        assert_eq!(members.read().unwrap(), "");
    }

    #[test]
    fn one_at_a_time() {
        let bed = tempfile::tempdir().unwrap();
        let members = Members::lock(bed.path()).unwrap();
        let second = File::open(bed.path().join("members")).unwrap();
        assert!(rustix::fs::flock(&second, FlockOperation::NonBlockingLockExclusive).is_err());
        drop(members);
        rustix::fs::flock(&second, FlockOperation::NonBlockingLockExclusive).unwrap();
    }
}
