//! Making true what a killed process left half done. Whoever takes a container's lock does it first, so that every
//! command just works after a SIGKILL of anything at any instant.
//!
//! | found, with the lock free | what happened | what becomes of it |
//! |---|---|---|
//! | a directory without state.json | a `create` or `rm` was killed | the removal is completed |
//! | an active state, or remains of a monitor, and no monitor; the payload lives | the monitor was killed | it is running, and says that its output is lost |
//! | the same, but no payload | both were killed, or the host was restarted | exited with 255; with `--rm`, removed |
//! | a note that its networks change | a `network connect` or `disconnect` was killed | it is in the networks that its record has |
//! | a name that leads to no container | a `create` was killed before state.json, or an `rm` after it | the name is free |

use runtime::Container as Payload;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use crate::clock;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::record::{self, Dir, Lock, is_gone};
use crate::state::{State, Status};

/// The exit code of a payload whose end nobody saw.
const UNKNOWN: i32 = 255;
const LOST: &str = "its monitor was killed: what it writes is lost, and its exit code will be";

/// What there is of a monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Monitor {
    /// There is none, and nothing of an earlier one.
    None,
    /// Only what it left when it was killed.
    Remains,
    /// It lives.
    Alive,
}

impl Engine {
    /// What there is of a container's monitor: it holds a lock for as long as it lives.
    pub(crate) fn monitor(&self, id: &str) -> Result<Monitor> {
        let path = self.paths().monitor_lock(id);
        let file = match rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Monitor::None),
            other => other.map_err(|errno| Error::io("open", &path, errno))?,
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(Monitor::Remains),
            Err(Errno::WOULDBLOCK) => Ok(Monitor::Alive),
            Err(errno) => Err(Error::io("lock", path, errno)),
        }
    }

    /// The state of a locked container, made true first; none where it is no container's directory.
    pub(crate) fn settle(&self, lock: &Lock, id: &str) -> Result<Option<State>> {
        let Some(mut state) = lock.state()? else {
            self.remove_remains(lock, id)?;
            return Ok(None);
        };
        match self.monitor(id)? {
            Monitor::Alive => {
                self.settle_networks(lock, id, &mut state)?;
                Ok(Some(state))
            }
            Monitor::None if !state.status.is_active() => Ok(Some(state)),
            Monitor::None | Monitor::Remains => self.settle_lost(lock, id, state),
        }
    }

    fn settle_lost(&self, lock: &Lock, id: &str, mut state: State) -> Result<Option<State>> {
        if let Some(payload) = self.payload(id)? {
            let status = match payload.status()? {
                oci::spec::Status::Running => Some(Status::Running),
                oci::spec::Status::Paused => Some(Status::Paused),
                _ => None,
            };
            if let Some(status) = status {
                let mut lost =
                    State { status, pid: payload.record().pid, error: LOST.into(), ..state.clone() };
                if lost != state {
                    lock.write_state(&lost)?;
                }
                self.settle_networks(lock, id, &mut lost)?;
                return Ok(Some(lost));
            }
        }
        self.clear_runtime(id)?;
        self.own_networks().release_strays(id, &::network::Attachment::default())?;
        let was_stopped = state.stop_requested;
        if state.status.is_active() {
            state.status = Status::Exited;
            state.exit_code = if was_stopped { 137 } else { UNKNOWN };
            state.finished_at = clock::text(clock::now());
            if let Some(container) = lock.container()? {
                let code = state.exit_code.to_string();
                self.events().emit(&[container.event("die", [("exitCode", code)])]);
            }
        }
        state.pid = 0;
        state.ports.clear();
        state.networks.clear();
        if state.row.auto_remove {
            self.remove_locked(lock, id, true)?;
            return Ok(None);
        }
        lock.write_state(&state)?;
        Ok(Some(state))
    }

    /// What the runtime knows of a container.
    pub(crate) fn payload(&self, id: &str) -> Result<Option<Payload>> {
        let root = self.paths().oci();
        if is_gone(&root.path().join(id)) {
            return Ok(None);
        }
        match Payload::open(&root, &runtime_id(id)) {
            Ok(payload) => Ok(Some(payload)),
            Err(failure) => {
                // A directory without a record was left by a creator that was killed first; perhaps after it had made
                // control groups.
                self.remove_stray_groups(id)?;
                runtime::forget(&root, &runtime_id(id)).map_err(|_| failure)?;
                Ok(None)
            }
        }
    }

    /// Removes the control groups of a container that the runtime has no record of: they bear its id.
    fn remove_stray_groups(&self, id: &str) -> Result<()> {
        let dir = Dir::open(self.paths().container(id))?;
        let container =
            dir.map(|dir| dir.container()).transpose().ok().flatten().flatten().unwrap_or_default();
        let host = crate::spec::Host::detect()?;
        let parent = &container.asked.host_config.resources.cgroup_parent;
        if !host.has_groups {
            return Ok(());
        }
        let path = host.cgroups_path(parent, id);
        let groups = cgroup::Host::detect()?;
        let group = cgroup::Group::locate(&groups, &host.cgroup_driver(), Some(&path), id, host.rootless)?;
        // Whoever is in there was to become the container.
        group.kill_all(rustix::process::Signal::KILL)?;
        Ok(group.remove()?)
    }

    /// Ends what runs, and removes what is there of a container while it does.
    pub(crate) fn clear_runtime(&self, id: &str) -> Result<()> {
        if let Some(payload) = self.payload(id)? {
            payload.delete(true)?;
        }
        self.disconnect(id)?;
        self.clear_run_directory(id)
    }

    /// The lock and the socket go before the directory, whose other entries are records of `exec`.
    pub(crate) fn clear_run_directory(&self, id: &str) -> Result<()> {
        let path = self.paths().running(id);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", path, error))
            }
            _ => Ok(()),
        }
    }

    /// Removes what a killed `create` or `rm` left, unless one is at it.
    pub(crate) fn sweep(&self, dir: Dir, id: &str) -> Result<()> {
        let Some(lock) = dir.try_lock()? else { return Ok(()) };
        if lock.state()?.is_none() {
            self.remove_remains(&lock, id)?;
        }
        Ok(())
    }

    /// Removes a container that does not run, state first: from then on it is not there. Volumes that were made for it
    /// alone go along if `volumes`.
    pub(crate) fn remove_locked(&self, lock: &Lock, id: &str, volumes: bool) -> Result<()> {
        if !volumes {
            lock.write_record(KEEPS_VOLUMES, &true)?;
        }
        lock.remove_state()?;
        self.remove_remains(lock, id)
    }

    /// Makes a container that does not run be no more: what is left of it is remains.
    pub(crate) fn forget_locked(&self, lock: &Lock, container: &Container) -> Result<()> {
        lock.remove_state()?;
        record::drop_name(&self.paths().names(), &container.name, &container.id)
    }

    /// All that is not state.json, in an order that can be begun again after any step.
    pub(crate) fn remove_remains(&self, lock: &Lock, id: &str) -> Result<()> {
        let container = match lock.container() {
            // A record that is damaged names nothing.
            Err(Error::Damaged { .. }) => Container::default(),
            read => read?.unwrap_or_default(),
        };
        self.clear_runtime(id)?;
        record::drop_name(&self.paths().names(), &container.name, id)?;
        match self.snapshots()?.remove(id) {
            Ok(()) | Err(snapshot::SnapshotError::NoSnapshot(_)) => {}
            Err(error) => return Err(error.into()),
        }
        if lock.read::<bool>(KEEPS_VOLUMES)?.is_none() {
            self.remove_anonymous_volumes(&container);
        }
        self.remove_views(&container)?;
        self.release_ids(id, &container)?;
        match std::fs::remove_dir_all(lock.path()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", lock.path(), error))
            }
            _ => Ok(()),
        }
    }

    /// Repairs all there is to repair: containers, names, what is left of monitors.
    ///
    /// # Errors
    /// Where a directory can't be read; what one container's repair meets stops no other's.
    pub fn repair(&self) -> Result<()> {
        for id in self.ids()?.into_iter().chain(self.active_ids()?) {
            match self.state_of(&id) {
                Ok(Some(_)) | Err(_) => {}
                // Without a container there is no lock, and nobody who could hold one.
                Ok(None) if self.monitor(&id)? == Monitor::Remains => self.clear_runtime(&id)?,
                Ok(None) => {}
            }
        }
        let names = self.paths().names();
        for entry in std::fs::read_dir(&names).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            if let Some(id) = record::named(&names, &name)?
                && is_gone(&self.paths().container(&id))
            {
                record::drop_name(&names, &name, &id)?;
            }
        }
        Ok(())
    }
}

/// Says in what remains of a container that its volumes stay.
const KEEPS_VOLUMES: &str = "keeps-volumes.json";

pub(crate) fn runtime_id(id: &str) -> oci::ContainerId {
    Container { id: id.to_owned(), ..Container::default() }.runtime_id()
}
