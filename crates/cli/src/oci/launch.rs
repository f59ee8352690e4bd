//! `create` and `run`.

use std::path::{Path, PathBuf};

use clap::Args;
use oci::ContainerId;
use runtime::failure::OrFail;
use runtime::{Bundle, CreateOptions, Created, Failure};

use super::console::Console;
use super::log::Log;
use super::notify::{self, Notify};
use super::supervise::Supervisor;
use super::{Global, Outcome, container_id};

/// Flags that both commands have.
#[derive(Args)]
struct Launch {
    /// The container's name
    id: String,
    /// Directory with config.json
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// Socket that receives the terminal's controlling end
    #[arg(long, value_name = "PATH")]
    console_socket: Option<PathBuf>,
    /// Socket that receives a pidfd of the first process
    #[arg(long, value_name = "PATH")]
    pidfd_socket: Option<PathBuf>,
    /// File that receives the id of the first process
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Use no pivot_root, for a root in the initial ramdisk
    #[arg(long)]
    no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    no_new_keyring: bool,
    /// Pass descriptors 3 to 2+N on to the program
    #[arg(long, value_name = "N", default_value_t = 0)]
    preserve_fds: u32,
    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
pub struct Create {
    #[command(flatten)]
    launch: Launch,
}

#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    launch: Launch,
    /// Return when the program runs
    #[arg(short, long)]
    detach: bool,
    /// Keep the container after its end
    #[arg(long)]
    keep: bool,
    /// Leave the reaping of orphans to others
    #[arg(long)]
    no_subreaper: bool,
}

impl Create {
    pub fn run(self, global: &Global, log: &Log) -> Outcome {
        if self.launch.dry_run {
            return self.launch.dry_run(global, false);
        }
        let id = container_id(&self.launch.id)?;
        let bundle = self.launch.bundle()?;
        let console = Console::new(bundle.has_terminal(), self.launch.console_socket.as_deref(), true)?;
        log.debug(&format!("nsexec container setup: {id} is created"));
        let created = self.launch.create(global, &id, bundle, &console, false)?;
        tell(log, &created);
        Ok(0)
    }
}

impl Run {
    pub fn run(self, global: &Global, log: &Log) -> Outcome {
        if self.launch.dry_run {
            return self.launch.dry_run(global, true);
        }
        let id = container_id(&self.launch.id)?;
        let bundle = self.launch.bundle()?;
        let console =
            Console::new(bundle.has_terminal(), self.launch.console_socket.as_deref(), self.detach)?;
        let supervisor = if self.detach { None } else { Some(Supervisor::new(!self.no_subreaper)?) };
        log.debug(&format!("nsexec container setup: {id} is created and started"));
        let mut created = self.launch.create(global, &id, bundle, &console, true)?;
        tell(log, &created);
        let notify = created.notify.take().map(Notify::new).transpose();
        let notify = notify.map(Option::flatten).unwrap_or_else(|failure| {
            // The program runs, and whoever waits for its readiness will find that out.
            log.warning(&failure.to_string());
            None
        });
        let Some(supervisor) = supervisor else {
            if let Some(notify) = notify {
                notify.until_ready(created.pid, &created.pidfd)?;
            }
            return Ok(0);
        };
        let code = supervisor.run(created.pid, &created.pidfd, console, notify).inspect_err(|_| {
            // Nobody is left who would: the first failure is the one to tell.
            let _ = created.container.delete(true);
        })?;
        if !self.keep {
            created.container.delete(true)?;
        }
        Ok(code)
    }
}

/// What was done, in runc's words, which its callers look for.
fn tell(log: &Log, created: &Created) {
    log.debug(&format!(
        "child process in init(): container {} has first process {}",
        created.container.id(),
        created.pid
    ));
    log.debug("init: closing the pipe to signal completion");
    created.warnings.iter().for_each(|warning| log.warning(warning));
}

impl Launch {
    fn bundle(&self) -> Result<Bundle, Failure> {
        Bundle::open(&self.bundle)
    }

    fn dry_run(&self, global: &Global, start: bool) -> Outcome {
        let options = self.options(global, &Console::None, start)?;
        let plan = runtime::plan_create(&container_id(&self.id)?, self.bundle()?, &options)?;
        print!("{plan}");
        Ok(0)
    }

    fn create(
        &self,
        global: &Global,
        id: &ContainerId,
        bundle: Bundle,
        console: &Console,
        start: bool,
    ) -> Result<Created, Failure> {
        let (root, mut options) = (global.state_root(), self.options(global, console, start)?);
        if notify::is_wanted() {
            options.notify = Some(runtime::notify::directory(&root, id));
            options.extra_env.push(runtime::notify::VARIABLE.to_owned());
        }
        let created = runtime::create(&root, id, bundle, options)?;
        if let Some(path) = &self.pidfd_socket {
            super::console::send_pidfd(path, &created.pidfd).inspect_err(|_| {
                // A container that its caller was told nothing of must not stay.
                let _ = created.container.delete(true);
            })?;
        }
        Ok(created)
    }

    fn options(
        &self,
        global: &Global,
        console: &Console,
        start: bool,
    ) -> Result<CreateOptions<'static>, Failure> {
        let passed = PassedSockets::from_environment();
        let preserve_fds = self.preserve_fds.saturating_add(passed.count);
        check_open(preserve_fds)?;
        Ok(CreateOptions {
            cgroup_driver: global.cgroup_driver(),
            rootless: global.is_rootless(),
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
            preserve_fds,
            console_socket: console.socket()?,
            relays_console: console.is_relayed(),
            pid_file: absolute(self.pid_file.as_deref())?,
            start,
            extra_env: passed.environment(),
            ..CreateOptions::default()
        })
    }
}

/// Descriptors 3 to 2+N, which are to be passed on, must be there.
pub fn check_open(preserve_fds: u32) -> Result<(), Failure> {
    match (3..3u32.saturating_add(preserve_fds)).find(|fd| !sys::process::is_open(*fd as i32)) {
        Some(fd) => Err(Failure::because("preserve", format!("descriptor {fd}"), "it is not open")),
        None => Ok(()),
    }
}

/// A path that means the same whatever the working directory becomes.
pub fn absolute(path: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    path.map(std::path::absolute).transpose().or_fail("use", "pid file")
}

/// Sockets that systemd's activation passed to the runtime (sd_listen_fds(3)): they are the program's.
struct PassedSockets {
    count: u32,
    names: Option<String>,
}

impl PassedSockets {
    fn from_environment() -> Self {
        let variable = |name| std::env::var(name).ok();
        let own = variable("LISTEN_PID").is_none_or(|pid| pid.parse() == Ok(std::process::id()));
        let count = variable("LISTEN_FDS").and_then(|count| count.parse().ok()).filter(|_| own).unwrap_or(0);
        Self { count, names: variable("LISTEN_FDNAMES") }
    }

    fn environment(&self) -> Vec<String> {
        if self.count == 0 {
            return Vec::new();
        }
        let names = self.names.iter().map(|names| format!("LISTEN_FDNAMES={names}"));
        [format!("LISTEN_FDS={}", self.count), "LISTEN_PID=1".to_owned()].into_iter().chain(names).collect()
    }
}
