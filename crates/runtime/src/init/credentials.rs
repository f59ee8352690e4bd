//! From root with all capabilities to the program's user.

use capability::ApplyError;
use rustix::fs::{Gid, Uid, makedev};
use rustix::io::Errno;

use super::Init;
use crate::failure::{Failure, OrFail, Result};
use crate::plan::Credentials;

impl Init<'_> {
    /// The order is that of the crate `capability`: each step needs what the next one takes away.
    pub(super) fn credentials(&mut self, wanted: &Credentials) -> Result<()> {
        let sets = &wanted.capabilities;
        own_stdio(wanted.uid)?;
        capability::drop_bounding(sets.bounding).map_err(refused)?;
        capability::keep_across_setuid(true).map_err(refused)?;
        set_groups(&wanted.groups)?;
        let (uid, gid) = (Uid::from_raw(wanted.uid), Gid::from_raw(wanted.gid));
        rustix::thread::set_thread_res_gid(gid, gid, gid)
            .or_fail("set gid to", wanted.gid)
            .map_err(|failure| unmapped(failure, "gid"))?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)
            .or_fail("set uid to", wanted.uid)
            .map_err(|failure| unmapped(failure, "uid"))?;
        // What root may not enter (on NFS with root squashed) the user may, and the other way round.
        if !self.in_working_directory && !self.process.cwd.is_empty() {
            self.enter_working_directory(&self.process.cwd)?;
            self.in_working_directory = true;
        }
        capability::keep_across_setuid(false).map_err(refused)?;
        capability::set_process_sets(sets.effective, sets.permitted, sets.inheritable).map_err(refused)?;
        capability::raise_ambient(sets.ambient).map_err(refused)?;
        Ok(())
    }

    /// Enters the directory and makes sure that it is inside: a descriptor that leaked from the host, reached by
    /// /proc/self/fd/N, would be a way out (CVE-2024-21626).
    pub(super) fn enter_working_directory(&self, path: &str) -> Result<()> {
        rustix::process::chdir(path)
            .or_fail("chdir to cwd", format!("({path:?}) set in config.json failed"))?;
        match rustix::process::getcwd(Vec::new()) {
            Ok(cwd) if cwd.as_bytes().starts_with(b"/") => Ok(()),
            _ => Err(Failure::because(
                "chdir to cwd",
                format!("({path:?})"),
                "current working directory is outside of container mount namespace root",
            )),
        }
    }
}

fn refused(error: ApplyError) -> Failure {
    Failure::because("apply", "capabilities", error)
}

fn unmapped(failure: Failure, what: &str) -> Failure {
    if failure.is(Errno::INVAL) {
        failure.hint(format!("this {what} has no mapping in the user namespace"))
    } else {
        failure
    }
}

/// Where setgroups(2) is denied (an unprivileged user namespace) no groups is what there is anyway.
fn set_groups(groups: &[u32]) -> Result<()> {
    let groups: Vec<_> = groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
    match rustix::thread::set_thread_groups(&groups) {
        Err(Errno::PERM) if groups.is_empty() => Ok(()),
        other => other.or_fail("set", "additional groups"),
    }
}

/// The program can open its own /dev/stdout again only if that is its own (runc's *fixStdioPermissions*).
fn own_stdio(uid: u32) -> Result<()> {
    for (name, fd) in [
        ("stdin", rustix::stdio::stdin()),
        ("stdout", rustix::stdio::stdout()),
        ("stderr", rustix::stdio::stderr()),
    ] {
        let Ok(stat) = rustix::fs::fstat(fd) else { continue };
        if stat.st_uid == uid || stat.st_rdev == makedev(1, 3) {
            continue;
        }
        match rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), None) {
            // Not ours to give: another user's, without a mapping here, or on a read-only file system.
            Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno).or_fail("chown", name),
        }
    }
    Ok(())
}
