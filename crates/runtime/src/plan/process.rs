//! Steps that a container's first process and one that `exec` adds have in common.

use capability::{CapSet, Sets};
use oci::spec::{Capabilities, IoPriority, MemoryPolicy, Personality, Process, Rlimit, Scheduler};
use sys::sched::SchedAttr;

use super::step::{Credentials, Lsm, RlimitPlan, Step};
use super::{Checked, invalid};

/// The limits of `process.rlimits`.
///
/// # Errors
/// An unknown name, or a soft limit above the hard one.
pub fn rlimits(process: &Process) -> Checked<Vec<RlimitPlan>> {
    process.rlimits.iter().enumerate().map(|(i, limit)| rlimit(i, limit)).collect()
}

/// Priorities and placement: what must be set while init still has its privileges.
pub fn attributes(process: &Process) -> Checked<Vec<Step>> {
    let mut steps = Vec::new();
    if let Some(scheduler) = &process.scheduler {
        steps.push(Step::Scheduler(sched_attr(scheduler)?));
    }
    if let Some(priority) = &process.io_priority {
        let (class, level) = io_priority(priority)?;
        steps.push(Step::IoPriority(class, level));
    }
    Ok(steps)
}

/// LSM labels that the kernel applies at exec.
pub fn labels(process: &Process) -> Vec<Step> {
    let label =
        |lsm, label: &String| (!label.is_empty()).then(|| Step::ExecLabel { lsm, label: label.clone() });
    [label(Lsm::AppArmor, &process.apparmor_profile), label(Lsm::SeLinux, &process.selinux_label)]
        .into_iter()
        .flatten()
        .collect()
}

/// From privileged to the program's credentials. The seccomp filter comes before them where installing it needs
/// CAP_SYS_ADMIN, and as late as possible where no_new_privs is set (seccomp(2)).
///
/// # Errors
/// Capabilities that the kernel would refuse.
pub fn privileges(process: &Process, seccomp: bool) -> Checked<Vec<Step>> {
    let early = seccomp && !process.no_new_privileges;
    let late = seccomp && process.no_new_privileges;
    // A filter may forbid what closes them.
    let mut steps = vec![Step::CloseInherited];
    if early {
        steps.push(Step::Seccomp);
    }
    if !process.cwd.is_empty() {
        steps.push(Step::WorkingDirectory(process.cwd.clone()));
    }
    steps.push(Step::Credentials(Credentials {
        uid: process.user.uid,
        gid: process.user.gid,
        groups: process.user.additional_gids.clone(),
        capabilities: process.capabilities.as_ref().map(sets).transpose()?.unwrap_or_default(),
    }));
    steps.push(Step::FindProgram);
    if late {
        steps.push(Step::Seccomp);
    }
    Ok(steps)
}

fn sets(names: &Capabilities) -> Checked<Sets> {
    let set = |names: &Vec<String>| CapSet::from_names(names).0;
    let unbounded = set(&names.inheritable) - set(&names.bounding);
    if let Some(capability) = unbounded.iter().next() {
        let unknown: String = unknown_warning(names).map(|text| format!(" ({text})")).into_iter().collect();
        let problem = format!(
            "{capability}: operation not permitted: what is inheritable must be in process.capabilities.bounding{unknown}"
        );
        return Err(invalid("process.capabilities.inheritable", problem));
    }
    Ok(Sets {
        effective: set(&names.effective),
        permitted: set(&names.permitted),
        inheritable: set(&names.inheritable),
        bounding: set(&names.bounding),
        ambient: set(&names.ambient),
    })
}

/// What is said of capabilities and has no effect: the specification wants warnings, not errors.
pub fn capability_warnings(process: &Process) -> Vec<String> {
    let Some(capabilities) = &process.capabilities else { return Vec::new() };
    let unknown = unknown_warning(capabilities);
    let set = |names: &Vec<String>| CapSet::from_names(names).0;
    let base = set(&capabilities.inheritable) & set(&capabilities.permitted);
    let missing = set(&capabilities.ambient) - base;
    let missing = missing.iter().map(|capability| {
        format!("can't raise ambient capability {capability}: it must be permitted and inheritable too")
    });
    unknown.into_iter().chain(missing).map(|text| format!("process.capabilities: {text}")).collect()
}

fn unknown_warning(c: &Capabilities) -> Option<String> {
    let mut unknown: Vec<String> = [&c.bounding, &c.effective, &c.inheritable, &c.permitted, &c.ambient]
        .into_iter()
        .flat_map(|names| CapSet::from_names(names).1)
        .map(str::to_owned)
        .collect();
    unknown.sort();
    unknown.dedup();
    (!unknown.is_empty())
        .then(|| format!("ignoring unknown or unavailable capabilities: [{}]", unknown.join(" ")))
}

const RLIMITS: [(&str, u32); 16] = [
    ("AS", libc::RLIMIT_AS),
    ("CORE", libc::RLIMIT_CORE),
    ("CPU", libc::RLIMIT_CPU),
    ("DATA", libc::RLIMIT_DATA),
    ("FSIZE", libc::RLIMIT_FSIZE),
    ("LOCKS", libc::RLIMIT_LOCKS),
    ("MEMLOCK", libc::RLIMIT_MEMLOCK),
    ("MSGQUEUE", libc::RLIMIT_MSGQUEUE),
    ("NICE", libc::RLIMIT_NICE),
    ("NOFILE", libc::RLIMIT_NOFILE),
    ("NPROC", libc::RLIMIT_NPROC),
    ("RSS", libc::RLIMIT_RSS),
    ("RTPRIO", libc::RLIMIT_RTPRIO),
    ("RTTIME", libc::RLIMIT_RTTIME),
    ("SIGPENDING", libc::RLIMIT_SIGPENDING),
    ("STACK", libc::RLIMIT_STACK),
];

fn rlimit(index: usize, limit: &Rlimit) -> Checked<RlimitPlan> {
    let short = limit.kind.strip_prefix("RLIMIT_");
    let known = RLIMITS.iter().find(|(name, _)| Some(*name) == short);
    let &(name, resource) = known.ok_or_else(|| {
        invalid(format!("process.rlimits[{index}].type"), format!("invalid rlimit type: {:?}", limit.kind))
    })?;
    if limit.soft > limit.hard {
        let problem = format!("soft limit {} is above the hard limit {}", limit.soft, limit.hard);
        return Err(invalid(format!("process.rlimits[{index}]"), problem));
    }
    Ok(RlimitPlan { resource, name, soft: limit.soft, hard: limit.hard })
}

fn sched_attr(scheduler: &Scheduler) -> Checked<SchedAttr> {
    let policy = match scheduler.policy.as_str() {
        "SCHED_OTHER" => 0,
        "SCHED_FIFO" => 1,
        "SCHED_RR" => 2,
        "SCHED_BATCH" => 3,
        "SCHED_ISO" => 4,
        "SCHED_IDLE" => 5,
        "SCHED_DEADLINE" => 6,
        other => {
            return Err(invalid("process.scheduler.policy", format!("invalid scheduler policy {other:?}")));
        }
    };
    let mut flags = 0;
    for (i, flag) in scheduler.flags.iter().enumerate() {
        flags |= match flag.as_str() {
            "SCHED_FLAG_RESET_ON_FORK" => 0x01,
            "SCHED_FLAG_RECLAIM" => 0x02,
            "SCHED_FLAG_DL_OVERRUN" => 0x04,
            "SCHED_FLAG_KEEP_POLICY" => 0x08,
            "SCHED_FLAG_KEEP_PARAMS" => 0x10,
            "SCHED_FLAG_UTIL_CLAMP_MIN" => 0x20,
            "SCHED_FLAG_UTIL_CLAMP_MAX" => 0x40,
            other => {
                let at = format!("process.scheduler.flags[{i}]");
                return Err(invalid(at, format!("invalid scheduler flag {other:?}")));
            }
        };
    }
    let priority = u32::try_from(scheduler.priority)
        .map_err(|_| invalid("process.scheduler.priority", "must not be negative"))?;
    let Scheduler { nice, runtime, deadline, period, .. } = *scheduler;
    Ok(SchedAttr { policy, flags, nice, priority, runtime, deadline, period, ..SchedAttr::default() })
}

fn io_priority(priority: &IoPriority) -> Checked<(u32, u32)> {
    let class = match priority.class.as_str() {
        "IOPRIO_CLASS_RT" => 1,
        "IOPRIO_CLASS_BE" => 2,
        "IOPRIO_CLASS_IDLE" => 3,
        other => {
            return Err(invalid("process.ioPriority.class", format!("invalid I/O priority class {other:?}")));
        }
    };
    match u32::try_from(priority.priority) {
        Ok(level @ 0..=7) => Ok((class, level)),
        _ => Err(invalid("process.ioPriority.priority", "must be 0 to 7")),
    }
}

/// Mode with its flags, and nodes, for set_mempolicy(2).
pub fn memory_policy(policy: &MemoryPolicy) -> Checked<(u32, Vec<u32>)> {
    let mut mode = match policy.mode.as_str() {
        "MPOL_DEFAULT" => 0,
        "MPOL_PREFERRED" => 1,
        "MPOL_BIND" => 2,
        "MPOL_INTERLEAVE" => 3,
        "MPOL_LOCAL" => 4,
        "MPOL_PREFERRED_MANY" => 5,
        "MPOL_WEIGHTED_INTERLEAVE" => 6,
        other => {
            return Err(invalid("linux.memoryPolicy.mode", format!("invalid memory policy mode {other:?}")));
        }
    };
    for (i, flag) in policy.flags.iter().enumerate() {
        mode |= match flag.as_str() {
            "MPOL_F_STATIC_NODES" => 1 << 15,
            "MPOL_F_RELATIVE_NODES" => 1 << 14,
            "MPOL_F_NUMA_BALANCING" => 1 << 13,
            other => {
                let at = format!("linux.memoryPolicy.flags[{i}]");
                return Err(invalid(at, format!("invalid memory policy flag {other:?}")));
            }
        };
    }
    let nodes = number_list(&policy.nodes, 1024).ok_or_else(|| {
        invalid("linux.memoryPolicy.nodes", format!("invalid memory policy node list {:?}", policy.nodes))
    })?;
    Ok((mode, nodes))
}

/// The execution domain for personality(2).
pub fn personality(personality: &Personality) -> u32 {
    const PER_LINUX32: u32 = 8;
    if personality.domain == "LINUX32" { PER_LINUX32 } else { 0 }
}

/// A list in the kernel's format (`0-3,7`), each number below `limit`.
pub fn number_list(text: &str, limit: u32) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= limit {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_numbers_are_read_as_the_kernel_reads_them() {
        assert_eq!(number_list("0-2,5", 64), Some(vec![0, 1, 2, 5]));
        assert_eq!(number_list("", 64), Some(vec![]));
        for bad in ["2-1", "a", "64", "0-4294967295", "-1"] {
            assert_eq!(number_list(bad, 64), None, "{bad}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_its_place() {
        let limit = Rlimit { kind: "RLIMIT_NOPE".into(), hard: 1, soft: 1 };
        assert_eq!(rlimit(3, &limit).unwrap_err().at, "process.rlimits[3].type");
        let scheduler = Scheduler { policy: "SCHED_X".into(), ..Scheduler::default() };
        assert_eq!(sched_attr(&scheduler).unwrap_err().at, "process.scheduler.policy");
        let priority = IoPriority { class: "IOPRIO_CLASS_BE".into(), priority: 8 };
        assert_eq!(io_priority(&priority).unwrap_err().at, "process.ioPriority.priority");
    }

    #[test]
    fn the_filter_comes_first_only_where_it_needs_privileges() {
        let mut process = Process::default();
        let first = |p: &Process| {
            let steps = privileges(p, true).unwrap();
            let found = steps.iter().find(|step| matches!(step, Step::Seccomp | Step::Credentials(_)));
            matches!(found, Some(Step::Seccomp))
        };
        assert!(first(&process));
        process.no_new_privileges = true;
        assert!(!first(&process));
        assert!(matches!(privileges(&process, true).unwrap().last(), Some(Step::Seccomp)));
    }
}
