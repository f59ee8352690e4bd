//! Resource limits of setrlimit(2).

use rustix::process::Pid;

use crate::failure::{Failure, OrFail, Result};
use crate::plan::RlimitPlan;

/// Sets a limit, for the caller or another process. Without CAP_SYS_RESOURCE a hard limit can't be raised: then the
/// process gets as much of it as there is, so that configurations written for other hosts start here too.
pub(crate) fn set(pid: Option<Pid>, limit: &RlimitPlan) -> Result<()> {
    let RlimitPlan { resource, name, soft, hard } = *limit;
    let refused = match sys::process::set_rlimit(pid, resource, soft, hard) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => error,
        other => return other.or_fail("set rlimit", name),
    };
    let (_, ceiling) = sys::process::rlimit(pid, resource).or_fail("get rlimit", name)?;
    if hard <= ceiling {
        return Err(Failure::new("set rlimit", name, refused));
    }
    sys::process::set_rlimit(pid, resource, soft.min(ceiling), ceiling).or_fail("set rlimit", name)
}
