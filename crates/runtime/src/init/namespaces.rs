//! Entering and making namespaces.

use std::io;
use std::os::fd::AsFd;

use namespace::TimeOffsets;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use sys::process::NamespaceFlags;

use super::Init;
use crate::failure::{Failure, OrFail, Result};

impl Init<'_> {
    /// Writes "0" into each file, which means the writer: the kernel then needs no lock that waits for all
    /// processes of the host, as it does for a pid (cgroup_procs_write_start in kernel/cgroup/cgroup.c).
    pub(crate) fn join_cgroups(&mut self) -> Result<()> {
        for file in self.cgroup_files.drain(..) {
            rustix::io::write(&file, b"0").or_fail("join", "cgroup")?;
        }
        Ok(())
    }

    /// The namespaces of the container's first process, all at once: in whatever user namespaces they are, the
    /// caller's privileges over all of them are checked before any is entered.
    pub(super) fn join_container(&mut self, flags: NamespaceFlags) -> Result<()> {
        // Members of the container see this process from now on.
        hide_memory()?;
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let container = self.container.take().ok_or_else(gone).or_fail("join", "container")?;
        sys::process::setns(container.as_fd(), flags).or_fail("join", "the container's namespaces")
    }

    /// A time namespace's clocks can be set until its first member enters: so not by clone, but unshare, set, enter.
    pub(super) fn new_time(&mut self, offsets: &TimeOffsets) -> Result<()> {
        sys::process::unshare(NamespaceFlags::TIME).or_fail("unshare", "time namespace")?;
        let text = offsets.render();
        if !text.is_empty() {
            self.write_proc("self/timens_offsets", text.as_bytes())?;
        }
        let path = "self/ns/time_for_children";
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let own =
            rustix::fs::openat(self.proc()?, path, flags, Mode::empty()).or_fail("open /proc/", path)?;
        sys::process::setns(own.as_fd(), NamespaceFlags::TIME).or_fail("join", "time namespace")
    }

    /// Writes a file of the runtime's own /proc.
    pub(super) fn write_proc(&self, path: &str, value: &[u8]) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let object = || format!("/proc/{path}");
        let file = rustix::fs::openat(self.proc()?, path, flags, Mode::empty()).or_fail("open", object())?;
        match rustix::io::write(&file, value).or_fail("write", object())? {
            n if n == value.len() => Ok(()),
            n => Err(Failure::because("write", object(), format!("only {n} of {} bytes", value.len()))),
        }
    }
}

/// Others, also such with the same user and capabilities, can neither trace this process nor open what it has open by
/// way of /proc, up to its exec (CVE-2016-9962).
pub(crate) fn hide_memory() -> Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .or_fail("set", "dumpable")
}

/// Root of the user namespace: until then the process has no id in it, and nothing that it makes has an owner.
pub(crate) fn become_root() -> Result<()> {
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).or_fail("become", "group 0")?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).or_fail("become", "user 0")
}
