//! The parent's side of the protocol, as create and exec share it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci::spec::seccomp::Seccomp;
use oci::spec::{Linux, State};
use rustix::process::{Pid, PidfdGetfdFlags, WaitId, WaitIdOptions};
use seccomp::{Architecture, Call};
use serde::Serialize;

use crate::failure::{Failure, OrFail, Result};
use crate::protocol::{FromInit, ParentEnd};
use crate::spawn::Spawned;

/// The operation of the failure that stands for "init ended without a word".
pub(crate) const SILENT: &str = "wait for init";

pub(crate) struct Conversation<'a> {
    pub end: &'a ParentEnd,
    pub pid: Pid,
}

/// What init wants, failures apart.
pub(crate) enum Told {
    Hooks,
    Notify(i32),
    Source(usize),
    Ready,
}

impl Conversation<'_> {
    pub fn next(&self) -> Result<Told> {
        match self.end.next().or_fail("read from", "init")? {
            Some(FromInit::Hooks) => Ok(Told::Hooks),
            Some(FromInit::Notify(fd)) => Ok(Told::Notify(fd)),
            Some(FromInit::Source(index)) => Ok(Told::Source(index)),
            Some(FromInit::Ready) => Ok(Told::Ready),
            Some(FromInit::Failed(failure)) => Err(Failure { of_init: true, ..failure }),
            None => Err(Failure::because(SILENT, "", "it ended without a word")),
        }
    }
}

/// After the last word: init's end closes by exec, or brings why there was none.
pub(crate) fn await_exec(end: &ParentEnd) -> Result<()> {
    match end.next().or_fail("read from", "init")? {
        None => Ok(()),
        Some(FromInit::Failed(failure)) => Err(failure),
        Some(other) => Err(Failure::because("read from", "init", format!("{other:?} out of turn"))),
    }
}

/// `ContainerProcessState` of the specification (config-linux.md, *Seccomp*).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerProcessState<'a> {
    oci_version: &'a str,
    fds: [&'a str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    metadata: &'a str,
    state: &'a State,
}

/// Takes the listener out of init and gives it to whoever listens at `listenerPath`.
pub(crate) fn hand_over(
    pidfd: &OwnedFd,
    fd: i32,
    profile: Option<&Seccomp>,
    state: &State,
    pid: Pid,
) -> Result<()> {
    let profile =
        profile.ok_or_else(|| Failure::because("hand over", "the seccomp listener", "no profile"))?;
    let listener = rustix::process::pidfd_getfd(pidfd, fd, PidfdGetfdFlags::empty())
        .or_fail("take", "the seccomp listener from init")?;
    let message = ContainerProcessState {
        oci_version: &state.oci_version,
        fds: ["seccompFd"],
        pid: pid.as_raw_nonzero().get(),
        metadata: profile.listener_metadata.as_deref().unwrap_or_default(),
        state,
    };
    let json =
        serde_json::to_vec(&message).map_err(io::Error::other).or_fail("encode", "the seccomp state")?;
    seccomp::send_listener(
        Path::new(profile.listener_path.as_deref().unwrap_or_default()),
        listener.as_fd(),
        &json,
    )
    .map_err(|error| Failure::because("hand over", "the seccomp listener", error))
}

/// The calls between the filter and the program: a filter that kills for one of them kills init.
const CALLS_UNDER_FILTER: [(&str, i64); 15] = [
    ("execve", libc::SYS_execve),
    ("write", libc::SYS_write),
    ("read", libc::SYS_read),
    ("openat", libc::SYS_openat),
    ("close", libc::SYS_close),
    ("close_range", libc::SYS_close_range),
    ("rt_sigaction", libc::SYS_rt_sigaction),
    ("rt_sigprocmask", libc::SYS_rt_sigprocmask),
    ("prctl", libc::SYS_prctl),
    ("capget", libc::SYS_capget),
    ("capset", libc::SYS_capset),
    ("setgroups", libc::SYS_setgroups),
    ("setresgid", libc::SYS_setresgid),
    ("setresuid", libc::SYS_setresuid),
    ("chdir", libc::SYS_chdir),
];

/// Why init died, from the signal that killed it.
pub(crate) fn epitaph(
    init: &Spawned,
    group: Option<&cgroup::Group>,
    memory_limit: Option<i64>,
    linux: Option<&Linux>,
) -> Failure {
    let died = |cause: String| Failure::because("start", "the container's first process", cause);
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let status =
        rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::PidFd(init.pidfd.as_fd()), options));
    let signal = match status {
        Ok(Some(status)) => status.terminating_signal(),
        _ => None,
    };
    match signal {
        Some(libc::SIGKILL) if group.is_some_and(|group| group.oom_kills().unwrap_or(0) > 0) => {
            let limit = memory_limit.map_or_else(String::new, |limit| format!(", which is {limit} bytes"));
            died(format!(
                "container init was OOM-killed (memory limit too low?): raise linux.resources.memory.limit{limit}"
            ))
        }
        Some(libc::SIGSYS) => {
            let killed = linux.and_then(|linux| linux.seccomp.as_ref()).map(killed_calls).unwrap_or_default();
            died(format!(
                "the seccomp profile kills for {killed}, which is needed to start a program: allow it"
            ))
        }
        Some(signal) => died(format!("it was killed by signal {signal}")),
        None => died("it ended without a word".into()),
    }
}

fn killed_calls(profile: &Seccomp) -> String {
    let (Some(architecture), Ok(filter)) = (Architecture::native(), crate::create::compile(profile)) else {
        return "a system call".into();
    };
    let kills = |number: i64| {
        let call = Call { architecture, number: number as u32, arguments: [0; 6] };
        let action = seccomp::interpret(filter.program(), &call).value & libc::SECCOMP_RET_ACTION_FULL;
        action == libc::SECCOMP_RET_KILL_PROCESS || action == libc::SECCOMP_RET_KILL_THREAD
    };
    let killed = CALLS_UNDER_FILTER.into_iter().filter(|(_, number)| kills(*number));
    let names: Vec<_> = killed.map(|(name, _)| name).collect();
    if names.is_empty() { "a system call".into() } else { names.join(", ") }
}
