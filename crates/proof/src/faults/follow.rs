//! A command and all processes that it starts, followed from system call to system call.
//!
//! Only berth's own processes are followed: what executes another program is let go. Everything is one thread, for the
//! kernel tells only the thread that traces.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, Signal, kill_process};
use sys::process::{CloneFlags, Cloned};
use sys::trace::{self, Bond, Call, Stop, Until};

use super::point::{Fault, Path, Point};

/// How long a command may take, traced or not.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A command to run.
#[derive(Debug, Clone)]
pub struct Command {
    pub program: PathBuf,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
}

impl Command {
    /// As one would type it.
    pub fn line(&self) -> String {
        format!("berth {}", self.args.join(" "))
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// None where it did not end in time and was killed.
    pub status: Option<ExitStatus>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// The exit status and all output, for a report.
    pub fn told(&self) -> String {
        let status = self.status.map_or_else(|| "did not end".to_owned(), |status| status.to_string());
        let output = format!("{} {}", self.stdout.trim(), self.stderr.trim());
        format!("{status}: {}", output.trim())
    }
}

#[derive(Debug)]
struct Task {
    path: Path,
    children: u32,
    calls: usize,
    /// Whether it has executed berth yet, and so its calls count.
    ours: bool,
    failing: Option<i32>,
}

/// What follows processes, and injects at most one fault.
#[derive(Debug)]
pub struct Follower {
    signals: OwnedFd,
    berth: (u64, u64),
    tasks: HashMap<Pid, Task>,
    /// Children that stopped before their birth was heard of.
    early: HashSet<Pid>,
    /// Command number, counted from the last `reset`.
    commands: u32,
    plan: Option<Point>,
    /// The number of the call that the fault was injected into.
    fired: Option<u64>,
    /// The calls of every process, where they are recorded.
    record: Option<BTreeMap<Path, Vec<u64>>>,
}

impl Follower {
    /// One for the calling thread, the only one of this process, which adopts all orphans from now on.
    pub fn new(berth: &std::path::Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(berth)?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        Ok(Self {
            signals: sys::process::all_signals_as_fd()?,
            berth: (metadata.dev(), metadata.ino()),
            tasks: HashMap::new(),
            early: HashSet::new(),
            commands: 0,
            plan: None,
            fired: None,
            record: None,
        })
    }

    /// Begins a sequence anew, with a fault or, without one, with a record of all calls.
    pub fn begin(&mut self, plan: Option<Point>) {
        self.commands = 0;
        self.record = plan.is_none().then(BTreeMap::new);
        self.plan = plan;
        self.fired = None;
    }

    /// Injects nothing any more.
    pub fn disarm(&mut self) {
        self.plan = None;
    }

    /// The call that the fault hit.
    pub fn fired(&self) -> Option<u64> {
        self.fired
    }

    /// What was recorded.
    pub fn take_record(&mut self) -> BTreeMap<Path, Vec<u64>> {
        self.record.take().unwrap_or_default()
    }

    /// Runs the next command of the sequence, followed where it matters.
    pub fn step(&mut self, command: &Command) -> io::Result<Ended> {
        let number = self.commands;
        self.commands += 1;
        let wanted = match &self.plan {
            Some(point) => self.fired.is_none() && point.path.command() == number,
            None => self.record.is_some(),
        };
        self.run_as(command, wanted.then(|| Path(vec![number])))
    }

    /// Runs a command that is not part of the sequence.
    pub fn run(&mut self, command: &Command) -> io::Result<Ended> {
        self.run_as(command, None)
    }

    fn run_as(&mut self, command: &Command, followed: Option<Path>) -> io::Result<Ended> {
        let (mut out, mut err) = (memfd(c"stdout")?, memfd(c"stderr")?);
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let pid = match sys::process::clone(CloneFlags::empty(), None)? {
            Cloned::Child => {
                drop(writer);
                execute(command, &reader, &out, &err);
            }
            Cloned::Parent { pid, .. } => pid,
        };
        if let Some(path) = followed {
            trace::seize(pid, Bond::Kill)?;
            trace::interrupt(pid)?;
            self.tasks.insert(pid, Task { path, children: 0, calls: 0, ours: false, failing: None });
        }
        rustix::io::write(&writer, b"!")?;
        let status = self.until_ended(pid, PATIENCE)?;
        Ok(Ended { status, stdout: text(&mut out)?, stderr: text(&mut err)? })
    }

    /// Hears what processes do until `root` has ended; kills it when it takes too long.
    fn until_ended(&mut self, root: Pid, patience: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + patience;
        let mut in_time = true;
        loop {
            match trace::wait()? {
                Some((pid, stop)) => {
                    self.heard(pid, stop);
                    if let (true, Stop::Ended(status)) = (pid == root, stop) {
                        return Ok(in_time.then_some(status));
                    }
                }
                None if Instant::now() > deadline && in_time => {
                    in_time = false;
                    kill_process(root, Signal::KILL)?;
                }
                None => self.wait_for_news(Duration::from_secs(1))?,
            }
        }
    }

    /// Hears what there is to hear of processes that outlive their commands; true when there are none.
    pub fn settle(&mut self, patience: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            match trace::wait() {
                Ok(Some((pid, stop))) => self.heard(pid, stop),
                Ok(None) if Instant::now() > deadline => return Ok(false),
                Ok(None) => self.wait_for_news(Duration::from_millis(20))?,
                Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    fn wait_for_news(&self, patience: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(patience).map_err(io::Error::other)?;
        let mut fds = [PollFd::new(&self.signals, PollFlags::IN)];
        if poll(&mut fds, Some(&timeout))? == 1 {
            let mut signals = [0; 1024];
            rustix::io::read(&self.signals, &mut signals)?;
        }
        Ok(())
    }

    /// Answers a stop. A process that was killed meanwhile can't be answered: of that we hear next.
    fn heard(&mut self, pid: Pid, stop: Stop) {
        let answered = match stop {
            Stop::Ended(_) => {
                self.forget(pid);
                Ok(())
            }
            Stop::Born(child) => self.born(pid, child).and_then(|()| self.go_on(pid, 0)),
            Stop::Executed => self.executed(pid),
            Stop::Call => self.at_call(pid),
            Stop::Signal(number) => self.go_on(pid, number),
            Stop::Group => trace::listen(pid),
            Stop::Attached if !self.tasks.contains_key(&pid) => {
                self.early.insert(pid);
                Ok(())
            }
            Stop::Attached => self.go_on(pid, 0),
        };
        drop(answered);
    }

    fn go_on(&self, pid: Pid, signal: i32) -> io::Result<()> {
        let armed = self.plan.is_some() && self.fired.is_none();
        let failing = self.tasks.get(&pid).is_some_and(|task| task.failing.is_some());
        let stepping = armed || failing || self.record.is_some();
        trace::go_on(pid, if stepping { Until::Call } else { Until::Event }, signal)
    }

    fn forget(&mut self, pid: Pid) {
        self.early.remove(&pid);
        self.tasks.remove(&pid);
    }

    fn born(&mut self, parent: Pid, child: Pid) -> io::Result<()> {
        let Some(task) = self.tasks.get_mut(&parent) else { return Ok(()) };
        let path = task.path.child(task.children);
        task.children += 1;
        let task = Task { path, children: 0, calls: 0, ours: task.ours, failing: None };
        self.tasks.insert(child, task);
        if self.early.remove(&child) { self.go_on(child, 0) } else { Ok(()) }
    }

    fn executed(&mut self, pid: Pid) -> io::Result<()> {
        let ours = std::fs::metadata(format!("/proc/{}/exe", pid.as_raw_pid()))
            .is_ok_and(|exe| (exe.dev(), exe.ino()) == self.berth);
        match self.tasks.get_mut(&pid) {
            Some(task) if ours => {
                task.ours = true;
                self.go_on(pid, 0)
            }
            _ => {
                self.forget(pid);
                trace::detach(pid)
            }
        }
    }

    fn at_call(&mut self, pid: Pid) -> io::Result<()> {
        let call = trace::call(pid)?;
        let Some(task) = self.tasks.get_mut(&pid) else { return self.go_on(pid, 0) };
        match call {
            Call::Entry { number, arguments: [first, ..], .. } if task.ours => {
                task.calls += 1;
                if let Some(record) = &mut self.record {
                    record.entry(task.path.clone()).or_default().push(number);
                }
                let plan = self.plan.as_ref().filter(|_| self.fired.is_none());
                let here = plan.filter(|point| point.call == task.calls && point.path == task.path);
                let Some(point) = here.filter(|point| point.fault.can_hit(pid, number, first)) else {
                    return self.go_on(pid, 0);
                };
                self.fired = Some(number);
                match point.fault {
                    Fault::Kill => return kill_process(pid, Signal::KILL).map_err(Into::into),
                    Fault::Fail(errno) => {
                        task.failing = Some(errno);
                        trace::skip_call(pid)?;
                    }
                }
            }
            Call::Exit { .. } => {
                if let Some(errno) = task.failing.take() {
                    trace::set_result(pid, -i64::from(errno))?;
                }
            }
            Call::Entry { .. } => {}
        }
        self.go_on(pid, 0)
    }

    /// The processes that are left of what was run, killed.
    pub fn kill_all(&mut self) -> io::Result<()> {
        for pid in children() {
            let _ = kill_process(pid, Signal::KILL);
        }
        for pid in self.tasks.keys() {
            let _ = kill_process(*pid, Signal::KILL);
        }
        self.settle(Duration::from_secs(5)).map(drop)
    }
}

/// The children of this process, among them every orphan that descends from it.
pub fn children() -> Vec<Pid> {
    let list = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// In the child: waits until it is traced, then becomes the command.
fn execute(command: &Command, go: &OwnedFd, out: &File, err: &File) -> ! {
    let done = || -> io::Result<std::convert::Infallible> {
        let c_string = |text: &str| CString::new(text).map_err(io::Error::other);
        let program = c_string(&command.program.to_string_lossy())?;
        let args = std::iter::once("berth").chain(command.args.iter().map(String::as_str));
        let args: Vec<CString> = args.map(c_string).collect::<Result<_, _>>()?;
        let env = command.env.iter().map(|(key, value)| c_string(&format!("{key}={value}")));
        let env: Vec<CString> = env.collect::<Result<_, _>>()?;
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        rustix::stdio::dup2_stdout(out)?;
        rustix::stdio::dup2_stderr(err)?;
        rustix::process::setsid()?;
        rustix::io::read(go.as_fd(), &mut [0; 1])?;
        sys::process::reset_signals()?;
        Err(sys::process::exec(&program, &args, &env))
    };
    let Err(error) = done();
    eprintln!("proof: execute {}: {error}", command.program.display());
    std::process::exit(127)
}

fn memfd(name: &std::ffi::CStr) -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?))
}

fn text(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
