//! What isolation denied, why, and what would allow it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A system call that isolation let fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// Seconds since 1970.
    pub at: u64,
    /// The process, by its number in its own pid namespace.
    pub pid: i32,
    /// The name of its thread.
    pub command: String,
    /// The system call.
    pub call: String,
    /// What it was about: a path, or arguments in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// What it returned: `EPERM`; empty where it succeeded without what it was made for.
    pub errno: String,
    /// What denied it.
    pub cause: Cause,
    /// The same in words.
    pub why: String,
    /// The flag of `run` that would allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_by: Option<String>,
}

/// What denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The filter of system calls.
    Seccomp,
    /// A capability that the process lacks.
    Capability,
    /// A capability that counts in the container's user namespace alone.
    UserNamespace,
    /// An id without a name in the container's user namespace.
    IdMap,
    /// A mount that is read-only.
    ReadOnly,
    /// A mount without programs, devices or set-user-id.
    MountFlags,
    /// The control group's rules for devices.
    Devices,
    /// The control group's limit of processes.
    Pids,
    /// A limit of setrlimit(2).
    Ulimit,
    /// exec gives no privileges.
    NoNewPrivileges,
    /// Permission bits, of a file that is another user's.
    Permissions,
    /// A limit of namespaces.
    NamespaceLimit,
    /// AppArmor, SELinux or another module, or a reason that can't be seen from outside.
    Other,
}

impl Denial {
    /// Whether it says the same of another process or at another time.
    pub fn is_like(&self, other: &Denial) -> bool {
        (&self.command, &self.call, &self.object, &self.errno, self.cause)
            == (&other.command, &other.call, &other.object, &other.errno, other.cause)
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Denial { pid, command, call, object, errno, why, .. } = self;
        write!(f, "{command} (pid {pid}): {call}({object})")?;
        match errno.as_str() {
            "" => write!(f, ": {why}")?,
            errno => write!(f, " failed with {errno}: {why}")?,
        }
        match &self.allowed_by {
            Some(flag) => write!(f, "; allowed by {flag}"),
            None => Ok(()),
        }
    }
}
