//! Limits as properties of a unit (systemd.resource-control(5)).
//!
//! systemd gets them so that it does not reset what it knows nothing of; all limits are written to cgroupfs
//! besides, which takes values that systemd rounds or has no property for.

use oci::spec::resources::{Cpu, LinuxResources, Memory};

use super::manager::Property;
use super::value::Value;
use crate::devices::{Devices, Kind, Policy};
use crate::limits::v2::{cpu_weight, swap_max};
use crate::limits::{invalid, nonzero};
use crate::{Error, limits};

/// The properties for `resources`. Of those that came later than systemd 238, only what `version` knows.
pub(crate) fn properties(
    resources: &LinuxResources,
    unified: bool,
    version: u32,
) -> Result<Vec<Property>, Error> {
    let mut properties = Vec::new();
    let mut put = |name: &str, value: Value| properties.push((name.to_owned(), value));
    if let Some(memory) = &resources.memory {
        self::memory(memory, unified, &mut put)?;
    }
    if let Some(cpu) = &resources.cpu {
        self::cpu(cpu, unified, version, &mut put)?;
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        put("TasksMax", Value::U64(number(&limits::pids_max(limit)).unwrap_or(u64::MAX)));
    }
    let weight = resources.block_io.as_ref().and_then(|block_io| nonzero(block_io.weight));
    if let Some(weight) = weight.filter(|_| !unified) {
        put("BlockIOWeight", Value::U64(weight.into()));
    }
    for (name, value) in &resources.unified {
        self::unified(name, value.trim(), version, &mut put)?;
    }
    Ok(properties)
}

fn memory(memory: &Memory, unified: bool, put: &mut impl FnMut(&str, Value)) -> Result<(), Error> {
    // -1 is systemd's infinity, too, as an unsigned number.
    let bytes = |value: i64| Value::U64(value.cast_unsigned());
    let limit = nonzero(memory.limit);
    if let Some(limit) = limit {
        put(if unified { "MemoryMax" } else { "MemoryLimit" }, bytes(limit));
    }
    if unified {
        if let Some(reservation) = nonzero(memory.reservation) {
            put("MemoryLow", bytes(reservation));
        }
        if let Some(swap) = swap_max(nonzero(memory.swap), limit)? {
            put("MemorySwapMax", bytes(swap));
        }
    }
    Ok(())
}

fn cpu(cpu: &Cpu, unified: bool, version: u32, put: &mut impl FnMut(&str, Value)) -> Result<(), Error> {
    match nonzero(cpu.shares) {
        // A weight of 0 is systemd's word for idle.
        _ if unified && cpu.idle == Some(1) && version >= 252 => put("CPUWeight", Value::U64(0)),
        Some(shares) if unified => put("CPUWeight", Value::U64(cpu_weight(shares))),
        Some(shares) => put("CPUShares", Value::U64(shares)),
        None => {}
    }
    quota(nonzero(cpu.quota), nonzero(cpu.period), version, put);
    for (name, list) in [("AllowedCPUs", &cpu.cpus), ("AllowedMemoryNodes", &cpu.mems)] {
        if !list.is_empty() && version >= 244 {
            let mask = mask(list).ok_or_else(|| invalid("cpu", format!("{list:?} is no list of ranges")))?;
            put(name, Value::bytes(mask));
        }
    }
    Ok(())
}

/// systemd counts microseconds a second and takes full percents only.
fn quota(quota: Option<i64>, period: Option<u64>, version: u32, put: &mut impl FnMut(&str, Value)) {
    if let Some(period) = period.filter(|_| version >= 242) {
        put("CPUQuotaPeriodUSec", Value::U64(period));
    }
    if quota.is_none() && period.is_none() {
        return;
    }
    let per_second = |quota: i64| {
        let exact = u128::from(quota.unsigned_abs()) * 1_000_000 / u128::from(period.unwrap_or(100_000));
        u64::try_from(exact.next_multiple_of(10_000)).unwrap_or(u64::MAX)
    };
    let value = quota.filter(|quota| *quota > 0).map_or(u64::MAX, per_second);
    put("CPUQuotaPerSecUSec", Value::U64(value));
}

fn unified(name: &str, value: &str, version: u32, put: &mut impl FnMut(&str, Value)) -> Result<(), Error> {
    let bad = || invalid("unified", format!("unified resource {name:?} value invalid: {value:?}"));
    let simple = match name {
        "cpu.weight" => "CPUWeight",
        "memory.high" => "MemoryHigh",
        "memory.low" => "MemoryLow",
        "memory.min" => "MemoryMin",
        "memory.max" => "MemoryMax",
        "memory.swap.max" => "MemorySwapMax",
        "pids.max" => "TasksMax",
        "cpu.max" => {
            let (max, period) = value.split_once(' ').unwrap_or((value, "100000"));
            let max = if max == "max" { -1 } else { max.parse().map_err(|_| bad())? };
            quota(Some(max), Some(period.trim().parse().map_err(|_| bad())?), version, put);
            return Ok(());
        }
        "cpuset.cpus" | "cpuset.mems" => {
            let property = if name == "cpuset.cpus" { "AllowedCPUs" } else { "AllowedMemoryNodes" };
            let mask = mask(value).ok_or_else(bad)?;
            if version >= 244 {
                put(property, Value::bytes(mask));
            }
            return Ok(());
        }
        // Written to cgroupfs alone.
        _ => return Ok(()),
    };
    put(simple, Value::U64(number(value).ok_or_else(bad)?));
    Ok(())
}

fn number(value: &str) -> Option<u64> {
    if value == "max" { Some(u64::MAX) } else { value.parse().ok() }
}

/// `0-2,8` as a bit mask, the lowest byte first. `None` if it is no list, or an empty one.
fn mask(list: &str) -> Option<Vec<u8>> {
    /// The kernel's CPUs end at 8192.
    const HIGHEST: usize = 1 << 16;
    let mut mask = Vec::new();
    for range in list.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        if first > last || last >= HIGHEST {
            return None;
        }
        mask.resize(mask.len().max(last / 8 + 1), 0);
        (first..=last).for_each(|bit| mask[bit / 8] |= 1 << (bit % 8));
    }
    (!mask.is_empty()).then_some(mask)
}

/// The device policy, as far as systemd can express it; the group's own filter is set besides.
pub(crate) fn devices(policy: &Policy) -> Vec<Property> {
    let allow = |entries| Value::Array("(ss)".to_owned(), entries);
    let property = |name: &str, value| (name.to_owned(), value);
    if policy.default_allow && policy.exceptions.is_empty() {
        return vec![
            property("DevicePolicy", Value::text("auto")),
            property("DeviceAllow", allow(Vec::new())),
        ];
    }
    let mut entries = Vec::new();
    // systemd has no deny lists: until the filter comes, such a group may use nothing.
    if !policy.default_allow {
        for (devices, access) in &policy.exceptions {
            let entry = |name| Value::Struct(vec![Value::Text(name), Value::Text(access.to_string())]);
            entries.extend(device_name(devices).map(entry));
        }
    }
    // The empty list clears what the unit has.
    vec![
        property("DeviceAllow", allow(Vec::new())),
        property("DevicePolicy", Value::text("strict")),
        property("DeviceAllow", allow(entries)),
    ]
}

/// How systemd (since 240) names devices; `None` for every major with one minor, which it cannot.
fn device_name(devices: &Devices) -> Option<String> {
    let kind = match devices.kind {
        Kind::Block => "block",
        Kind::Character => "char",
    };
    match (devices.major, devices.minor) {
        (None, None) => Some(format!("{kind}-*")),
        (Some(major), None) => Some(format!("{kind}-{major}")),
        (Some(major), Some(minor)) => Some(format!("/dev/{kind}/{major}:{minor}")),
        (None, Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(json: &str, unified: bool) -> Vec<String> {
        let properties = properties(&serde_json::from_str(json).unwrap(), unified, 252).unwrap();
        let text = |value: &Value| match value {
            Value::U64(u64::MAX) => "infinity".to_owned(),
            Value::U64(n) => n.to_string(),
            other => format!("{other:?}"),
        };
        properties.iter().map(|(name, value)| format!("{name}={}", text(value))).collect()
    }

    #[test]
    fn limits_have_their_properties() {
        let json = r#"{"memory":{"limit":100,"swap":300,"reservation":50},"cpu":{"shares":1024},"pids":{"limit":0}}"#;
        let v2 = ["MemoryMax=100", "MemoryLow=50", "MemorySwapMax=200", "CPUWeight=100", "TasksMax=1"];
        assert_eq!(converted(json, true), v2);
        assert_eq!(converted(json, false), ["MemoryLimit=100", "CPUShares=1024", "TasksMax=1"]);
        let unlimited = r#"{"memory":{"limit":-1},"pids":{"limit":-1}}"#;
        assert_eq!(
            converted(unlimited, true),
            ["MemoryMax=infinity", "MemorySwapMax=infinity", "TasksMax=infinity"]
        );
        assert_eq!(converted(r#"{"cpu":{"idle":1,"shares":9}}"#, true), ["CPUWeight=0"]);
    }

    #[test]
    fn quotas_are_rounded_up_to_percents() {
        let quota = |json: &str| converted(json, true).pop().unwrap();
        assert_eq!(quota(r#"{"cpu":{"quota":5000,"period":50000}}"#), "CPUQuotaPerSecUSec=100000");
        assert_eq!(quota(r#"{"cpu":{"quota":5001,"period":50000}}"#), "CPUQuotaPerSecUSec=110000");
        assert_eq!(quota(r#"{"cpu":{"quota":-1}}"#), "CPUQuotaPerSecUSec=infinity");
        assert_eq!(quota(r#"{"unified":{"cpu.max":"max 20000"}}"#), "CPUQuotaPerSecUSec=infinity");
        assert_eq!(quota(r#"{"unified":{"cpu.max":"5000 50000"}}"#), "CPUQuotaPerSecUSec=100000");
    }

    #[test]
    fn lists_become_masks() {
        assert_eq!(mask("0-2,8"), Some(vec![7, 1]));
        assert_eq!(mask(" 1 ,"), Some(vec![2]));
        for bad in ["", "2-1", "x", "0-4294967295"] {
            assert_eq!(mask(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn devices_have_systemds_names() {
        let json = r#"[{"allow":true,"type":"c","access":"m"},{"allow":true,"type":"c","major":136,"access":"rwm"},
            {"allow":true,"type":"b","major":8,"minor":0,"access":"r"},{"allow":true,"type":"c","minor":3,"access":"r"}]"#;
        let policy = Policy::new(&serde_json::from_str::<Vec<_>>(json).unwrap()).unwrap();
        let (_, Value::Array(_, entries)) = devices(&policy).pop().unwrap() else { panic!() };
        let names: Vec<_> = entries
            .iter()
            .map(|entry| match entry {
                Value::Struct(fields) => {
                    fields.iter().filter_map(Value::as_text).collect::<Vec<_>>().join(" ")
                }
                _ => panic!(),
            })
            .collect();
        assert_eq!(names, ["char-* m", "/dev/block/8:0 r", "char-136 rwm"]);
    }
}
