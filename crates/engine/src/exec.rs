//! Further processes in a running container.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ::monitor::Started;
use oci::spec::Process;
use runtime::ExecOptions;

use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::spec::Host;
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

impl Engine {
    /// The ids of the processes that `exec` added and that somebody waits for.
    pub(crate) fn exec_ids(&self, id: &str) -> Option<Vec<String>> {
        let entries = std::fs::read_dir(self.paths().running(id).join("exec")).ok()?;
        let mut ids: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
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

fn null() -> Result<OwnedFd> {
    let opened = File::options().read(true).write(true).open("/dev/null");
    Ok(opened.map_err(|error| Error::io("open", "/dev/null", error))?.into())
}
