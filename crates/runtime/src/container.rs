//! A container that exists: what it is, and what can be done with it.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use oci::ContainerId;
use oci::spec::resources::LinuxResources;
use oci::spec::{Spec, State, Status};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::create::{cgroup_failure, state_of};
use crate::failure::{Failure, OrFail, Result};
use crate::init::{Reply, read_reply};
use crate::state::{Record, StateDir, StateRoot};
use crate::{hooks, process};

/// How long a killed process may take to end.
const DEATH: Duration = Duration::from_secs(10);

/// A container that exists.
#[derive(Debug)]
pub struct Container {
    id: ContainerId,
    pub(crate) dir: StateDir,
    pub(crate) record: Record,
}

impl Container {
    /// Finds a container.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn open(root: &StateRoot, id: &ContainerId) -> Result<Self> {
        let dir = root.dir(id);
        match dir.read() {
            Err(failure) if failure.is(rustix::io::Errno::NOENT) => {
                Err(Failure::because("find", format!("container {id}"), "container does not exist"))
            }
            record => Ok(Self { id: id.clone(), dir, record: record? }),
        }
    }

    pub(crate) fn from_record(root: &StateRoot, id: ContainerId, record: Record) -> Self {
        Self { dir: root.dir(&id), id, record }
    }

    /// Its name.
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// What is stored of it.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Its control groups.
    pub fn cgroup(&self) -> Option<&cgroup::Group> {
        self.record.cgroup.as_ref()
    }

    /// How many of its processes the kernel has killed for want of memory; to be asked before
    /// [`delete`](Self::delete), with which the count goes.
    ///
    /// # Errors
    /// Where its cgroup can't be read.
    pub fn oom_kills(&self) -> Result<u64> {
        self.cgroup().map_or(Ok(0), |group| group.oom_kills().map_err(cgroup_failure))
    }

    /// The configuration as it was at create.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn config(&self) -> Result<Spec> {
        self.dir.read_config()
    }

    /// Where it is in its lifecycle, asked of the kernel.
    ///
    /// # Errors
    /// Where its process or cgroup can't be read.
    pub fn status(&self) -> Result<Status> {
        if self.record.creating {
            return Ok(if self.dir.is_locked() { Status::Creating } else { Status::Stopped });
        }
        if !self.is_alive()? {
            return Ok(Status::Stopped);
        }
        let frozen = self.cgroup().map(cgroup::Group::is_frozen).transpose().map_err(cgroup_failure)?;
        Ok(if frozen == Some(true) {
            Status::Paused
        } else if self.dir.fifo().try_exists().or_fail_at("look for", self.dir.fifo())? {
            Status::Created
        } else {
            Status::Running
        })
    }

    /// What `state` prints.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub fn state(&self) -> Result<State> {
        Ok(state_of(&self.record, self.status()?))
    }

    fn is_alive(&self) -> Result<bool> {
        Ok(self.record.pid > 0 && process::start_time(self.record.pid)? == Some(self.record.start_time))
    }

    /// Its first process, as number and as descriptor; none where it has ended.
    ///
    /// # Errors
    /// Those of pidfd_open(2).
    pub fn first_process(&self) -> Result<Option<(Pid, OwnedFd)>> {
        Ok(Pid::from_raw(self.record.pid).zip(self.pidfd()?))
    }

    /// Its first process; none where it has ended.
    pub(crate) fn pidfd(&self) -> Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.record.pid) else { return Ok(None) };
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => Ok(None),
            other => {
                let pidfd = other.or_fail("open pidfd of", pid)?;
                // Only now can the number not be another's any more.
                Ok(self.is_alive()?.then_some(pidfd))
            }
        }
    }

    /// Starts the program of a created container.
    ///
    /// # Errors
    /// Where it is not in that state, and what exec(2) said.
    pub fn start(&self) -> Result<()> {
        let _lock = self.dir.lock()?;
        match self.status()? {
            Status::Created => {}
            Status::Stopped => {
                return Err(Failure::because("start", "", "cannot start a container that has stopped"));
            }
            Status::Paused => {
                return Err(Failure::because(
                    "start",
                    "",
                    "cannot start a paused container: resume it first",
                ));
            }
            Status::Running | Status::Creating => {
                return Err(Failure::because("start", "", "cannot start an already running container"));
            }
        }
        let reply = self.let_go();
        let _ = std::fs::remove_file(self.dir.fifo());
        match reply? {
            Reply::Runs => {}
            Reply::Failed(failure) => return Err(failure),
            Reply::Nothing => {
                return Err(Failure::because(
                    "start",
                    "",
                    "the container's first process ended before its program",
                ));
            }
        }
        let state = state_of(&self.record, Status::Running);
        hooks::run("poststart", &self.record.poststart, &state, Some(&self.record.bundle)).inspect_err(|_| {
            // It may have ended by itself meanwhile; what counts is the hook's failure.
            let _ = self.kill(libc::SIGKILL);
        })
    }

    /// Opens the FIFO, and reads what becomes of init; notices also an init that never opens it.
    fn let_go(&self) -> Result<Reply> {
        // Before the FIFO lets it go, or a program that ends at once would never be seen to have run.
        let Some(pidfd) = self.pidfd()? else { return Ok(Reply::Nothing) };
        let path = self.dir.fifo();
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fifo = rustix::fs::open(&path, flags, Mode::empty()).or_fail_at("open", &path)?;
        let mut fds = [
            PollFd::from_borrowed_fd(fifo.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN),
        ];
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, None)).or_fail("wait for", "init")?;
        rustix::io::ioctl_fionbio(&fifo, false).or_fail("unblock", path.display())?;
        read_reply(File::from(fifo)).or_fail_at("read", &path)
    }

    /// Sends a signal to its first process; to all where it shares its pids with others, whose end would otherwise not
    /// be that of the rest.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn kill(&self, signal: i32) -> Result<()> {
        let killing = signal == libc::SIGKILL;
        let Some(pidfd) = self.pidfd()? else {
            if self.record.shares_pids && killing && self.signal_all(libc::SIGKILL).is_ok_and(|any| any) {
                return Ok(());
            }
            return Err(Failure::because("kill", format!("container {}", self.id), "container not running"));
        };
        if self.record.shares_pids && killing {
            self.signal_all(libc::SIGKILL)?;
        }
        match sys::process::pidfd_signal(pidfd.as_fd(), signal) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) && self.record.shares_pids && killing => {
            }
            other => other.or_fail("signal", format!("container {}", self.id))?,
        }
        // A frozen process of v1 takes even SIGKILL only when it thaws.
        if killing && let Some(group) = self.cgroup() {
            let _ = group.thaw();
        }
        Ok(())
    }

    /// Sends a signal to every process of its cgroup; whether there was any.
    ///
    /// # Errors
    /// Where the cgroup can't be read.
    pub fn signal_all(&self, signal: i32) -> Result<bool> {
        let Some(group) = self.cgroup() else { return Ok(false) };
        let pids = self.pids()?;
        match Signal::from_named_raw(signal) {
            Some(named) if self.has_cgroup() => group.kill_all(named).map_err(cgroup_failure)?,
            // 0 and the real-time ones, which end nobody for certain: so nobody is chased. Nor can anybody be without a group.
            _ => pids.iter().try_for_each(|pid| process::signal(*pid, signal))?,
        }
        Ok(!pids.is_empty())
    }

    /// Removes what is left of a stopped container; with `force` ends a running one first.
    ///
    /// # Errors
    /// Where it runs and `force` is not given, or something can't be removed: then its state stays, for another try.
    pub fn delete(&self, force: bool) -> Result<()> {
        let lock = self.dir.lock()?;
        match self.status()? {
            Status::Stopped => {}
            Status::Created => self.end()?,
            _ if force => self.end()?,
            status => {
                let cause =
                    format!("cannot delete container {} that is not stopped: {}", self.id, status.as_str());
                return Err(Failure::because("delete", "", cause));
            }
        }
        if let Some(group) = self.cgroup() {
            // Whoever outlived the first process in a shared pid namespace, or was left by a creator that was killed.
            if self.record.shares_pids || self.record.creating {
                group.kill_all(Signal::KILL).map_err(cgroup_failure)?;
            }
            group.remove().map_err(cgroup_failure)?;
        }
        if let Some(rdt) = &self.record.rdt {
            rdt.remove()?;
        }
        self.dir.remove()?;
        drop(lock);
        let state = state_of(&self.record, Status::Stopped);
        hooks::run_all("poststop", &self.record.poststop, &state, Some(&self.record.bundle))
    }

    /// Kills it and waits for the end of its first process.
    fn end(&self) -> Result<()> {
        let Some(pidfd) = self.pidfd()? else { return Ok(()) };
        self.kill(libc::SIGKILL)?;
        let deadline = Instant::now() + DEATH;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let mut fds = [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
            match rustix::event::poll(&mut fds, Some(&timeout)) {
                Ok(0) => {
                    let cause =
                        format!("its first process is still there {} s after SIGKILL", DEATH.as_secs());
                    return Err(Failure::because("delete", format!("container {}", self.id), cause));
                }
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno).or_fail("wait for", format!("container {}", self.id)),
            }
        }
    }

    /// Freezes all its processes.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn pause(&self) -> Result<()> {
        let _lock = self.dir.lock()?;
        match self.status()? {
            Status::Running | Status::Created => self.group()?.freeze().map_err(cgroup_failure),
            status => Err(self.not("pause", "container not running", status)),
        }
    }

    /// Lets frozen processes go on.
    ///
    /// # Errors
    /// Where it is not paused.
    pub fn resume(&self) -> Result<()> {
        let _lock = self.dir.lock()?;
        match self.status()? {
            Status::Paused => self.group()?.thaw().map_err(cgroup_failure),
            status => Err(self.not("resume", "container not paused", status)),
        }
    }

    /// Changes limits.
    ///
    /// # Errors
    /// Where it has stopped, or the kernel refuses one.
    pub fn update(&self, resources: &LinuxResources) -> Result<()> {
        let _lock = self.dir.lock()?;
        if let status @ (Status::Stopped | Status::Creating) = self.status()? {
            return Err(self.not("update", "container not running", status));
        }
        let mut spec = self.config()?;
        let linux = spec.linux.get_or_insert_default();
        let merged = cgroup::merge_resources(&linux.resources.clone().unwrap_or_default(), resources);
        self.group()?.apply(&merged).map_err(cgroup_failure)?;
        let devices = linux.resources.take().unwrap_or_default().devices;
        linux.resources = Some(LinuxResources { devices, ..merged });
        let text =
            serde_json::to_vec(&spec).map_err(std::io::Error::other).or_fail("encode", "config.json")?;
        self.dir.write_config(&text)
    }

    /// Changes its share of cache and memory bandwidth.
    ///
    /// # Errors
    /// Where it has none, or the kernel refuses the schema.
    pub fn update_rdt(&self, l3_cache: Option<&str>, memory_bandwidth: Option<&str>) -> Result<()> {
        let _lock = self.dir.lock()?;
        let missing =
            || Failure::because("update", "", "Intel RDT: the container was created without linux.intelRdt");
        self.record.rdt.as_ref().ok_or_else(missing)?.update(l3_cache, memory_bandwidth)
    }

    /// All its processes, as the runtime counts.
    ///
    /// # Errors
    /// Where the cgroup can't be read.
    pub fn pids(&self) -> Result<Vec<u32>> {
        match self.has_cgroup() {
            true => self.group()?.pids().map_err(cgroup_failure),
            false => self.pids_by_namespace(),
        }
    }

    /// Whether it has a control group: that of an ordinary user may have none.
    pub fn has_cgroup(&self) -> bool {
        self.cgroup().is_some_and(|group| !self.record.rootless || group.exists())
    }

    /// Those who share the pid namespace of its first process; where that is the host's, its descendants.
    fn pids_by_namespace(&self) -> Result<Vec<u32>> {
        let first = self.record.pid.unsigned_abs();
        match self.record.shares_pids {
            true => process::descendants(first),
            false => process::in_pid_namespace_of(first),
        }
    }

    fn group(&self) -> Result<&cgroup::Group> {
        let missing = || Failure::because("use", format!("container {}", self.id), "it has no cgroup");
        self.cgroup().ok_or_else(missing)
    }

    fn not(&self, operation: &str, cause: &str, status: Status) -> Failure {
        Failure::because(
            operation,
            format!("container {}", self.id),
            format!("{cause} (it is {})", status.as_str()),
        )
    }
}
