//! Starting a container: its monitor is spawned, and does it.
//!
//! ```text
//! client                                              monitor
//!   lock of the container, lock of the monitor
//!   clone, exec from the copy of the binary ─────────►  has both locks, and one end of a socket pair
//!   closes its own copies
//!                                                       mounts the root, makes the spec, runtime::create()
//!                                                       writes state.json: running
//!                                                       lets go of the container's lock
//!   ◄──────────────────────────────── {"started"} ────
//! ```
//! The locks are open files that both processes share: they are held until the last copy is closed. So a client that is
//! killed takes nothing along, and between the two nobody else can get in.

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use ::monitor::attach::{Client, Wants};
use ::monitor::health::Checks;
use ::monitor::log::{self, About};
use ::monitor::stdio::Size;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::{Errno, FdFlags};
use sys::process::{CloneFlags, Cloned};

use crate::config::Healthcheck;
use crate::container::Container;
use crate::create::Created;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::record::{Lock, make_directory};
use crate::state::Status;

/// The name by which the binary knows that it is a monitor.
pub const MONITOR: &str = "berth-monitor";

/// What a monitor inherits.
pub(crate) struct Inheritance<'a> {
    /// The container's lock; none where it was started before.
    pub lock: BorrowedFd<'a>,
    /// The monitor's own.
    pub own_lock: BorrowedFd<'a>,
    /// The first client's connection.
    pub client: BorrowedFd<'a>,
}

impl Engine {
    /// Starts a container that does not run. What comes back is the connection to its monitor, on which the answer will
    /// arrive; with `wants` it gets the payload's output from the first byte on.
    ///
    /// # Errors
    /// Where it runs already, is paused, or no monitor can be made.
    pub fn start(&self, container: &Container, wants: Option<Wants>) -> Result<Client> {
        let (lock, state) = self.lock(container)?;
        self.start_locked(&lock, container, state.status, wants)
    }

    /// Starts a container that was just made: nobody, not even `prune`, comes in between.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_created(&self, created: &mut Created, wants: Option<Wants>) -> Result<Client> {
        let Some(lock) = created.lock.take() else { return self.start(&created.container, wants) };
        self.start_locked(&lock, &created.container, Status::Created, wants)
    }

    fn start_locked(
        &self,
        lock: &Lock,
        container: &Container,
        status: Status,
        wants: Option<Wants>,
    ) -> Result<Client> {
        let name = &container.name;
        match status {
            Status::Created | Status::Exited | Status::Dead => {}
            Status::Running | Status::Restarting => {
                return Err(Error::NotModified(format!("container {name} is already running")));
            }
            Status::Paused => {
                return Err(Error::Conflict(
                    "cannot start a paused container, try unpause instead".to_owned(),
                ));
            }
            Status::Removing => {
                return Err(Error::Conflict(format!(
                    "container {name} is marked for removal and cannot be started"
                )));
            }
        }
        let own_lock = self.reserve_monitor(&container.id)?;
        let (mut client, theirs) = Client::pair()?;
        // Said before there is a monitor, so that it begins with that.
        client.want(wants.unwrap_or_default(), wants.is_some() && container.asked.config.tty)?;
        let inheritance =
            Inheritance { lock: lock.as_fd(), own_lock: own_lock.as_fd(), client: theirs.as_fd() };
        self.spawn_monitor(&container.id, &inheritance)?;
        Ok(client)
    }

    /// The lock that says that there is a monitor. Whoever had it last may still be about to end.
    fn reserve_monitor(&self, id: &str) -> Result<OwnedFd> {
        let path = self.paths().monitor_lock(id);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let open = || rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600));
        let opened = match open() {
            Err(Errno::NOENT) => {
                make_directory(path.parent().unwrap_or(&path), 0o711)?;
                open()
            }
            opened => opened,
        };
        let file = opened.map_err(|errno| Error::io("open", &path, errno))?;
        rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))
            .map_err(|errno| Error::io("lock", path, errno))?;
        Ok(file)
    }

    /// The monitor runs from a copy of the binary that its container can't reach (CVE-2019-5736), in a session of its
    /// own.
    fn spawn_monitor(&self, id: &str, inheritance: &Inheritance<'_>) -> Result<()> {
        let binary = runtime::own_binary()?;
        let fds = [inheritance.lock, inheritance.own_lock, inheritance.client];
        let numbers = fds.map(|fd| fd.as_raw_fd().to_string()).join(",");
        let mut args = self.monitor_arguments(id);
        args.push(format!("{FDS}{numbers}").into());
        let strings = |strings: &mut dyn Iterator<Item = OsString>| {
            // Neither the kernel's strings nor paths that were opened hold a NUL.
            strings.filter_map(|string| CString::new(string.into_vec()).ok()).collect::<Vec<_>>()
        };
        let args = strings(&mut args.into_iter());
        let mark = rootless::variable().map(|(name, value)| (name.into(), value.into()));
        let env = strings(
            &mut std::env::vars_os()
                .chain(mark)
                .map(|(name, value)| OsString::from_vec([name.as_bytes(), b"=", value.as_bytes()].concat())),
        );
        // Whoever comes must find the monitor among the members, also if this process is killed right now.
        let members =
            rootless::current().map(|_| rootless::Members::lock(&Paths::run_of_user())).transpose()?;
        let cloned = sys::process::clone(CloneFlags::empty(), None)
            .map_err(|error| Error::io("clone", MONITOR, error))?;
        let Cloned::Parent { .. } = cloned else {
            // What fails here, the client sees as the end of the connection.
            let pid = format!("{}\n", rustix::process::getpid());
            let ready = members.is_none_or(|members| members.add(rustix::process::getpid()).is_ok())
                && rustix::process::setsid().is_ok()
                && rustix::io::pwrite(inheritance.own_lock, pid.as_bytes(), 0).is_ok()
                && sys::process::close_from_but(3, &[binary.as_fd(), fds[0], fds[1], fds[2]]).is_ok()
                && fds.iter().all(|fd| rustix::io::fcntl_setfd(fd, FdFlags::empty()).is_ok());
            if ready {
                let _ = sys::process::exec_fd(binary.as_fd(), &args, &env);
            }
            sys::process::exit_now(125);
        };
        Ok(())
    }

    /// The arguments by which a monitor knows its container.
    pub(crate) fn monitor_arguments(&self, id: &str) -> Vec<OsString> {
        let path = |path: &Path| path.as_os_str().to_owned();
        vec![MONITOR.into(), path(&self.paths().root), path(&self.paths().run), id.into()]
    }
}

/// Begins the argument that says which descriptors a monitor inherits.
pub(crate) const FDS: &str = "--fds=";

/// What a container's monitor has to know.
///
/// # Errors
/// Options of its log that make no sense.
pub(crate) fn monitor_config(engine: &Engine, container: &Container) -> Result<::monitor::Config> {
    let Container { id, name, image, asked, .. } = container;
    let (config, host) = (&asked.config, &asked.host_config);
    let about =
        About { id, name, image_id: image, image: &config.image, labels: &config.labels, env: &config.env };
    let log = &host.log_config;
    let log = log::Config::new(&log.r#type, &log.config, &about, engine.paths().logs(id))
        .map_err(|error| Error::Invalid(error.to_string()))?;
    let [rows, cols] = host.console_size.map(|cells| u16::try_from(cells).unwrap_or(0));
    Ok(::monitor::Config {
        tty: config.tty,
        console_size: (rows > 0 && cols > 0).then_some(Size { rows, cols }),
        open_stdin: config.open_stdin,
        stdin_once: config.stdin_once,
        log,
        runtime_dir: engine.paths().running(id),
        checks: config.healthcheck.as_ref().filter(|_| container.has_health_check()).map(checks),
        again: Some(engine.monitor_arguments(id)),
    })
}

/// When health is checked: what is not said is Docker's.
fn checks(healthcheck: &Healthcheck) -> Checks {
    let default = Checks::default();
    let or = |nanoseconds: i64, default: Duration| match u64::try_from(nanoseconds) {
        Ok(nanoseconds) if nanoseconds > 0 => Duration::from_nanos(nanoseconds),
        _ => default,
    };
    let retries = u32::try_from(healthcheck.retries).ok().filter(|retries| *retries > 0);
    Checks {
        interval: or(healthcheck.interval, default.interval),
        timeout: or(healthcheck.timeout, default.timeout),
        start_period: or(healthcheck.start_period, default.start_period),
        start_interval: or(healthcheck.start_interval, default.start_interval),
        retries: retries.unwrap_or(default.retries),
    }
}
