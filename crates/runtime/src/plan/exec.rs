//! The steps of a process that joins a running container.

use std::ffi::CString;

use oci::spec::Process;
use sys::process::NamespaceFlags;

use super::process::{self, number_list};
use super::{Checked, Step, invalid};

/// What a process does that joins a running container.
///
/// # Errors
/// [`Invalid`](super::Invalid) with the JSON path of the first field that can't be carried out.
pub fn exec_steps(process: &Process, container: &ExecFacts) -> Checked<Vec<Step>> {
    let mut steps = Vec::new();
    if container.joins_cgroups {
        steps.push(Step::JoinCgroups);
    }
    if process.exec_cpu_affinity.is_none() {
        steps.push(Step::AllCpus);
    }
    steps.extend(process.oom_score_adj.map(Step::OomScore));
    // Before the user namespace is entered: from within none can be raised.
    steps.extend(process::rlimits(process)?.into_iter().map(Step::Rlimit));
    steps.push(Step::JoinContainer(container.namespaces));
    if container.namespaces.contains(NamespaceFlags::USER) {
        steps.push(Step::BecomeRoot);
    }
    if container.stdio {
        steps.push(Step::Stdio);
    }
    steps.push(Step::NewSession);
    if let Some(name) = &container.keyring {
        steps.push(Step::Keyring(name.clone()));
    }
    if process.terminal {
        steps.push(Step::Console(process.console_size));
    }
    steps.push(Step::Umask(process.user.umask.unwrap_or(0o022)));
    if process.no_new_privileges {
        steps.push(Step::NoNewPrivileges);
    }
    steps.extend(process::attributes(process)?);
    if let Some(affinity) = process.exec_cpu_affinity.as_ref().filter(|affinity| !affinity.last.is_empty()) {
        let cpus = number_list(&affinity.last, 8192).ok_or_else(|| {
            invalid("process.execCPUAffinity.final", format!("invalid CPU list {:?}", affinity.last))
        })?;
        steps.push(Step::Affinity(cpus));
    }
    steps.extend(container.memory_policy.clone().map(|(mode, nodes)| Step::MemoryPolicy(mode, nodes)));
    steps.extend(container.personality.map(Step::Personality));
    steps.extend(process::labels(process));
    steps.extend(process::privileges(process, container.seccomp)?);
    steps.push(Step::Ready);
    steps.push(Step::LetGo);
    steps.push(Step::Exec);
    Ok(steps)
}

/// What the plan of an exec must know of the container.
#[derive(Clone, Debug)]
pub struct ExecFacts {
    /// Its namespaces that are not the runtime's.
    pub namespaces: NamespaceFlags,
    /// Whether the process writes itself into the cgroups.
    pub joins_cgroups: bool,
    /// Session keyring to join.
    pub keyring: Option<CString>,
    /// Whether the caller gives stdin, stdout and stderr.
    pub stdio: bool,
    /// Whether it has a seccomp filter.
    pub seccomp: bool,
    /// Its execution domain.
    pub personality: Option<u32>,
    /// Its memory policy: mode with flags, and nodes.
    pub memory_policy: Option<(u32, Vec<u32>)>,
}
