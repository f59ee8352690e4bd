//! `process`.

use serde::{Deserialize, Serialize};

use super::{is_default, nullable};

/// The container's process, or one that `exec` adds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Process {
    /// Whether a pseudo terminal is made.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub terminal: bool,
    /// Size of the terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<ConsoleSize>,
    /// Who runs.
    #[serde(deserialize_with = "nullable")]
    pub user: User,
    /// `argv`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Windows' command line; no meaning on Linux.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub command_line: String,
    /// Environment, `NAME=value`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Working directory, absolute in the container.
    #[serde(deserialize_with = "nullable")]
    pub cwd: String,
    /// The five capability sets; absent leaves none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// Resource limits of setrlimit(2).
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub rlimits: Vec<Rlimit>,
    /// `no_new_privs` of prctl(2).
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub no_new_privileges: bool,
    /// AppArmor profile for the program.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub apparmor_profile: String,
    /// Badness of the OOM killer, -1000 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// CPU scheduling policy and its parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// SELinux context for the program.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub selinux_label: String,
    /// I/O scheduling class and priority.
    #[serde(rename = "ioPriority", skip_serializing_if = "Option::is_none")]
    pub io_priority: Option<IoPriority>,
    /// CPU affinity while `exec` joins, and of the program.
    #[serde(rename = "execCPUAffinity", skip_serializing_if = "Option::is_none")]
    pub exec_cpu_affinity: Option<CpuAffinity>,
}

/// Rows and columns of a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsoleSize {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

/// User, groups and umask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct User {
    /// User id in the container.
    #[serde(deserialize_with = "nullable")]
    pub uid: u32,
    /// Group id in the container.
    #[serde(deserialize_with = "nullable")]
    pub gid: u32,
    /// File mode creation mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// Supplementary groups.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub additional_gids: Vec<u32>,
    /// Windows' user name; no meaning on Linux.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub username: String,
}

/// The five capability sets by name, `CAP_…`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// What execve(2) can ever give.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub bounding: Vec<String>,
    /// What the kernel checks.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub effective: Vec<String>,
    /// What passes through execve(2) of files that inherit.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub inheritable: Vec<String>,
    /// What may be made effective.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub permitted: Vec<String>,
    /// What passes through execve(2) of ordinary files.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub ambient: Vec<String>,
}

/// One limit of setrlimit(2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rlimit {
    /// `RLIMIT_…`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Ceiling of the soft limit; `u64::MAX` is unlimited.
    pub hard: u64,
    /// What the kernel enforces.
    pub soft: u64,
}

/// Parameters of sched_setattr(2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scheduler {
    /// `SCHED_OTHER`, `SCHED_FIFO`, …
    pub policy: String,
    /// For `SCHED_OTHER` and `SCHED_BATCH`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub nice: i32,
    /// For `SCHED_FIFO` and `SCHED_RR`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub priority: i32,
    /// `SCHED_FLAG_…`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub runtime: u64,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub deadline: u64,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    pub period: u64,
}

/// Parameters of ioprio_set(2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IoPriority {
    /// `IOPRIO_CLASS_RT`, `IOPRIO_CLASS_BE` or `IOPRIO_CLASS_IDLE`.
    #[serde(rename = "class")]
    pub class: String,
    /// 0 (highest) to 7.
    #[serde(deserialize_with = "nullable")]
    pub priority: i32,
}

/// CPU lists of `exec`, in the kernel's list format (`0-3,7`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuAffinity {
    /// Before the process enters the container's cgroup.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub initial: String,
    /// After.
    #[serde(rename = "final", deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub last: String,
}
