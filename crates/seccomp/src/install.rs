//! Puts a filter into force, and asks what the kernel knows.

use std::io;
use std::os::fd::OwnedFd;

use oci::spec::seccomp::SeccompAction;
use sys::seccomp::{FilterFlags, action_available, flags_available, set_mode_filter};
use thiserror::Error;

use crate::action::{RETURN_VALUES, return_value};
use crate::bpf::{Program, code};
use crate::compile::Filter;

/// The flags that a profile may name.
const FLAGS: [(&str, FilterFlags); 4] = [
    ("SECCOMP_FILTER_FLAG_TSYNC", FilterFlags::TSYNC),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", FilterFlags::SPEC_ALLOW),
    ("SECCOMP_FILTER_FLAG_LOG", FilterFlags::LOG),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", FilterFlags::WAIT_KILLABLE_RECV),
];

/// Why a filter is not in force.
#[derive(Debug, Error)]
pub enum InstallError {
    /// The kernel lacks a flag.
    #[error("seccomp: this kernel does not know the flag {0}")]
    Flag(&'static str),
    /// The kernel lacks an action.
    #[error("seccomp: this kernel does not know the action SECCOMP_RET_{0}")]
    Action(&'static str),
    /// `WAIT_KILLABLE_RECV` without notification.
    #[error("seccomp: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule with SCMP_ACT_NOTIFY")]
    NothingToReceive,
    /// `EACCES`.
    #[error("seccomp: a filter needs CAP_SYS_ADMIN or no_new_privs")]
    Privilege,
    /// `EBUSY`.
    #[error("seccomp: a filter above this one already has a listener, a process can only have one")]
    SecondListener,
    /// Everything else.
    #[error("seccomp: install filter of {instructions} instructions")]
    Other {
        /// The length of the program.
        instructions: usize,
        /// The cause.
        #[source]
        cause: io::Error,
    },
}

impl Filter {
    /// Puts the calling thread under this filter, for good. Returns the listener of a filter that notifies.
    ///
    /// Allocates only after a failure, so that it may run between clone and exec.
    ///
    /// # Errors
    /// The kernel refuses; the error names what it lacks.
    pub fn install(&self) -> Result<Option<OwnedFd>, InstallError> {
        set_mode_filter(self.program().instructions(), self.flags()).map_err(|cause| self.explain(cause))
    }

    fn explain(&self, cause: io::Error) -> InstallError {
        match cause.raw_os_error() {
            Some(libc::EACCES) => InstallError::Privilege,
            Some(libc::EBUSY) => InstallError::SecondListener,
            Some(libc::EINVAL) => self
                .missing()
                .unwrap_or(InstallError::Other { instructions: self.program().instructions().len(), cause }),
            _ => InstallError::Other { instructions: self.program().instructions().len(), cause },
        }
    }

    /// What the filter needs and the kernel lacks.
    fn missing(&self) -> Option<InstallError> {
        if self.flags().contains(FilterFlags::WAIT_KILLABLE_RECV) && !self.notifies() {
            return Some(InstallError::NothingToReceive);
        }
        let lacks = |(_, flag): &&(&str, FilterFlags)| self.flags().contains(*flag) && !flag_supported(*flag);
        if let Some((name, _)) = FLAGS.iter().find(lacks) {
            return Some(InstallError::Flag(name));
        }
        let unknown =
            |(value, _): &&(u32, &str)| returns(self.program(), *value) && !action_available(*value);
        RETURN_VALUES.iter().find(unknown).map(|(_, name)| InstallError::Action(name))
    }
}

/// Whether the program can return an action.
fn returns(program: &Program, value: u32) -> bool {
    let mut instructions = program.instructions().iter();
    instructions.any(|one| one.code == code::RETURN && one.k & libc::SECCOMP_RET_ACTION_FULL == value)
}

fn flag_supported(flag: FilterFlags) -> bool {
    match flag {
        FilterFlags::WAIT_KILLABLE_RECV => flags_available(flag | FilterFlags::NEW_LISTENER),
        _ => flags_available(flag),
    }
}

/// The flag of a name in a profile.
pub(crate) fn flag(name: &str) -> Option<FilterFlags> {
    FLAGS.iter().find(|(known, _)| *known == name).map(|(_, flag)| *flag)
}

/// The names of flags that a profile may use.
pub fn known_flags() -> impl Iterator<Item = &'static str> {
    FLAGS.iter().map(|(name, _)| *name)
}

/// Those of [`known_flags`] that this kernel knows too.
pub fn supported_flags() -> impl Iterator<Item = &'static str> {
    FLAGS.iter().filter(|(_, flag)| flag_supported(*flag)).map(|(name, _)| *name)
}

/// Whether this kernel can carry out an action.
pub fn supports_action(action: SeccompAction) -> bool {
    action_available(return_value(action))
}
