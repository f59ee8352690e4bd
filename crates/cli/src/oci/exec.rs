//! `exec`.

use std::path::PathBuf;

use cgroup::SubPath;
use clap::Args;
use oci::spec::{Capabilities, Process, User};
use runtime::failure::OrFail;
use runtime::{Container, ExecOptions, Failure};

use super::console::Console;
use super::launch::{absolute, check_open};
use super::log::Log;
use super::supervise::Supervisor;
use super::{Global, Outcome};

#[derive(Args)]
pub struct Exec {
    /// The container's name
    id: String,
    /// Program and arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
    /// Socket that receives the terminal's controlling end
    #[arg(long, value_name = "PATH")]
    console_socket: Option<PathBuf>,
    /// Socket that receives a pidfd of the process
    #[arg(long, value_name = "PATH")]
    pidfd_socket: Option<PathBuf>,
    /// Working directory in the container
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,
    /// Set a variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Make a pseudo terminal
    #[arg(short, long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    tty: Option<bool>,
    /// User, and group
    #[arg(short, long, value_name = "UID[:GID]")]
    user: Option<String>,
    /// Supplementary groups
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,
    /// Read the process from a file as config.json has it
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,
    /// Return when the program runs
    #[arg(short, long)]
    detach: bool,
    /// File that receives the id of the process
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// SELinux label of the process
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,
    /// AppArmor profile of the process
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// Set no_new_privs
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    no_new_privs: Option<bool>,
    /// Add a capability
    #[arg(short, long, value_name = "CAP")]
    cap: Vec<String>,
    /// Pass descriptors 3 to 2+N on to the program
    #[arg(long, value_name = "N", default_value_t = 0)]
    preserve_fds: u32,
    /// Cgroup below the container's: PATH, or CONTROLLER[,CONTROLLER…]:PATH
    #[arg(long, value_name = "PATH")]
    cgroup: Vec<String>,
    /// Go ahead though the container is paused
    #[arg(long)]
    ignore_paused: bool,
    /// Leave the reaping of orphans to others
    #[arg(long)]
    no_subreaper: bool,
}

impl Exec {
    pub fn run(self, global: &Global, log: &Log) -> Outcome {
        let container = global.open(&self.id)?;
        let process = self.process(&container)?;
        let console = Console::new(process.terminal, self.console_socket.as_deref(), self.detach)?;
        let supervisor = if self.detach { None } else { Some(Supervisor::new(!self.no_subreaper)?) };
        let cgroup =
            SubPath::parse(&self.cgroup).map_err(|error| Failure::because("use", "--cgroup", error))?;
        check_open(self.preserve_fds)?;
        // The words of these lines are runc's, for callers look for them.
        log.debug(&format!("nsexec container setup: a process joins {}", self.id));
        let executed = container.exec(
            &process,
            ExecOptions {
                console_socket: console.socket()?,
                relays_console: console.is_relayed(),
                pid_file: absolute(self.pid_file.as_deref())?,
                preserve_fds: self.preserve_fds,
                cgroup,
                ignore_paused: self.ignore_paused,
                stdio: None,
            },
        )?;
        log.debug(&format!("child process in init(): process {} has joined", executed.pid));
        log.debug(&format!("setns_init: about to exec {:?}: done", process.args));
        if process.exec_cpu_affinity.is_some_and(|affinity| !affinity.initial.is_empty()) {
            // The runtime has it too, which entered the container.
            log.debug(&format!("nsexec: affinity: {:#x}", own_affinity()));
        }
        if let Some(path) = &self.pidfd_socket {
            super::console::send_pidfd(path, &executed.pidfd)?;
        }
        match supervisor {
            Some(supervisor) => supervisor.run(executed.pid, &executed.pidfd, console, None),
            None => Ok(0),
        }
    }

    /// The process: from a file, or the container's own with what the flags change.
    fn process(&self, container: &Container) -> Result<Process, Failure> {
        if let Some(path) = &self.process {
            let text = std::fs::read(path).or_fail_at("read process from", path)?;
            let process: Process = serde_json::from_slice(&text)
                .map_err(|error| Failure::because("parse", path.display(), error))?;
            return checked(process);
        }
        if self.command.is_empty() {
            return Err(Failure::because("exec", "", "process args cannot be empty"));
        }
        let mut process = container.config()?.process.unwrap_or_default();
        process.args.clone_from(&self.command);
        process.terminal = self.tty.unwrap_or(false);
        process.console_size = None;
        process.env.extend(self.env.iter().cloned());
        if let Some(cwd) = &self.cwd {
            process.cwd.clone_from(cwd);
        }
        if let Some(profile) = &self.apparmor {
            process.apparmor_profile.clone_from(profile);
        }
        if let Some(label) = &self.process_label {
            process.selinux_label.clone_from(label);
        }
        if let Some(set) = self.no_new_privs {
            process.no_new_privileges = set;
        }
        if let Some(user) = &self.user {
            process.user = User { additional_gids: process.user.additional_gids, ..parse_user(user)? };
        }
        process.user.additional_gids.extend(&self.additional_gids);
        add_capabilities(process.capabilities.get_or_insert_default(), &self.cap);
        checked(process)
    }
}

fn checked(process: Process) -> Result<Process, Failure> {
    if process.args.is_empty() {
        return Err(Failure::because("exec", "", "process args cannot be empty"));
    }
    if !process.cwd.starts_with('/') {
        return Err(Failure::because(
            "exec",
            "",
            format!("Cwd must be an absolute path, not {:?}", process.cwd),
        ));
    }
    Ok(process)
}

/// The CPUs of this process as a bit mask, as far as it fits.
fn own_affinity() -> u128 {
    let cpus = rustix::thread::sched_getaffinity(None);
    (0..128).filter(|&cpu| cpus.is_ok_and(|cpus| cpus.is_set(cpu))).fold(0, |mask, cpu| mask | 1 << cpu)
}

fn parse_user(text: &str) -> Result<User, Failure> {
    let id = |text: &str| {
        text.parse().map_err(|_| {
            Failure::because("use", format!("--user {text:?}"), "ids are numbers: UID or UID:GID")
        })
    };
    let (uid, gid) = text.split_once(':').map_or((text, None), |(uid, gid)| (uid, Some(gid)));
    Ok(User { uid: id(uid)?, gid: gid.map_or(Ok(0), id)?, ..User::default() })
}

/// As runc: into all sets but the inheritable one, and into the ambient one where there is an inheritable one.
fn add_capabilities(sets: &mut Capabilities, added: &[String]) {
    for name in added {
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            set.push(name.clone());
        }
        if !sets.inheritable.is_empty() {
            sets.inheritable.push(name.clone());
            sets.ambient.push(name.clone());
        }
    }
}
