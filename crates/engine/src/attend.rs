//! The monitor's part of the engine: what it does for its container between the events that it waits for.
//!
//! State is written under the container's lock. At the first start the lock is the one that the client took; it is let
//! go when the payload runs.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use ::monitor::attach::{Exited, Failed};
use ::monitor::health::{Health as Checked, Status as CheckStatus};
use ::monitor::restart::Policy;
use ::monitor::stdio::PayloadStdio;
use ::monitor::{Charge, Ended, Intent, Luggage, Started};
use ::network::{Resolver, UserNetwork};
use runtime::failure::Failure;
use runtime::{Bundle, CreateOptions, Prepare};

use crate::clock;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::events::Event;
use crate::idmaps;
use crate::launch::Launch;
use crate::network::Connected;
use crate::prepare::{Preparation, Prepared};
use crate::record::{Dir, Lock};
use crate::state::{Health, State, Status};

/// The names of the monitor's lock, of its resolver's sockets and of the user's network, among what goes along.
pub(crate) const LOCK: &str = "lock";
pub(crate) const RESOLVER_UDP: &str = "resolver-udp";
pub(crate) const RESOLVER_TCP: &str = "resolver-tcp";
pub(crate) const USER_NETWORK: &str = "user-network";
/// PIPEFS_MAGIC of linux/magic.h
const PIPEFS: rustix::fs::FsWord = 0x5049_5045;
/// The record of the last health checks.
pub(crate) const HEALTH: &str = "health.json";

/// A container as its monitor has charge of it.
#[derive(Debug)]
pub(crate) struct Attended {
    engine: Engine,
    id: String,
    /// Held for life: it says that there is a monitor.
    own_lock: OwnedFd,
    /// From the start until the payload runs, and from its end until what follows is decided.
    lock: Option<Lock>,
    /// What was last written, while the lock is held.
    state: State,
    /// What was asked for, as it was read for the first start.
    first: Option<Container>,
    /// The container is no more, but for what nobody has to wait for.
    remains: Option<Lock>,
    /// What resolves names for the container, while it runs.
    resolver: Option<Resolver>,
    /// What connects the container of an ordinary user, while it runs.
    user_network: Option<UserNetwork>,
}

impl Attended {
    /// `lock` is that of the container, where the one who started the monitor handed it over.
    pub fn new(engine: Engine, id: String, own_lock: OwnedFd, lock: Option<Lock>) -> Attended {
        Attended {
            engine,
            id,
            own_lock,
            lock,
            state: State::default(),
            first: None,
            remains: None,
            resolver: None,
            user_network: None,
        }
    }

    /// Removes what is left of a container that is no more; to be done when nobody waits any more. What is not, because
    /// this is killed, the next command does.
    pub fn sweep(&self) -> Result<()> {
        self.remains.as_ref().map_or(Ok(()), |lock| self.engine.remove_remains(lock, &self.id))
    }

    /// Goes on with the resolver of the image before, by its sockets.
    pub fn resume_resolver(&mut self, udp: OwnedFd, tcp: OwnedFd) {
        // Names that can't be resolved any more are no reason to end a container.
        self.resolver = self.engine.resume_resolver(&self.id, udp, tcp).ok().flatten();
    }

    /// Goes on with the program that connects the container.
    pub fn resume_user_network(&mut self, program: OwnedFd) {
        self.user_network = Some(UserNetwork::with(program));
    }

    /// What the event loop has to know of the container.
    pub fn monitor_config(&mut self) -> Result<::monitor::Config> {
        let container = self.container()?;
        let config = crate::start::monitor_config(&self.engine, &container)?;
        self.first = Some(container);
        Ok(config)
    }

    fn container(&self) -> Result<Container> {
        let gone = || Error::NoSuchContainer(self.id.clone());
        match &self.lock {
            Some(lock) => lock.container()?.ok_or_else(gone),
            None => self.dir()?.container()?.ok_or_else(gone),
        }
    }

    fn dir(&self) -> Result<Dir> {
        let gone = || Error::NoSuchContainer(self.id.clone());
        Dir::open(self.engine.paths().container(&self.id))?.ok_or_else(gone)
    }

    /// Takes the lock, if it is not held, and reads the state.
    fn take_lock(&mut self) -> Result<()> {
        if self.lock.is_none() {
            self.lock = Some(self.dir()?.lock()?);
        }
        if let Some(state) = self.lock.as_ref().and_then(|lock| lock.state().transpose()).transpose()? {
            self.state = state;
        }
        Ok(())
    }

    /// Takes the lock where it is not held: then the state is what was read.
    fn hold_lock(&mut self) -> Result<()> {
        if self.lock.is_some() { Ok(()) } else { self.take_lock() }
    }

    /// Writes the state and lets others in.
    fn let_go(&mut self) -> Result<()> {
        let Some(lock) = self.lock.take() else { return Ok(()) };
        let written = lock.write_state(&self.state);
        lock.release();
        written
    }

    fn run(&mut self, container: &Container, stdio: &PayloadStdio) -> Result<Started> {
        let engine = &self.engine;
        let snapshot = engine.snapshots()?.snapshot(&self.id)?;
        let namespace = idmaps::namespace(container)?;
        let user = namespace.as_ref().map(AsFd::as_fd);
        let rootfs = match container.asked.host_config.auto_remove {
            true => snapshot.mount_for_once(user)?,
            false => snapshot.mount(user)?,
        };
        let mapping = idmaps::Mapping::of(container, namespace.as_ref());
        let Launch { mut spec, trees, cgroup_driver, users_cgroups, rootless } =
            engine.launch(container, rootfs.as_fd(), mapping)?;
        if let Some(root) = &mut spec.root {
            // Where it is attached, in the container's mount namespace alone.
            root.path = snapshot.path().join("merged").to_string_lossy().into_owned();
        }
        let options = options(stdio)?;
        if let (Some(mapping), Some(process), Some(stdio)) = (mapping, &spec.process, &options.stdio) {
            // So that it can open /dev/stdout, as everybody can their own.
            let (uid, gid) = mapping.ids.outside(process.user.uid, process.user.gid);
            give(stdio, uid, gid)?;
        }
        let preparation = Preparation::new(engine, container, &spec, rootless)?;
        let bundle = Bundle::new(&engine.paths().container(&self.id), spec)?;
        let options = CreateOptions {
            cgroup_driver,
            users_cgroups,
            rootfs: Some(rootfs),
            trees,
            start: true,
            ..options
        };
        let connects = preparation.connects();
        let mut prepared = Prepared::default();
        let prepare = preparation.is_needed().then(|| {
            Prepare::new(|born| {
                prepared = preparation.carry_out(born)?;
                Ok(())
            })
        });
        let options = CreateOptions { prepare, ..options };
        let created = runtime::create(&engine.paths().oci(), &container.runtime_id(), bundle, options);
        let Prepared { connected, resolver, mut user_network } = prepared;
        if created.is_err() && connects {
            if let Some(network) = user_network.take() {
                network.end();
            }
            // What can't be taken back now, the networks take back when they come across it.
            let _ = engine.disconnect(&self.id);
        }
        let created =
            created.map_err(|failure| crate::error::start_failure("failed to start container", &failure))?;
        (self.resolver, self.user_network) = (resolver, user_network);
        self.record_start(created.pid.as_raw_nonzero().get(), container, connected);
        if let Err(error) = self.let_go() {
            // One that nobody knows of must not run.
            let _ = created.container.delete(true);
            return Err(error);
        }
        let mut events = container.volume_events("mount");
        events.push(container.event("start", []));
        self.engine.events().emit(&events);
        Ok(Started { pid: created.pid, pidfd: created.pidfd })
    }

    /// What is left of a run.
    fn clear(&mut self, exited: &mut Exited) -> Result<()> {
        self.resolver = None;
        if let Some(network) = self.user_network.take() {
            network.end();
        }
        if let Some(payload) = self.engine.payload(&self.id)? {
            let kills = payload.cgroup().map(cgroup::Group::oom_kills).transpose();
            exited.oom = kills.ok().flatten().unwrap_or(0) > 0;
            payload.delete(true)?;
        }
        if !self.state.networks.is_empty() {
            self.engine.disconnect(&self.id)?;
        }
        Ok(())
    }

    /// The end of the container's run: its state, or, with `--rm`, its removal.
    fn finish(&mut self, ended: &Ended) -> Result<()> {
        self.hold_lock()?;
        let failed = match ended {
            Ended::Failed(failed) => {
                self.state.error.clone_from(&failed.message);
                self.state.exit_code = failed.code.into();
                true
            }
            Ended::Exited(_) => false,
        };
        let container = self.container()?;
        let mut events = Vec::new();
        // Where it waited for a restart, its end was told already.
        if !failed && self.state.status != Status::Restarting {
            events.extend(self.end_events(&container));
        }
        if self.state.row.auto_remove {
            let Some(lock) = self.lock.take() else { return Ok(()) };
            events.push(container.event("destroy", []));
            // Told before it is so: who waits for the removal must find the exit code.
            self.engine.events().emit(&events);
            self.engine.forget_locked(&lock, &container)?;
            self.remains = Some(lock);
        } else {
            if !failed || self.state.status.is_active() {
                self.state.status = Status::Exited;
            }
            self.engine.clear_run_directory(&self.id)?;
            self.let_go()?;
            self.engine.events().emit(&events);
        }
        Ok(())
    }

    fn record_start(&mut self, pid: i32, container: &Container, connected: Connected) {
        let state = &mut self.state;
        state.status = Status::Running;
        state.networks = connected.networks;
        state.ports = connected.ports;
        state.pid = pid;
        state.started_at = clock::text(clock::now());
        state.error.clear();
        state.stop_requested = false;
        state.oom_killed = false;
        state.exit_code = 0;
        // A restart took it away, so that the container stayed.
        state.row.auto_remove = container.asked.host_config.auto_remove;
        state.health = if container.has_health_check() { Health::Starting } else { Health::None };
    }

    fn record_exit(&mut self, exited: &Exited) {
        let state = &mut self.state;
        state.pid = 0;
        state.exit_code = exited.code.into();
        state.oom_killed = exited.oom;
        state.finished_at = clock::text(exited.at);
        state.ports.clear();
        state.networks.clear();
        state.health = Health::None;
    }

    /// What is told of the end of a run.
    fn end_events(&self, container: &Container) -> Vec<Event> {
        let State { started_at, finished_at, exit_code, oom_killed, .. } = &self.state;
        let seconds = clock::parse(finished_at).zip(clock::parse(started_at));
        let seconds = seconds.map_or(0, |(finished, started)| (finished - started).max(0) / 1_000_000_000);
        let more = [("exitCode", exit_code.to_string()), ("execDuration", seconds.to_string())];
        let oom = oom_killed.then(|| container.event("oom", []));
        let ends = oom.into_iter().chain([container.event("die", more)]);
        ends.chain(container.volume_events("unmount")).collect()
    }

    fn intent(&self) -> Intent {
        let policy = &self.state.row.restart;
        let policy = if policy.is_empty() { Policy::No } else { policy.parse().unwrap_or_default() };
        Intent { policy, stopped: self.state.stop_requested }
    }
}

/// How the payload is made; its descriptors are copies, for the monitor closes its own when the payload runs.
fn options(stdio: &PayloadStdio) -> Result<CreateOptions<'static>> {
    let copy = |fd: &OwnedFd| fd.try_clone().map_err(|error| Error::io("copy", "stdio", error));
    Ok(match stdio {
        PayloadStdio::Pipes { stdin, stdout, stderr } => CreateOptions {
            stdio: Some([copy(stdin)?, copy(stdout)?, copy(stderr)?]),
            ..CreateOptions::default()
        },
        PayloadStdio::Terminal { console_socket, .. } => {
            CreateOptions { console_socket: Some(copy(console_socket)?), ..CreateOptions::default() }
        }
    })
}

/// Makes pipes those of a user; nothing that has a name, such as /dev/null.
fn give(stdio: &[OwnedFd], uid: u32, gid: u32) -> Result<()> {
    use rustix::fs::{Gid, Uid, fchown, fstatfs};
    let fail = |errno| Error::io("give to the container's user", "stdio", errno);
    for fd in stdio {
        if fstatfs(fd).map_err(fail)?.f_type == PIPEFS {
            fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(fail)?;
        }
    }
    Ok(())
}

/// An error with all its causes, as one sentence.
pub(crate) fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

impl Charge for Attended {
    fn start(&mut self, stdio: &PayloadStdio) -> std::result::Result<Started, Failed> {
        let started = (|| {
            self.take_lock()?;
            let container = self.first.take().map_or_else(|| self.container(), Ok)?;
            self.run(&container, stdio)
        })();
        started.map_err(|error: Error| Failed { message: sentence(&error), code: error.exit_code() })
    }

    fn exited(&mut self, exited: &mut Exited) -> Intent {
        // A container whose state can't be read is not started again; its next visitor repairs what is left.
        if self.take_lock().is_err() {
            return Intent { policy: Policy::No, stopped: true };
        }
        // What can't be removed now, the next start or `rm` removes.
        let _ = self.clear(exited);
        self.record_exit(exited);
        self.intent()
    }

    fn restarting(&mut self, _delay: Duration, count: u32) {
        if let (Ok(()), Ok(container)) = (self.hold_lock(), self.container()) {
            self.engine.events().emit(&self.end_events(&container));
            self.state.status = Status::Restarting;
            self.state.restart_count = count;
        }
        // It stays `running` for whoever looks, until the next start writes what is true.
        let _ = self.let_go();
    }

    fn look_again(&mut self) -> Intent {
        let state = self.dir().and_then(|dir| dir.state());
        match state {
            Ok(Some(state)) => {
                self.state = state;
                self.intent()
            }
            _ => Intent { policy: Policy::No, stopped: true },
        }
    }

    fn health(&mut self, health: &Checked, is_new_status: bool) {
        let status = match health.status {
            CheckStatus::Starting => Health::Starting,
            CheckStatus::Healthy => Health::Healthy,
            CheckStatus::Unhealthy => Health::Unhealthy,
        };
        // A check whose result can't be written down is one that nobody sees; the next may be.
        let _ = (|| {
            self.take_lock()?;
            if let Some(lock) = &self.lock {
                lock.write_record(HEALTH, health)?;
            }
            if is_new_status && self.state.health != status {
                self.state.health = status;
                let container = self.container()?;
                let action = format!("health_status: {}", status.as_str());
                self.engine.events().emit(&[container.event(&action, [])]);
                return self.let_go();
            }
            if let Some(lock) = self.lock.take() {
                lock.release();
            }
            Ok::<(), Error>(())
        })();
    }

    fn probe(&mut self, output: BorrowedFd<'_>) -> runtime::Result<Started> {
        self.engine.probe(&self.id, output).map_err(|error| match error {
            Error::Runtime(failure) => failure,
            other => Failure::because("check", "the health", sentence(&other)),
        })
    }

    fn is_paused(&mut self) -> bool {
        self.dir()
            .and_then(|dir| dir.state())
            .is_ok_and(|state| state.is_some_and(|state| state.status == Status::Paused))
    }

    fn end(&mut self, ended: &Ended) {
        // What could not be cleaned up, the next command does.
        let _ = self.finish(ended);
    }

    fn luggage(&self) -> Luggage<'_> {
        let mut fds = vec![(LOCK, self.own_lock.as_fd())];
        if let Some(resolver) = &self.resolver {
            let [udp, tcp] = resolver.sockets();
            fds.extend([(RESOLVER_UDP, udp), (RESOLVER_TCP, tcp)]);
        }
        fds.extend(self.user_network.as_ref().map(|network| (USER_NETWORK, network.as_fd())));
        Luggage { fds, state: serde_json::Value::Null }
    }

    fn side(&self) -> Option<BorrowedFd<'_>> {
        self.resolver.as_ref().map(AsFd::as_fd)
    }

    fn told(&mut self) {
        if self.resolver.is_none() {
            // Where it can't be opened names stay unknown, which is no reason to end a container.
            self.resolver = self.engine.open_resolver(&self.id).ok().flatten();
        }
    }

    fn serve(&mut self) {
        if let Some(resolver) = &mut self.resolver {
            resolver.serve();
        }
    }
}
