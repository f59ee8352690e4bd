//! Actions as the kernel takes them.

use oci::spec::seccomp::{Seccomp, SeccompAction, SeccompRule};

use crate::compile::CompileError;

/// Errnos end here: the kernel takes `MAX_ERRNO` for anything greater.
const MAX_ERRNO: u32 = 4095;

/// What a filter returns for calls that are newer than the profile.
pub(crate) const NO_SUCH_CALL: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// The names of actions that a filter returns, without their data.
pub(crate) const RETURN_VALUES: [(u32, &str); 8] = [
    (libc::SECCOMP_RET_KILL_PROCESS, "KILL_PROCESS"),
    (libc::SECCOMP_RET_KILL_THREAD, "KILL_THREAD"),
    (libc::SECCOMP_RET_TRAP, "TRAP"),
    (libc::SECCOMP_RET_ERRNO, "ERRNO"),
    (libc::SECCOMP_RET_USER_NOTIF, "NOTIFY"),
    (libc::SECCOMP_RET_TRACE, "TRACE"),
    (libc::SECCOMP_RET_LOG, "LOG"),
    (libc::SECCOMP_RET_ALLOW, "ALLOW"),
];

/// `SECCOMP_RET_…` of an action, without data.
pub(crate) const fn return_value(action: SeccompAction) -> u32 {
    match action {
        SeccompAction::Kill | SeccompAction::KillThread => libc::SECCOMP_RET_KILL_THREAD,
        SeccompAction::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        SeccompAction::Trap => libc::SECCOMP_RET_TRAP,
        SeccompAction::Errno => libc::SECCOMP_RET_ERRNO,
        SeccompAction::Trace => libc::SECCOMP_RET_TRACE,
        SeccompAction::Allow => libc::SECCOMP_RET_ALLOW,
        SeccompAction::Log => libc::SECCOMP_RET_LOG,
        SeccompAction::Notify => libc::SECCOMP_RET_USER_NOTIF,
    }
}

/// The value of a profile's default action.
pub(crate) fn default_value(profile: &Seccomp) -> Result<u32, CompileError> {
    if profile.default_action == SeccompAction::Notify {
        return Err(CompileError::NotifyByDefault);
    }
    value(profile.default_action, profile.default_errno_ret, || "linux.seccomp.defaultErrnoRet".into())
}

/// The value of a rule's action.
pub(crate) fn rule_value(at: usize, rule: &SeccompRule) -> Result<u32, CompileError> {
    value(rule.action, rule.errno_ret, || format!("linux.seccomp.syscalls[{at}].errnoRet"))
}

/// The action with its data, `EPERM` where an errno is due and none is given.
fn value(action: SeccompAction, data: Option<u32>, path: impl Fn() -> String) -> Result<u32, CompileError> {
    let max = match action {
        SeccompAction::Errno => MAX_ERRNO,
        SeccompAction::Trace => u16::MAX.into(),
        _ if data.is_none() => return Ok(return_value(action)),
        _ => return Err(CompileError::ErrnoUnused { path: path(), action }),
    };
    match data.unwrap_or(libc::EPERM as u32) {
        errno if errno <= max => Ok(return_value(action) | errno),
        errno => Err(CompileError::ErrnoRange { path: path(), errno, max }),
    }
}
