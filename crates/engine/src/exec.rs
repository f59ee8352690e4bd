//! Further processes in a running container.

mod session;

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ::monitor::Started;
use ::monitor::attach::{DetachKeys, Signals};
use oci::spec::Process;
use runtime::{ExecOptions, Executed};
use rustix::fs::{FlockOperation, flock};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use sys::process::{CloneFlags, Cloned};

use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::spec::Host;
use crate::state::Status;
use crate::users::Accounts;

/// A process that is to run in a container, in Docker's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecConfig {
    /// Program and arguments.
    pub cmd: Vec<String>,
    /// Variables, over those of the container.
    pub env: Vec<String>,
    /// `user`, `uid`, each also with a group; the container's where empty.
    pub user: String,
    /// The directory; the container's where empty.
    pub working_dir: String,
    /// Whether it gets a terminal.
    pub tty: bool,
    /// Whether it gets our input.
    pub attach_stdin: bool,
    /// Whether nobody waits for it.
    pub detach: bool,
    /// Whether it has all capabilities.
    pub privileged: bool,
    /// Keys that leave it alone.
    pub detach_keys: String,
    /// Rows and columns of its terminal.
    pub console_size: [u32; 2],
}

/// What became of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecEnding {
    /// It has ended with this exit code.
    Exited(u8),
    /// It goes on alone; its id.
    Detached(String),
}

impl Engine {
    /// Runs a process in a running container, with our own stdin, stdout and stderr or a terminal. The caller must have
    /// one thread; signals are held back from here on.
    ///
    /// # Errors
    /// Where the container does not run, or the program can't be started: with Docker's exit code.
    pub fn exec(&self, container: &Container, config: &ExecConfig) -> Result<ExecEnding> {
        runtime::leave_host_binary(rootless::variable())?;
        let payload = self.payload_for_exec(container)?;
        let process = self.exec_process(&payload, config)?;
        let exec = Exec { engine: self, container, config, id: crate::id::new()? };
        if config.detach { exec.detached(&payload, &process) } else { exec.attached(&payload, &process) }
    }

    fn payload_for_exec(&self, container: &Container) -> Result<runtime::Container> {
        match self.state(container)?.status {
            Status::Running => self.running_payload(container),
            Status::Paused => {
                let cause =
                    format!("Container {} is paused, unpause the container before exec", container.name);
                Err(Error::Conflict(cause))
            }
            Status::Restarting => {
                let cause = format!(
                    "Container {} is restarting, wait until the container is running",
                    container.name
                );
                Err(Error::Conflict(cause))
            }
            _ => Err(Error::NotRunning(container.id.clone())),
        }
    }

    /// The ids of the processes that `exec` added and that run: each has its record locked.
    pub(crate) fn exec_ids(&self, id: &str) -> Option<Vec<String>> {
        let entries = std::fs::read_dir(self.paths().running(id).join("exec")).ok()?;
        let runs = |path: &std::path::Path| {
            let lock = |file| flock(&file, FlockOperation::NonBlockingLockShared);
            File::open(path).is_ok_and(|file| lock(file).is_err())
        };
        let running = entries.flatten().filter(|entry| runs(&entry.path()));
        let mut ids: Vec<String> = running.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        ids.sort();
        (!ids.is_empty()).then_some(ids)
    }

    /// What runs, made of what the container's first process is and what is asked for.
    pub(crate) fn exec_process(&self, payload: &runtime::Container, config: &ExecConfig) -> Result<Process> {
        let spec = payload.config()?;
        let mut process = spec.process.unwrap_or_default();
        process.args.clone_from(&config.cmd);
        process.terminal = config.tty;
        process.env = crate::merge::effective_env(&process.env, &config.env);
        if !config.working_dir.is_empty() {
            process.cwd.clone_from(&config.working_dir);
        }
        if !config.user.is_empty() {
            let root = root_of(payload.record().pid)?;
            let user = Accounts::read(root.as_fd())?.user(&config.user, &[])?;
            process.user.uid = user.uid;
            process.user.gid = user.gid;
            process.user.additional_gids = user.groups;
            set_home(&mut process.env, &user.home);
        }
        if config.privileged {
            let names: Vec<String> =
                Host::detect()?.capabilities.iter().map(|capability| capability.to_string()).collect();
            let capabilities = process.capabilities.get_or_insert_default();
            capabilities.bounding.clone_from(&names);
            capabilities.effective.clone_from(&names);
            capabilities.permitted = names;
        }
        let [height, width] = config.console_size;
        process.console_size =
            (config.tty && height > 0 && width > 0).then_some(oci::spec::ConsoleSize { height, width });
        Ok(process)
    }

    /// Starts the command of a container's health check.
    pub(crate) fn probe(&self, id: &str, output: BorrowedFd<'_>) -> Result<Started> {
        let container = self.find(id)?;
        let payload = self.running_payload(&container)?;
        let config = ExecConfig { cmd: health_command(&container), ..ExecConfig::default() };
        let process = self.exec_process(&payload, &config)?;
        let copy = || output.try_clone_to_owned().map_err(|error| Error::io("copy", "a pipe", error));
        let options = ExecOptions { stdio: Some([null()?, copy()?, copy()?]), ..ExecOptions::default() };
        let executed = payload.exec(&process, options)?;
        Ok(Started { pid: executed.pid, pidfd: executed.pidfd })
    }
}

/// A process that is being added.
struct Exec<'a> {
    engine: &'a Engine,
    container: &'a Container,
    config: &'a ExecConfig,
    id: String,
}

impl Exec<'_> {
    fn attached(&self, payload: &runtime::Container, process: &Process) -> Result<ExecEnding> {
        let signals = Signals::hold()?;
        let (options, side) = self.stdio()?;
        let _record = self.record()?;
        let executed = self.start(payload, process, options)?;
        Ok(match session::accompany(&executed.pidfd, side, &signals)? {
            session::Ended::Exited(code) => {
                self.died(code);
                ExecEnding::Exited(code)
            }
            session::Ended::Detached => ExecEnding::Detached(self.id.clone()),
        })
    }

    /// A child of ours starts the process, says how that went, and waits for its end: somebody must write it down.
    fn detached(&self, payload: &runtime::Container, process: &Process) -> Result<ExecEnding> {
        let (mut answer, word) = session::Word::pair()?;
        let cloned = sys::process::clone(CloneFlags::empty(), None);
        match cloned.map_err(|error| Error::io("clone", "a process", error))? {
            Cloned::Child => {
                drop(answer);
                let code = self.be_detached(payload, process, word);
                sys::process::exit_now(code);
            }
            Cloned::Parent { .. } => drop(word),
        }
        let mut text = Vec::new();
        answer.read_to_end(&mut text).map_err(|error| Error::io("read", "the answer of exec", error))?;
        match text.split_first() {
            None => Ok(ExecEnding::Detached(self.id.clone())),
            Some((code, message)) => {
                Err(Error::Start { message: String::from_utf8_lossy(message).into_owned(), code: *code })
            }
        }
    }

    fn be_detached(&self, payload: &runtime::Container, process: &Process, word: session::Word) -> i32 {
        let started = (|| {
            rustix::process::setsid().map_err(|errno| Error::io("make", "a session", errno))?;
            session::leave_stdio()?;
            let signals = Signals::hold()?;
            let (options, side) = self.stdio()?;
            let record = self.record()?;
            let executed = self.start(payload, process, options)?;
            Ok((executed, side, record, signals))
        })();
        match started {
            Err(error) => {
                let error: Error = error;
                word.failed(&crate::attend::sentence(&error), error.exit_code());
                125
            }
            Ok((executed, side, record, signals)) => {
                drop(word);
                if let Ok(session::Ended::Exited(code)) = session::accompany(&executed.pidfd, side, &signals)
                {
                    self.died(code);
                }
                drop(record);
                0
            }
        }
    }

    fn stdio(&self) -> Result<(ExecOptions, session::Side)> {
        if !self.config.tty {
            let (stdio, side) = session::streams(self.config.attach_stdin)?;
            return Ok((ExecOptions { stdio: Some(stdio), ..ExecOptions::default() }, side));
        }
        let fail = |errno| Error::io("make", "a socket pair", errno);
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).map_err(fail)?;
        let keys = self.config.detach_keys.parse::<DetachKeys>();
        let keys = keys.map_err(|error| Error::Invalid(error.to_string()))?;
        let interactive = !self.config.detach;
        let options = ExecOptions {
            console_socket: Some(theirs),
            relays_console: interactive,
            ..ExecOptions::default()
        };
        let keys = (interactive && self.config.attach_stdin).then_some(keys);
        Ok((options, session::Side::Terminal { socket: ours, keys, interactive }))
    }

    fn start(
        &self,
        payload: &runtime::Container,
        process: &Process,
        options: ExecOptions,
    ) -> Result<Executed> {
        let executed = payload
            .exec(process, options)
            .map_err(|failure| crate::error::start_failure("exec failed", &failure))?;
        let id = || self.id.clone();
        let command = self.config.cmd.join(" ");
        self.engine.events().emit(&[
            self.container.event(&format!("exec_create: {command}"), [("execID", id())]),
            self.container.event(&format!("exec_start: {command}"), [("execID", id())]),
        ]);
        Ok(executed)
    }

    fn died(&self, code: u8) {
        let more = [("execID", self.id.clone()), ("exitCode", code.to_string())];
        self.engine.events().emit(&[self.container.event("exec_die", more)]);
    }

    /// The record of the process, locked for as long as somebody goes along with it.
    fn record(&self) -> Result<Record> {
        let directory = self.engine.paths().running(&self.container.id).join("exec");
        let path = directory.join(&self.id);
        let make = || File::options().write(true).create_new(true).open(&path);
        let file = match make() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                match std::fs::create_dir(&directory) {
                    Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
                    _ => make(),
                }
            }
            made => made,
        };
        let mut file = file.map_err(|error| Error::io("make", &path, error))?;
        flock(&file, FlockOperation::LockExclusive).map_err(|errno| Error::io("lock", &path, errno))?;
        serde_json::to_writer(&mut file, self.config).map_err(|error| Error::io("write", &path, error))?;
        Ok(Record { path, _file: file })
    }
}

/// The file that says that a process runs; gone when dropped.
struct Record {
    path: std::path::PathBuf,
    _file: File,
}

impl Drop for Record {
    fn drop(&mut self) {
        // It went with the container.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// `["CMD", …]` is a program, `["CMD-SHELL", line]` is for the container's shell.
fn health_command(container: &Container) -> Vec<String> {
    let config = &container.asked.config;
    let test = config.healthcheck.as_ref().map(|check| check.test.as_slice()).unwrap_or_default();
    match test.split_first() {
        Some((word, rest)) if word == "CMD-SHELL" => {
            let default = || vec!["/bin/sh".to_owned(), "-c".to_owned()];
            let shell = config.shell.clone().filter(|shell| !shell.is_empty()).unwrap_or_else(default);
            shell.into_iter().chain(rest.iter().cloned()).collect()
        }
        Some((word, rest)) if word == "CMD" => rest.to_vec(),
        _ => test.to_vec(),
    }
}

fn set_home(env: &mut Vec<String>, home: &str) {
    env.retain(|variable| !variable.starts_with("HOME="));
    env.push(format!("HOME={home}"));
}

/// The root directory of a process.
pub(crate) fn root_of(pid: i32) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let path = format!("/proc/{pid}/root");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(&path, flags, Mode::empty()).map_err(|errno| Error::io("open", path, errno))
}

pub(crate) fn null() -> Result<OwnedFd> {
    let opened = File::options().read(true).write(true).open("/dev/null");
    Ok(opened.map_err(|error| Error::io("open", "/dev/null", error))?.into())
}
