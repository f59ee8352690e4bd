//! `process`.

use super::{Checked, absolute, invalid, no_nul, shown};
use crate::spec::{Process, Rlimit, Scheduler};

pub(super) fn check(process: &Process) -> Checked {
    if process.cwd.is_empty() {
        return Err(invalid("process.cwd", "Cwd property must not be empty"));
    }
    if !process.cwd.starts_with('/') {
        return Err(invalid(
            "process.cwd",
            format!("Cwd must be an absolute path, not {}", shown(&process.cwd)),
        ));
    }
    absolute(&process.cwd, || "process.cwd".into())?;
    if process.args.first().is_none_or(String::is_empty) {
        return Err(invalid("process.args", "args must not be empty"));
    }
    for (i, arg) in process.args.iter().enumerate() {
        no_nul(arg, || format!("process.args[{i}]"))?;
    }
    for (i, variable) in process.env.iter().enumerate() {
        environment_variable(variable, || format!("process.env[{i}]"))?;
    }
    if let Some(score) = process.oom_score_adj.filter(|score| !(-1000..=1000).contains(score)) {
        return Err(invalid("process.oomScoreAdj", format!("{score} is not between -1000 and 1000")));
    }
    rlimits(&process.rlimits)?;
    process.scheduler.as_ref().map_or(Ok(()), scheduler)
}

fn environment_variable(variable: &str, at: impl Fn() -> String) -> Checked {
    match variable.split_once('=') {
        None => Err(invalid(at(), format!("invalid environment variable {}: missing '='", shown(variable)))),
        Some(("", _)) => Err(invalid(at(), "invalid environment variable: name is empty")),
        Some(_) => no_nul(variable, at),
    }
}

/// config.md, "Process": a resource has one entry.
fn rlimits(limits: &[Rlimit]) -> Checked {
    let mut seen = std::collections::HashSet::new();
    match limits.iter().position(|limit| !seen.insert(&limit.kind)) {
        Some(i) => {
            let problem = format!("rlimit {} is set twice", shown(&limits[i].kind));
            Err(invalid(format!("process.rlimits[{i}].type"), problem))
        }
        None => Ok(()),
    }
}

/// sched_setattr(2): which policy takes which parameters.
fn scheduler(scheduler: &Scheduler) -> Checked {
    let policy = scheduler.policy.as_str();
    if policy.is_empty() {
        return Err(invalid("process.scheduler.policy", "scheduler policy is required"));
    }
    let nice = scheduler.nice;
    if matches!(policy, "SCHED_OTHER" | "SCHED_BATCH") && !(-20..=19).contains(&nice) {
        return Err(invalid("process.scheduler.nice", format!("{nice} is not between -20 and 19")));
    }
    if scheduler.priority != 0 && !matches!(policy, "SCHED_FIFO" | "SCHED_RR") {
        let problem = "scheduler.priority can only be specified for SCHED_FIFO or SCHED_RR policy";
        return Err(invalid("process.scheduler.priority", problem));
    }
    let times =
        [("runtime", scheduler.runtime), ("deadline", scheduler.deadline), ("period", scheduler.period)];
    match times.into_iter().find(|(_, time)| *time != 0 && policy != "SCHED_DEADLINE") {
        Some((field, _)) => {
            let problem = "scheduler runtime/deadline/period can only be specified for SCHED_DEADLINE policy";
            Err(invalid(format!("process.scheduler.{field}"), problem))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::spoilt;

    #[test]
    fn program_and_directory() {
        assert_eq!(spoilt(&[("/process/cwd", json!(""))]), "process.cwd");
        assert_eq!(spoilt(&[("/process/cwd", json!("tmp"))]), "process.cwd");
        assert_eq!(spoilt(&[("/process/cwd", json!("/a\0"))]), "process.cwd");
        assert_eq!(spoilt(&[("/process/args", json!([]))]), "process.args");
        assert_eq!(spoilt(&[("/process/args", json!(["", "x"]))]), "process.args");
        assert_eq!(spoilt(&[("/process/args", json!(["a", ""]))]), "");
        assert_eq!(spoilt(&[("/process/args", json!(["a", "b\0c"]))]), "process.args[1]");
    }

    #[test]
    fn environment() {
        let env = |variable| spoilt(&[("/process/env", json!(["A=1", variable]))]);
        assert_eq!(env("B=1=2"), "");
        assert_eq!(env("B="), "");
        for bad in ["B", "=1", "", "B=\0"] {
            assert_eq!(env(bad), "process.env[1]", "{bad:?}");
        }
    }

    #[test]
    fn limits_and_scores() {
        assert_eq!(spoilt(&[("/process/oomScoreAdj", json!(-1000))]), "");
        assert_eq!(spoilt(&[("/process/oomScoreAdj", json!(1001))]), "process.oomScoreAdj");
        let limit = |kind| json!({ "type": kind, "soft": 1, "hard": 1 });
        let limits = json!([limit("RLIMIT_CPU"), limit("RLIMIT_AS"), limit("RLIMIT_CPU")]);
        assert_eq!(spoilt(&[("/process/rlimits", limits)]), "process.rlimits[2].type");
    }

    #[test]
    fn scheduler() {
        let scheduler = |value| spoilt(&[("/process/scheduler", value)]);
        assert_eq!(scheduler(json!({ "policy": "SCHED_FIFO", "priority": 1 })), "");
        assert_eq!(scheduler(json!({ "policy": "SCHED_DEADLINE", "runtime": 1, "period": 2 })), "");
        assert_eq!(scheduler(json!({})), "process.scheduler.policy");
        assert_eq!(scheduler(json!({ "policy": "SCHED_OTHER", "nice": 20 })), "process.scheduler.nice");
        assert_eq!(scheduler(json!({ "policy": "SCHED_BATCH", "nice": -21 })), "process.scheduler.nice");
        assert_eq!(
            scheduler(json!({ "policy": "SCHED_OTHER", "priority": 1 })),
            "process.scheduler.priority"
        );
        assert_eq!(scheduler(json!({ "policy": "SCHED_RR", "deadline": 1 })), "process.scheduler.deadline");
    }
}
