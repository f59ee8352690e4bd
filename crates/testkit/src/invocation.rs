//! Running a program under test: every command has a deadline, and is killed by pidfd after it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{Testbed, patience};

/// A command that is about to run.
///
/// Its output goes to files, not pipes: a detached container that keeps writing neither blocks the test
/// nor gets SIGPIPE, and [`Finished::stdout`] shows what came up to the moment of asking.
#[derive(Debug)]
pub struct Invocation {
    command: Command,
    deadline: Duration,
    stdout: PathBuf,
    stderr: PathBuf,
    stdin: PathBuf,
}

impl Invocation {
    /// `program`, to be run on behalf of `bed`, with an empty stdin and [`patience`] as its deadline.
    #[must_use]
    pub fn new(bed: &Testbed, program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        // The leak check finds by it what this command starts.
        command.env("TESTBED", bed.name());
        let file = |stem| bed.new_file(stem);
        let (stdout, stderr, stdin) = (file("stdout"), file("stderr"), file("stdin"));
        Self { command, deadline: patience(), stdout, stderr, stdin }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// What the command reads from stdin.
    ///
    /// # Panics
    /// When the file that holds it can't be written.
    #[must_use]
    pub fn stdin(self, text: impl AsRef<[u8]>) -> Self {
        fs::write(&self.stdin, text).expect("write what goes to stdin");
        self
    }

    /// Another deadline than [`patience`].
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs as this user and group, without supplementary groups when the test is root.
    #[must_use]
    pub fn user(mut self, uid: u32, gid: u32) -> Self {
        self.command.uid(uid).gid(gid);
        self
    }

    /// Anything else that [`Command`] can do.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Command)) -> Self {
        change(&mut self.command);
        self
    }

    /// Starts the command.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    #[track_caller]
    pub fn start(mut self) -> Running {
        let line = format!("{:?}", self.command);
        let stdin = File::open(&self.stdin).map_or_else(|_| Stdio::null(), Stdio::from);
        self.command.stdin(stdin).stdout(create(&self.stdout)).stderr(create(&self.stderr));
        let started = Instant::now();
        let child = self.command.spawn().unwrap_or_else(|error| panic!("start {line}: {error}"));
        let pid = Pid::from_child(&child);
        let pidfd =
            pidfd_open(pid, PidfdFlags::empty()).expect("pidfd_open of a child that is not yet reaped");
        Running {
            child,
            pidfd,
            line,
            started,
            deadline: self.deadline,
            stdout: self.stdout,
            stderr: self.stderr,
        }
    }

    /// Runs the command to its end.
    ///
    /// # Panics
    /// When it can't be started, or its deadline passes.
    #[track_caller]
    pub fn output(self) -> Finished {
        self.start().wait()
    }
}

fn create(path: &PathBuf) -> File {
    let file = File::options().create(true).append(true).open(path);
    file.unwrap_or_else(|error| panic!("create {}: {error}", path.display()))
}

/// A command that runs; dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pidfd: OwnedFd,
    line: String,
    started: Instant,
    deadline: Duration,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// The process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        Pid::from_child(&self.child).as_raw_nonzero().get()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.pidfd, signal)
            .unwrap_or_else(|error| panic!("signal {}: {error}", self.line));
    }

    /// What was written to stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What was written to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When the deadline passes; the command is killed then.
    #[track_caller]
    pub fn wait(mut self) -> Finished {
        let in_time = wait_for_exit(&self.pidfd, self.deadline.saturating_sub(self.started.elapsed()));
        let elapsed = self.started.elapsed();
        assert!(
            in_time,
            "{}: not done within {:?}\n{}{}",
            self.line,
            self.deadline,
            self.stdout(),
            self.stderr()
        );
        let status = self.child.wait().expect("wait for a child");
        let (stdout, stderr) = (self.stdout.clone(), self.stderr.clone());
        Finished { status, elapsed, line: self.line.clone(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when the process has been waited for.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        drop(self.child.wait());
    }
}

/// Whether the process of `pidfd` ends within `patience`.
pub(crate) fn wait_for_exit(pidfd: &impl AsFd, patience: Duration) -> bool {
    let timeout = Timespec::try_from(patience).expect("a deadline fits a timespec");
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout))).expect("poll a pidfd") == 1
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// How long it took.
    pub elapsed: Duration,
    line: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Finished {
    /// What was written to stdout, by the command and by what it left running.
    #[must_use]
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What was written to stderr, likewise.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Fails the test unless the exit status is 0.
    ///
    /// # Panics
    /// On any other status, with all output.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        self.expect_code(0)
    }

    /// Fails the test unless the exit status is `code`.
    ///
    /// # Panics
    /// On any other status, with all output.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        let (out, err) = (self.stdout(), self.stderr());
        assert!(self.status.code() == Some(code), "{}: {}, not {code}\n{out}{err}", self.line, self.status);
        self
    }
}

fn read(path: &PathBuf) -> String {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}
