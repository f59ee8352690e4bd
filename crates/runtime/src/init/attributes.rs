//! What a process is given besides its namespaces: keyring, labels, filter.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sys::sched::SchedAttr;

use super::Init;
use crate::failure::{Failure, OrFail, Result};
use crate::plan::Lsm;
use crate::protocol::FromInit;

/// A keyring of the container's own, or the program could read the keys of whoever called the runtime.
pub(super) fn join_keyring(name: &CStr) -> Result<()> {
    match sys::process::join_session_keyring(name) {
        // Without CONFIG_KEYS there is nothing to hide.
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        // Whom a filter keeps from all keyrings, as within a container, needs none: his programs can't reach one either.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) && is_filtered() => Ok(()),
        Err(error) => Err(Failure::new("join session keyring", name.to_string_lossy(), error)
            .hint("use --no-new-keyring where the host's key quota is used up")),
        // A keyring that another user owns gives no permissions, and needs none.
        Ok(key) => match sys::process::allow_user_on_key(key) {
            Err(error) if error.raw_os_error() != Some(libc::EACCES) => {
                Err(Failure::new("set permissions of keyring", key, error))
            }
            _ => Ok(()),
        },
    }
}

fn is_filtered() -> bool {
    rustix::thread::secure_computing_mode() == Ok(rustix::thread::SecureComputingMode::Filter)
}

/// A refusal is no failure: the process keeps the CPUs that its caller had.
pub(super) fn use_all_cpus() -> Result<()> {
    let _ = sys::sched::use_all_cpus();
    Ok(())
}

pub(super) fn set_scheduler(attr: SchedAttr) -> Result<()> {
    sys::sched::set_scheduler(attr).or_fail("set", "the scheduler").map_err(|failure| {
        if failure.is(Errno::PERM) {
            failure.hint(
                "process scheduler can't be used together with AllowedCPUs (linux.resources.cpu.cpus) where its policy \
                 is SCHED_DEADLINE, and needs CAP_SYS_NICE",
            )
        } else {
            failure
        }
    })
}

impl Init<'_> {
    /// Lowering needs CAP_SYS_RESOURCE on the host; without it the process keeps what it has.
    pub(super) fn oom_score(&self, score: i32) -> Result<()> {
        match self.write_proc("self/oom_score_adj", score.to_string().as_bytes()) {
            Err(failure) if failure.is(Errno::ACCESS) || failure.is(Errno::PERM) => Ok(()),
            other => other,
        }
    }

    pub(super) fn exec_label(&self, lsm: Lsm, label: &str) -> Result<()> {
        match lsm {
            Lsm::SeLinux => self.write_proc("thread-self/attr/exec", label.as_bytes()),
            Lsm::AppArmor => {
                let value = format!("exec {label}");
                // The older file serves kernels before 5.8, where each module has no directory of its own.
                let written = match self.write_proc("thread-self/attr/apparmor/exec", value.as_bytes()) {
                    Err(failure) if failure.is(Errno::NOENT) => {
                        self.write_proc("thread-self/attr/exec", value.as_bytes())
                    }
                    other => other,
                };
                written.map_err(|failure| Failure {
                    operation: "apply apparmor profile".into(),
                    object: label.into(),
                    ..failure
                })
            }
        }
    }

    /// The filter's listener, where it has one, goes to the parent before anything is called that it may stop.
    pub(super) fn seccomp(&mut self) -> Result<()> {
        let Some(filter) = self.filter.take() else { return Ok(()) };
        let listener =
            filter.install().map_err(|error| Failure::because("install", "the seccomp filter", error))?;
        let Some(listener) = listener else { return Ok(()) };
        self.parent()?
            .ask(&FromInit::Notify(listener.as_raw_fd()))
            .or_fail("hand over", "the seccomp listener")
    }

    /// Opens again what a path descriptor is, with other flags: no path is walked that anybody could change.
    pub(super) fn reopen(&self, fd: &OwnedFd, flags: OFlags) -> Result<OwnedFd> {
        let path = format!("self/fd/{}", fd.as_raw_fd());
        rustix::fs::openat(self.proc()?, &*path, flags | OFlags::CLOEXEC, Mode::empty())
            .or_fail("open", format!("/proc/{path}"))
    }
}
