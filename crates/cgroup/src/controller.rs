use std::fmt;

use serde::{Deserialize, Serialize};

/// A controller (v1 calls it subsystem), or v1's named hierarchy of systemd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the names are the kernel's
pub enum Controller {
    Cpuset,
    Devices,
    Memory,
    Cpu,
    Cpuacct,
    Pids,
    Blkio,
    Hugetlb,
    NetCls,
    NetPrio,
    PerfEvent,
    Freezer,
    Rdma,
    Misc,
    #[serde(rename = "name=systemd")]
    Systemd,
}

impl Controller {
    /// Every controller, in the order in which runc joins them.
    pub const ALL: [Self; 15] = [
        Self::Cpuset,
        Self::Devices,
        Self::Memory,
        Self::Cpu,
        Self::Cpuacct,
        Self::Pids,
        Self::Blkio,
        Self::Hugetlb,
        Self::NetCls,
        Self::NetPrio,
        Self::PerfEvent,
        Self::Freezer,
        Self::Rdma,
        Self::Misc,
        Self::Systemd,
    ];

    /// The name in `/proc/PID/cgroup` of v1.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpuset => "cpuset",
            Self::Devices => "devices",
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Pids => "pids",
            Self::Blkio => "blkio",
            Self::Hugetlb => "hugetlb",
            Self::NetCls => "net_cls",
            Self::NetPrio => "net_prio",
            Self::PerfEvent => "perf_event",
            Self::Freezer => "freezer",
            Self::Rdma => "rdma",
            Self::Misc => "misc",
            Self::Systemd => "name=systemd",
        }
    }

    /// The controller with this v1 name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|controller| controller.name() == name)
    }

    /// The name in `cgroup.controllers` of v2, where blkio has become io.
    pub(crate) const fn unified_name(self) -> &'static str {
        match self {
            Self::Blkio => "io",
            other => other.name(),
        }
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_state_files_are_the_kernels() {
        for controller in Controller::ALL {
            assert_eq!(serde_json::to_value(controller).unwrap(), controller.name());
            assert_eq!(Controller::from_name(controller.name()), Some(controller));
        }
        assert_eq!(Controller::from_name("io"), None);
    }
}
