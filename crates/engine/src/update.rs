//! `update`: other limits and another restart policy for a container, running or not.

use std::collections::BTreeMap;

use crate::config::{Resources, RestartPolicy};
use crate::container::Container;
use crate::create::row;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::spec::{self, GROUPS_OF_USERS};

/// What is to change; what is 0, empty or absent stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateConfig {
    /// Limits.
    pub resources: Resources,
    /// The restart policy.
    pub restart_policy: Option<RestartPolicy>,
}

impl Engine {
    /// Changes limits and restart policy. Nothing is changed where the kernel refuses one.
    ///
    /// # Errors
    /// What contradicts what was asked for before, or is refused.
    pub fn update(&self, container: &Container, config: &UpdateConfig) -> Result<()> {
        let (lock, mut state) = self.lock(container)?;
        let Some(mut record) = lock.container()? else {
            return Err(Error::NoSuchContainer(container.name.clone()));
        };
        let host = &mut record.asked.host_config;
        if let Some(policy) = &config.restart_policy {
            let restarts = !matches!(policy.name.as_str(), "" | "no");
            if host.auto_remove && restarts {
                let cause =
                    "Restart policy cannot be updated because AutoRemove is enabled for the container";
                return Err(Error::Conflict(cause.to_owned()));
            }
            host.restart_policy = policy.clone();
        }
        merge(&mut host.resources, &config.resources)?;
        let limits = spec::limits(&config.resources, &BTreeMap::new())?;
        if state.status.is_active()
            && state.pid > 0
            && limits != oci::spec::resources::LinuxResources::default()
        {
            let payload = self.running_payload(&record)?;
            if !payload.has_cgroup() {
                let name = &container.name;
                return Err(Error::Unavailable(format!(
                    "cannot change limits of container {name}: it has no control group: {GROUPS_OF_USERS}"
                )));
            }
            payload.update(&limits)?;
        }
        state.row = row(&record);
        lock.write_container(&record)?;
        lock.write_state(&state)?;
        self.events().emit(&[record.event("update", [])]);
        Ok(())
    }
}

/// moby's rules of what may stand beside what.
fn merge(own: &mut Resources, change: &Resources) -> Result<()> {
    let conflict = |cause: &str| Err(Error::Conflict(cause.to_owned()));
    if change.nano_cpus > 0 && (own.cpu_period > 0 || own.cpu_quota > 0) {
        return conflict(
            "Conflicting options: Nano CPUs cannot be updated as CPU Period or Quota has already been set",
        );
    }
    if own.nano_cpus > 0 && (change.cpu_period > 0 || change.cpu_quota > 0) {
        return conflict(
            "Conflicting options: CPU Period and Quota cannot be updated as NanoCPUs has already been set",
        );
    }
    if change.memory != 0 && change.memory_swap == 0 && own.memory_swap > 0 && change.memory > own.memory_swap
    {
        return conflict(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        );
    }
    let numbers = [
        (&mut own.cpu_shares, change.cpu_shares),
        (&mut own.nano_cpus, change.nano_cpus),
        (&mut own.cpu_period, change.cpu_period),
        (&mut own.cpu_quota, change.cpu_quota),
        (&mut own.cpu_realtime_period, change.cpu_realtime_period),
        (&mut own.cpu_realtime_runtime, change.cpu_realtime_runtime),
        (&mut own.memory, change.memory),
        (&mut own.memory_swap, change.memory_swap),
        (&mut own.memory_reservation, change.memory_reservation),
    ];
    for (value, new) in numbers.into_iter().filter(|(_, new)| *new != 0) {
        *value = new;
    }
    for (value, new) in
        [(&mut own.cpuset_cpus, &change.cpuset_cpus), (&mut own.cpuset_mems, &change.cpuset_mems)]
    {
        if !new.is_empty() {
            value.clone_from(new);
        }
    }
    if change.blkio_weight != 0 {
        own.blkio_weight = change.blkio_weight;
    }
    own.pids_limit = change.pids_limit.or(own.pids_limit);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_replaces_and_what_contradicts_is_refused() {
        let mut own = Resources { memory: 10, memory_swap: 20, cpu_shares: 5, ..Resources::default() };
        merge(&mut own, &Resources { memory: 15, pids_limit: Some(3), ..Resources::default() }).unwrap();
        assert_eq!((own.memory, own.memory_swap, own.cpu_shares, own.pids_limit), (15, 20, 5, Some(3)));
        assert!(merge(&mut own, &Resources { memory: 30, ..Resources::default() }).is_err());
        let mut own = Resources { nano_cpus: 1, ..Resources::default() };
        assert!(merge(&mut own, &Resources { cpu_quota: 1, ..Resources::default() }).is_err());
    }
}
