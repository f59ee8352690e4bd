//! `linux.seccomp` of a runtime configuration.
//!
//! Source: runtime-spec 1.3, config-linux.md, "Seccomp".

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// A seccomp profile: what happens on each system call of the container.
///
/// Architectures and flags stay strings: which of them exist is for the compiler to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seccomp {
    /// What happens on a call that no rule matches.
    pub default_action: SeccompAction,
    /// The errno (or trace message) of the default action; `EPERM` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_errno_ret: Option<u32>,
    /// Names of architectures (`SCMP_ARCH_X86_64`) that the profile covers beside the native one.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<String>,
    /// Names of flags of seccomp(2) (`SECCOMP_FILTER_FLAG_LOG`). Absent leaves the choice to the
    /// runtime, an empty list means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flags: Option<Vec<String>>,
    /// The unix socket of the agent that gets the notify descriptor.
    #[serde(default, skip_serializing_if = "is_blank")]
    pub listener_path: Option<String>,
    /// Opaque text for the agent.
    #[serde(default, skip_serializing_if = "is_blank")]
    pub listener_metadata: Option<String>,
    /// The rules.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub syscalls: Vec<SeccompRule>,
}

/// One rule: these calls, with these arguments, meet this action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeccompRule {
    /// Names of system calls; names that no architecture knows are ignored.
    pub names: Vec<String>,
    /// What happens on a match.
    pub action: SeccompAction,
    /// The errno (or trace message) of the action; `EPERM` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u32>,
    /// Conditions on arguments; none matches every call.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<SeccompArg>,
}

/// A comparison of one argument, as an unsigned 64-bit number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeccompArg {
    /// Which argument: 0 to 5.
    pub index: u32,
    /// What it is compared with; the mask of [`SeccompOp::MaskedEq`].
    pub value: u64,
    /// What the masked argument of [`SeccompOp::MaskedEq`] is compared with.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub value_two: u64,
    /// The comparison.
    pub op: SeccompOp,
}

/// What happens on a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SeccompAction {
    /// An older name of [`SeccompAction::KillThread`].
    #[serde(rename = "SCMP_ACT_KILL")]
    Kill,
    /// Kill the process by `SIGSYS`.
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    /// Kill the calling thread by `SIGSYS`.
    #[serde(rename = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    /// Send `SIGSYS` to the thread, which may handle it.
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    /// Fail the call with an errno.
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    /// Ask a tracer; without one the call fails with `ENOSYS`.
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    /// Let the call through.
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    /// Let the call through and log it.
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    /// Ask the listener.
    #[serde(rename = "SCMP_ACT_NOTIFY")]
    Notify,
}

impl SeccompAction {
    /// Every action, in the order of the specification.
    pub const ALL: [Self; 9] = [
        Self::Kill,
        Self::KillProcess,
        Self::KillThread,
        Self::Trap,
        Self::Errno,
        Self::Trace,
        Self::Allow,
        Self::Log,
        Self::Notify,
    ];

    /// The name in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "SCMP_ACT_KILL",
            Self::KillProcess => "SCMP_ACT_KILL_PROCESS",
            Self::KillThread => "SCMP_ACT_KILL_THREAD",
            Self::Trap => "SCMP_ACT_TRAP",
            Self::Errno => "SCMP_ACT_ERRNO",
            Self::Trace => "SCMP_ACT_TRACE",
            Self::Allow => "SCMP_ACT_ALLOW",
            Self::Log => "SCMP_ACT_LOG",
            Self::Notify => "SCMP_ACT_NOTIFY",
        }
    }
}

impl fmt::Display for SeccompAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How an argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SeccompOp {
    /// Differs from the value.
    #[serde(rename = "SCMP_CMP_NE")]
    Ne,
    /// Is less than the value.
    #[serde(rename = "SCMP_CMP_LT")]
    Lt,
    /// Is less than the value or equal.
    #[serde(rename = "SCMP_CMP_LE")]
    Le,
    /// Equals the value.
    #[serde(rename = "SCMP_CMP_EQ")]
    Eq,
    /// Is greater than the value or equal.
    #[serde(rename = "SCMP_CMP_GE")]
    Ge,
    /// Is greater than the value.
    #[serde(rename = "SCMP_CMP_GT")]
    Gt,
    /// Masked by the value, equals the second value.
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEq,
}

impl SeccompOp {
    /// Every comparison, in the order of the specification.
    pub const ALL: [Self; 7] = [Self::Ne, Self::Lt, Self::Le, Self::Eq, Self::Ge, Self::Gt, Self::MaskedEq];

    /// The name in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ne => "SCMP_CMP_NE",
            Self::Lt => "SCMP_CMP_LT",
            Self::Le => "SCMP_CMP_LE",
            Self::Eq => "SCMP_CMP_EQ",
            Self::Ge => "SCMP_CMP_GE",
            Self::Gt => "SCMP_CMP_GT",
            Self::MaskedEq => "SCMP_CMP_MASKED_EQ",
        }
    }
}

/// Callers written in Go send `null` where they mean an empty list.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// An empty string means the same as none.
fn is_blank(text: &Option<String>) -> bool {
    text.as_deref().is_none_or(str::is_empty)
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_specification() {
        for action in SeccompAction::ALL {
            assert_eq!(serde_json::to_value(action).unwrap(), action.name());
        }
        for op in SeccompOp::ALL {
            assert_eq!(serde_json::to_value(op).unwrap(), op.name());
        }
    }

    #[test]
    fn reads_a_full_profile_and_writes_the_same() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,
            "architectures":["SCMP_ARCH_X86_64"],"flags":["SECCOMP_FILTER_FLAG_LOG"],
            "listenerPath":"/run/agent.sock","listenerMetadata":"x","syscalls":[
            {"names":["personality"],"action":"SCMP_ACT_NOTIFY","errnoRet":1,
             "args":[{"index":0,"value":18446744073709551615,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#;
        let profile: Seccomp = serde_json::from_str(text).unwrap();
        assert_eq!(profile.syscalls[0].args[0].value, u64::MAX);
        let again: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_value(&profile).unwrap(), again);
    }

    #[test]
    fn null_lists_are_empty() {
        let profile: Seccomp = serde_json::from_str(
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":null,"flags":null,"syscalls":null}"#,
        )
        .unwrap();
        assert!(profile.architectures.is_empty() && profile.flags.is_none() && profile.syscalls.is_empty());
    }

    #[test]
    fn an_unknown_action_or_comparison_is_named() {
        let error = serde_json::from_str::<SeccompAction>(r#""SCMP_ACT_SHRUG""#).unwrap_err().to_string();
        assert!(error.contains("SCMP_ACT_SHRUG"), "{error}");
        let error = serde_json::from_str::<SeccompOp>(r#""SCMP_CMP_MAYBE""#).unwrap_err().to_string();
        assert!(error.contains("SCMP_CMP_MAYBE"), "{error}");
    }
}
