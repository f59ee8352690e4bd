use oci::spec::resources::{BlockIo, Cpu, LinuxResources, Memory, ThrottleDevice, WeightDevice};

use super::nonzero;

/// What is in force after an update: `update` over `before`, by runc's rules.
///
/// Limits that are not named keep their value and are written again together with those that are (memory
/// with swap, quota with period), with these exceptions: what only an update can name (`cpus`, `mems`,
/// `idle`, `burst`, `pids`, `unified`) is written when the update has it, and devices are left alone.
/// The result is what to hand to [`Group::apply`](crate::Group::apply), and to keep for the next update.
pub fn merge(before: &LinuxResources, update: &LinuxResources) -> LinuxResources {
    LinuxResources {
        devices: Vec::new(),
        memory: Some(memory(before.memory.as_ref(), update.memory.as_ref())),
        cpu: Some(cpu(before.cpu.as_ref(), update.cpu.as_ref())),
        pids: update.pids.clone(),
        block_io: Some(block_io(before.block_io.as_ref(), update.block_io.as_ref())),
        unified: update.unified.clone(),
        ..before.clone()
    }
}

fn memory(before: Option<&Memory>, update: Option<&Memory>) -> Memory {
    let (before, update) = (before.cloned().unwrap_or_default(), update.cloned().unwrap_or_default());
    // "Unlimited memory" says so for swap too, whatever its limit was.
    let unlimited = update.limit == Some(-1) && update.swap.is_none();
    Memory {
        limit: update.limit.or(before.limit),
        reservation: update.reservation.or(before.reservation),
        swap: if unlimited { None } else { update.swap.or(before.swap) },
        check_before_update: update.check_before_update.or(before.check_before_update),
        ..before
    }
}

fn cpu(before: Option<&Cpu>, update: Option<&Cpu>) -> Cpu {
    let (before, update) = (before.cloned().unwrap_or_default(), update.cloned().unwrap_or_default());
    let (quota, period) = (nonzero(update.quota), nonzero(update.period));
    let named = quota.is_some() || period.is_some();
    Cpu {
        quota: quota.or(before.quota.filter(|_| named)),
        period: period.or(before.period.filter(|_| named)),
        burst: update.burst,
        // A group that is idle takes no weight: the kernel refuses both.
        shares: update.shares.or(before.shares.filter(|_| update.idle.is_none())),
        realtime_runtime: update.realtime_runtime.or(before.realtime_runtime),
        realtime_period: update.realtime_period.or(before.realtime_period),
        cpus: update.cpus,
        mems: update.mems,
        idle: update.idle,
    }
}

fn block_io(before: Option<&BlockIo>, update: Option<&BlockIo>) -> BlockIo {
    let (mut merged, update) = (before.cloned().unwrap_or_default(), update.cloned().unwrap_or_default());
    merged.weight = update.weight.or(merged.weight);
    merged.leaf_weight = update.leaf_weight.or(merged.leaf_weight);
    upsert(&mut merged.weight_device, update.weight_device, |a: &WeightDevice| (a.major, a.minor));
    let number = |a: &ThrottleDevice| (a.major, a.minor);
    upsert(&mut merged.throttle_read_bps_device, update.throttle_read_bps_device, number);
    upsert(&mut merged.throttle_write_bps_device, update.throttle_write_bps_device, number);
    upsert(&mut merged.throttle_read_iops_device, update.throttle_read_iops_device, number);
    upsert(&mut merged.throttle_write_iops_device, update.throttle_write_iops_device, number);
    merged
}

/// Replaces entries of the same device (the last of duplicates is the one in force), adds the others.
fn upsert<T>(entries: &mut Vec<T>, updates: Vec<T>, number: impl Fn(&T) -> (i64, i64)) {
    for update in updates {
        match entries.iter_mut().rev().find(|entry| number(entry) == number(&update)) {
            Some(entry) => *entry = update,
            None => entries.push(update),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(before: &str, update: &str) -> LinuxResources {
        merge(&serde_json::from_str(before).unwrap(), &serde_json::from_str(update).unwrap())
    }

    #[test]
    fn quota_and_period_complete_each_other() {
        let both = r#"{"cpu":{"quota":5000,"period":20000}}"#;
        let cpu = merged(both, r#"{"cpu":{"quota":7000}}"#).cpu.unwrap();
        assert_eq!((cpu.quota, cpu.period), (Some(7000), Some(20000)));
        let cpu = merged(both, r#"{"cpu":{"shares":10}}"#).cpu.unwrap();
        assert_eq!((cpu.quota, cpu.period, cpu.shares), (None, None, Some(10)));
    }

    #[test]
    fn memory_keeps_what_is_not_named() {
        let both = r#"{"memory":{"limit":10,"swap":30}}"#;
        let memory = merged(both, r#"{"memory":{"limit":20}}"#).memory.unwrap();
        assert_eq!((memory.limit, memory.swap), (Some(20), Some(30)));
        let memory = merged(both, r#"{"memory":{"limit":-1}}"#).memory.unwrap();
        assert_eq!((memory.limit, memory.swap), (Some(-1), None));
    }

    #[test]
    fn idle_takes_the_place_of_shares() {
        let cpu = merged(r#"{"cpu":{"shares":500}}"#, r#"{"cpu":{"idle":1}}"#).cpu.unwrap();
        assert_eq!((cpu.shares, cpu.idle), (None, Some(1)));
    }

    #[test]
    fn devices_of_an_update_replace_their_own_entry() {
        let before = r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":444}]}}"#;
        let update = r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":222},
            {"major":8,"minor":1,"weight":9}]}}"#;
        let weights: Vec<_> = merged(before, update)
            .block_io
            .unwrap()
            .weight_device
            .iter()
            .map(|d| d.weight.unwrap())
            .collect();
        assert_eq!(weights, [222, 9]);
    }
}
