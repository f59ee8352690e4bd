//! The eight types of namespaces and their names.

use std::fmt;
use std::str::FromStr;

use rustix::thread::LinkNameSpaceType;

/// A type of namespace; namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    Mount,
    Uts,
    Ipc,
    User,
    Pid,
    Net,
    Cgroup,
    Time,
}

/// A text that names no type of namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown type of namespace \"{}\": expected mnt, uts, ipc, user, pid, net, cgroup or time",
    .0.escape_debug()
)]
pub struct UnknownKind(pub String);

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Mount, Self::Uts, Self::Ipc, Self::User, Self::Pid, Self::Net, Self::Cgroup, Self::Time];

    /// The flag that clone3(2), unshare(2) and setns(2) know it by.
    pub const fn clone_flag(self) -> u32 {
        self.setns_type() as u32
    }

    /// The type with this flag.
    pub fn from_clone_flag(flag: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.clone_flag() == flag)
    }

    /// The type as rustix's setns functions want it.
    pub const fn setns_type(self) -> LinkNameSpaceType {
        match self {
            Self::Mount => LinkNameSpaceType::Mount,
            Self::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
            Self::Ipc => LinkNameSpaceType::InterProcessCommunication,
            Self::User => LinkNameSpaceType::User,
            Self::Pid => LinkNameSpaceType::ProcessID,
            Self::Net => LinkNameSpaceType::Network,
            Self::Cgroup => LinkNameSpaceType::ControlGroup,
            Self::Time => LinkNameSpaceType::Time,
        }
    }

    /// The name of the file in /proc/PID/ns.
    pub const fn proc_name(self) -> &'static str {
        match self {
            Self::Mount => "mnt",
            Self::Uts => "uts",
            Self::Ipc => "ipc",
            Self::User => "user",
            Self::Pid => "pid",
            Self::Net => "net",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }

    /// The name in the OCI runtime specification, config-linux.md, "Namespaces".
    pub const fn oci_name(self) -> &'static str {
        match self {
            Self::Mount => "mount",
            Self::Net => "network",
            same => same.proc_name(),
        }
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    /// Takes the name in /proc or in the OCI specification.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.proc_name() == text || kind.oci_name() == text)
            .ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.proc_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_flags_lead_back() {
        for kind in Kind::ALL {
            assert_eq!(kind.proc_name().parse(), Ok(kind));
            assert_eq!(kind.oci_name().parse(), Ok(kind));
            assert_eq!(Kind::from_clone_flag(kind.clone_flag()), Some(kind));
        }
        assert_eq!("NET".parse::<Kind>(), Err(UnknownKind("NET".into())));
        assert_eq!(Kind::Mount.clone_flag(), 0x0002_0000);
        assert_eq!(Kind::Time.clone_flag(), 0x80);
    }
}
