//! From facts to judgements.

use capability::Capability;
use namespace::Kind;
use serde::Serialize;

use super::{Facts, Shared};
use crate::caps::catalogue::Explanation;
use crate::cgroups::show::Figure;

/// One thing that is worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Finding {
    pub verdict: Verdict,
    pub what: String,
    /// The flag of `run` that would change it.
    pub flag: Option<String>,
}

/// Which part of the page a finding belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// This separates it from the host.
    Isolated,
    /// This does not.
    Open,
    /// It may do what an ordinary process may not.
    Power,
    /// A limit that it is near.
    Near,
    /// There is no limit.
    Unlimited,
}

/// From here on a limit counts as near.
const NEAR: f64 = 0.8;

impl Finding {
    fn new(verdict: Verdict, what: impl Into<String>, flag: Option<&str>) -> Self {
        Self { verdict, what: what.into(), flag: flag.map(str::to_owned) }
    }
}

/// Judges.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        facts.namespaces.iter().map(|(kind, shared)| namespace(*kind, *shared)).collect();
    findings.push(user(facts));
    findings.extend(confinement(facts));
    findings.extend(powers(facts));
    findings.extend(limits(facts));
    findings
}

fn namespace(kind: Kind, shared: Shared) -> Finding {
    let (what, isolate, open) = match kind {
        Kind::Mount => (
            "mounts and so the view of the file system",
            "run it in a container",
            "-v binds a directory of the host",
        ),
        Kind::Uts => ("host name", "--uts private", "--uts host"),
        Kind::Ipc => ("System V IPC and message queues", "--ipc private", "--ipc host"),
        Kind::User => ("users and groups", "--userns auto", "--userns host"),
        Kind::Pid => ("processes that it sees", "--pid private", "--pid host"),
        Kind::Net => {
            ("network (links, addresses, ports, abstract sockets)", "--network bridge", "--network host")
        }
        Kind::Cgroup => ("cgroups that it sees", "--cgroupns private", "--cgroupns host"),
        Kind::Time => {
            ("clocks since boot", "a time namespace in the bundle's config.json", "no time namespace")
        }
    };
    match shared {
        Shared::Own(inode) => {
            Finding::new(Verdict::Isolated, format!("{what}: its own, {kind}:[{inode}]"), Some(open))
        }
        Shared::WithHost => {
            Finding::new(Verdict::Open, format!("{what}: shared with the host"), Some(isolate))
        }
    }
}

fn user(facts: &Facts) -> Finding {
    match (facts.uid, facts.root_is_host_root) {
        (0, true) => Finding::new(
            Verdict::Power,
            "it is root, and the host's root: whatever it escapes to, it owns",
            Some("--user 1000, or --userns auto"),
        ),
        (uid, true) => {
            Finding::new(Verdict::Isolated, format!("it runs as user {uid}, not as root"), Some("--user 0"))
        }
        (uid, false) => Finding::new(
            Verdict::Isolated,
            format!("its root is not the host's: outside it is user {uid}"),
            Some("--userns host"),
        ),
    }
}

fn confinement(facts: &Facts) -> Vec<Finding> {
    let yes_or_no = |holds: bool, yes: String, undo: &str, no: &str, flag: &str| match holds {
        true => Finding::new(Verdict::Isolated, yes, Some(undo)),
        false => Finding::new(Verdict::Open, no, Some(flag)),
    };
    vec![
        yes_or_no(
            facts.seccomp > 0,
            format!("system calls are filtered ({} filters)", facts.seccomp_filters),
            "--security-opt seccomp=unconfined",
            "system calls are not filtered: all of the kernel can be reached",
            "--security-opt seccomp=FILE, or the default profile",
        ),
        yes_or_no(
            facts.no_new_privileges,
            "exec gives no privileges: set-user-id programs have none".to_owned(),
            "--security-opt no-new-privileges=false",
            "set-user-id programs and file capabilities work",
            "--security-opt no-new-privileges",
        ),
        yes_or_no(
            facts.label.as_deref().is_some_and(|label| label != "unconfined"),
            format!("the security module confines it: {}", facts.label.as_deref().unwrap_or_default()),
            "--security-opt apparmor=unconfined, or label=disable",
            "no security module (AppArmor, SELinux) confines it",
            "--security-opt apparmor=PROFILE, where the host has one",
        ),
        yes_or_no(
            facts.root_read_only,
            "its root file system is read-only".to_owned(),
            "--read-only=false",
            "its root file system can be written",
            "--read-only",
        ),
        yes_or_no(
            !facts.masked.is_empty(),
            format!("masked or read-only: {}", facts.masked.join(", ")),
            "--security-opt systempaths=unconfined",
            "nothing in /proc and /sys is masked",
            "run it in a container without --privileged",
        ),
    ]
}

fn powers(facts: &Facts) -> Vec<Finding> {
    let own_users =
        facts.namespaces.iter().any(|(kind, shared)| *kind == Kind::User && *shared != Shared::WithHost);
    let power = |capability: Capability| {
        let explanation = Explanation::of(capability)?;
        let mut what = format!("{} lets it {}", explanation.name, explanation.allows);
        match explanation.danger {
            _ if own_users => what.push_str(", over what its own user namespace owns"),
            Some(danger) => what.push_str(&format!(": {danger}")),
            None => {}
        }
        let flag = format!("--cap-drop={}", explanation.name.trim_start_matches("CAP_"));
        Some(Finding::new(Verdict::Power, what, Some(&flag)))
    };
    facts.capabilities.effective.iter().filter_map(power).collect()
}

fn limits(facts: &Facts) -> Vec<Finding> {
    let limited = [
        ("memory", "--memory"),
        ("memory and swap", "--memory-swap"),
        ("swap", "--memory-swap"),
        ("processes", "--pids-limit"),
    ];
    let mut findings = Vec::new();
    for (name, flag) in limited {
        let Some(figure) = facts.usage.figure(name) else { continue };
        match figure.fraction() {
            Some(fraction) if fraction >= NEAR => findings.push(near(figure, fraction, flag)),
            None if name == "memory" || name == "processes" => {
                findings.push(Finding::new(Verdict::Unlimited, format!("{name}: no limit"), Some(flag)));
            }
            _ => {}
        }
    }
    findings
}

fn near(figure: &Figure, fraction: f64, flag: &str) -> Finding {
    let what = format!("{}: {:.0}% of the limit is used", figure.name, fraction * 100.0);
    Finding::new(Verdict::Near, what, Some(flag))
}

#[cfg(test)]
mod tests {
    use capability::{CapSet, Sets};

    use super::*;
    use crate::cgroups::show::Usage;

    fn facts() -> Facts {
        Facts {
            namespaces: Kind::ALL.map(|kind| (kind, Shared::WithHost)).to_vec(),
            uid: 0,
            root_is_host_root: true,
            capabilities: Sets { effective: Capability::SYS_ADMIN.into(), ..Sets::default() },
            seccomp: 0,
            seccomp_filters: 0,
            no_new_privileges: false,
            label: None,
            root_read_only: false,
            masked: Vec::new(),
            usage: Usage { pid: 1, command: String::new(), hierarchies: Vec::new() },
        }
    }

    fn of(facts: &Facts, verdict: Verdict) -> Vec<String> {
        judge(facts)
            .into_iter()
            .filter(|finding| finding.verdict == verdict)
            .map(|finding| finding.what)
            .collect()
    }

    #[test]
    fn an_ordinary_process_is_open_on_all_sides() {
        assert_eq!(of(&facts(), Verdict::Open).len(), 8 + 5);
        assert!(of(&facts(), Verdict::Isolated).is_empty());
        let powers = of(&facts(), Verdict::Power);
        assert!(powers[1].contains("practically root"), "{powers:?}");
    }

    #[test]
    fn what_isolates_changes_sides() {
        let namespaces = Kind::ALL.map(|kind| (kind, Shared::Own(7))).to_vec();
        let facts = Facts {
            namespaces,
            uid: 100_000,
            root_is_host_root: false,
            seccomp: 2,
            no_new_privileges: true,
            label: Some("docker-default (enforce)".into()),
            root_read_only: true,
            masked: vec!["/proc/kcore".into()],
            capabilities: Sets { effective: CapSet::from(Capability::SYS_ADMIN), ..Sets::default() },
            ..facts()
        };
        assert!(of(&facts, Verdict::Open).is_empty());
        assert_eq!(of(&facts, Verdict::Isolated).len(), 8 + 1 + 5);
        assert!(of(&facts, Verdict::Power)[0].ends_with("its own user namespace owns"));
    }

    #[test]
    fn every_finding_has_a_flag() {
        assert!(judge(&facts()).iter().all(|finding| finding.flag.is_some()));
    }
}
