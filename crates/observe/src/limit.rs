//! Limits: of processes, of memory that is locked or mapped, of descriptors, of namespaces.

use rustix::process::Pid;

use crate::call::Call;
use crate::denial::Cause;
use crate::explain::{Failed, Reason};

/// A limit of setrlimit(2) that is none.
const UNLIMITED: u64 = u64::MAX;

/// Whether a call makes a process or a thread.
pub(crate) fn makes_processes(call: &Call) -> bool {
    matches!(call.name, "clone" | "clone3" | "fork" | "vfork")
}

/// The limit that a call met.
pub(crate) fn reason(failed: &Failed<'_>) -> Option<Reason> {
    let Failed { call, errno, tid, .. } = failed;
    let limit =
        |resource: u32| sys::process::rlimit(Some(*tid), resource).map_or(UNLIMITED, |(soft, _)| soft);
    let ulimit = |name: &str, limit: u64| {
        let why = format!("its limit {name} is {limit}");
        Some(Reason::new(Cause::Ulimit, why, format!("--ulimit {name}=NUMBER")))
    };
    match *errno {
        libc::EMFILE => ulimit("nofile", limit(libc::RLIMIT_NOFILE)),
        libc::EAGAIN if makes_processes(call) => processes(failed, limit(libc::RLIMIT_NPROC)),
        libc::ENOSPC | libc::EUSERS => Some(Reason::without_remedy(
            Cause::NamespaceLimit,
            "there are as many namespaces as the host allows (/proc/sys/user/max_*_namespaces)",
        )),
        libc::EAGAIN | libc::ENOMEM if call.name.starts_with("mlock") => {
            ulimit("memlock", limit(libc::RLIMIT_MEMLOCK))
        }
        libc::ENOMEM => {
            let limit = limit(libc::RLIMIT_AS);
            // Without that limit it is the machine's memory, or more mappings than the kernel has.
            if limit == UNLIMITED { None } else { ulimit("as", limit) }
        }
        _ => None,
    }
}

fn processes(failed: &Failed<'_>, soft: u64) -> Option<Reason> {
    let limit = failed.container.pids_limit();
    let full = pids(failed.tid).is_some_and(|(current, limit)| current >= limit);
    match (full, limit) {
        (true, Some(limit)) => Some(Reason::new(
            Cause::Pids,
            format!("the container has as many processes and threads as it may have: {limit}"),
            "--pids-limit with a larger number",
        )),
        (true, None) => Some(Reason::without_remedy(
            Cause::Pids,
            "a control group above the container's has as many processes as it may have",
        )),
        (false, _) if soft != UNLIMITED => {
            Some(Reason::new(Cause::Ulimit, format!("its limit nproc is {soft}"), "--ulimit nproc=NUMBER"))
        }
        (false, _) => None,
    }
}

/// Use and limit of the first of a process's control groups that counts and has a limit.
fn pids(tid: Pid) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", tid.as_raw_pid())).ok()?;
    text.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let base = match controllers {
            "" => "/sys/fs/cgroup",
            list if list.split(',').any(|one| one == "pids") => "/sys/fs/cgroup/pids",
            _ => return None,
        };
        std::path::Path::new(path).ancestors().find_map(|group| {
            let number = |file: &str| {
                let path = format!("{base}{}/{file}", group.display());
                std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
            };
            Some((number("pids.current")?, number("pids.max")?)).filter(|(current, max)| current >= max)
        })
    })
}
