//! The monitor's process: what `berth-monitor` begins with, at first and when it has executed itself again.

use std::ffi::OsString;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;
use std::process::ExitCode;

use ::monitor::attach::{Failed, FrameKind, Status, header};
use ::monitor::handover::Handover;
use ::monitor::{Charge, Ended};
use runtime::failure::OrFail;
use rustix::io::FdFlags;

use crate::attend::{Attended, LOCK, RESOLVER_TCP, RESOLVER_UDP, USER_NETWORK, sentence};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::record::Lock;
use crate::start::FDS;

/// Is a monitor until its container's end: `berth-monitor ROOT RUN ID --fds=LOCK,OWN_LOCK,CLIENT`, or with what it
/// handed over to itself. To be called before anything else opens a descriptor.
pub fn monitor(args: &[OsString]) -> ExitCode {
    match begin(args) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody is there to be told: a client sees the connection's end, and the next command repairs.
        Err(_) => ExitCode::from(125),
    }
}

fn begin(args: &[OsString]) -> Result<()> {
    let [_, root, run, id, ..] = args else {
        return Err(Error::Invalid("a monitor is started by berth alone".to_owned()));
    };
    let engine = Engine::open(Paths { root: root.into(), run: run.into() })?;
    let id = id.to_string_lossy().into_owned();
    if let Some(mut handover) = Handover::receive(args)? {
        let missing = || Error::Invalid("the monitor's lock was not handed over".to_owned());
        let own_lock = handover.take_fd(LOCK).ok_or_else(missing)?;
        let mut attended = Attended::new(engine, id, own_lock, None);
        if let (Some(udp), Some(tcp)) = (handover.take_fd(RESOLVER_UDP), handover.take_fd(RESOLVER_TCP)) {
            attended.resume_resolver(udp, tcp);
        }
        if let Some(program) = handover.take_fd(USER_NETWORK) {
            attended.resume_user_network(program);
        }
        ::monitor::resume(&mut attended, handover)?;
        return attended.sweep();
    }
    let [lock, own_lock, client] = inherited(args)?;
    // The directory and the terminal that it was started from are nothing to it.
    ::monitor::stdio::leave_own()?;
    rustix::process::chdir("/").or_fail("change to", "/")?;
    leave_session();
    let lock = Lock::inherited(lock, engine.paths().container(&id));
    let mut attended = Attended::new(engine, id, own_lock, Some(lock));
    match attended.monitor_config() {
        Ok(config) => {
            ::monitor::attend(&mut attended, &config, Some(client))?;
            attended.sweep()
        }
        Err(error) => {
            let failed = Failed { message: sentence(&error), code: error.exit_code() };
            attended.end(&Ended::Failed(failed.clone()));
            tell(client, &Status::Failed(failed))?;
            attended.sweep()
        }
    }
}

/// The descriptors that the arguments name.
fn inherited(args: &[OsString]) -> Result<[OwnedFd; 3]> {
    let refused = || Error::Invalid(format!("a monitor needs {FDS}LOCK,OWN_LOCK,CLIENT"));
    let numbers = args.last().and_then(|last| last.to_str()?.strip_prefix(FDS)).ok_or_else(refused)?;
    let adopt = |text: &str| {
        let number: RawFd = text.parse().map_err(|_| refused())?;
        let fd = sys::process::adopt_inherited(number)
            .map_err(|error| Error::io("inherit", "a descriptor", error))?;
        rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC)
            .map_err(|errno| Error::io("close on exec", "a descriptor", errno))?;
        Ok(fd)
    };
    let fds = numbers.split(',').map(adopt).collect::<Result<Vec<_>>>()?;
    fds.try_into().map_err(|_| refused())
}

/// The one word of a monitor that could not begin.
fn tell(client: OwnedFd, status: &Status) -> Result<()> {
    use std::io::Write;
    // Of strings and numbers: always JSON.
    let text = serde_json::to_vec(status).unwrap_or_default();
    let mut frame = header(FrameKind::Status, text.len()).to_vec();
    frame.extend(text);
    let mut client = std::fs::File::from(client);
    client.write_all(&frame).map_err(|error| Error::io("answer", "the client", error))
}

/// systemd ends what is in a session's scope when its user logs out (KillUserProcesses=, logind.conf(5)). So a monitor
/// goes where no session is: into a control group beside them, in systemd's own hierarchy of v1, or in v2.
fn leave_session() {
    if !Path::new("/run/systemd/system").exists() || !in_session() {
        return;
    }
    let hierarchies = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
    let is_hierarchy = |path: &&str| Path::new(path).join("cgroup.procs").exists();
    for hierarchy in hierarchies.into_iter().filter(is_hierarchy) {
        let group = Path::new(hierarchy).join("berth-monitor");
        // Where that is not allowed it stays in the session: lingering (loginctl enable-linger) is the remedy then.
        let _ = std::fs::create_dir(&group);
        let _ = std::fs::write(group.join("cgroup.procs"), "0");
    }
}

fn in_session() -> bool {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    groups.lines().any(|line| line.contains("/session-") && line.ends_with(".scope"))
}
