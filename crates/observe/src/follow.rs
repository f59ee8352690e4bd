//! A container's processes followed from system call to system call.
//!
//! ```text
//! observe(init) ── seize ──► init becomes the program (nothing is looked at before) ──► every call's entry and exit
//! ```
//! Seccomp notification would cost less, but tells nothing of results; a trace by seccomp's filter would not see what the
//! container's own filter refuses, for that comes first. ptrace sees both, and whose observer dies goes on unobserved.
//!
//! A process has one tracer. Who wants to trace himself (gdb, strace) must not be told that we do already: what he attaches
//! to is let go first, and taken back if he is refused.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;

use rustix::process::Pid;
use sys::trace::{self, Bond, Stop, Until};

use crate::call::Call;
use crate::container::Container;
use crate::explain;
use crate::learn::{Learner, Wants};
use crate::record::{Entry, Recorder};
use crate::status::Status;

const TRACEME: u64 = 0;
const ATTACH: u64 = 16;
const SEIZE: u64 = 0x4206;

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// What was denied, and why.
    Denials,
    /// What is needed.
    Needs,
}

#[derive(Debug, Default)]
struct Task {
    call: Option<Call>,
    wants: Option<Wants>,
    /// Who waits at the entry of ptrace(2) until this is let go.
    wanted_by: Option<Pid>,
    /// Whom this wants to trace, while it asks the kernel for that.
    traces: Option<Pid>,
}

/// Observes.
#[derive(Debug)]
struct Observer {
    container: Container,
    recorder: Recorder,
    learner: Option<Learner>,
    tasks: HashMap<Pid, Task>,
    /// Children that stopped before their birth was heard of.
    early: HashSet<Pid>,
    first: Pid,
    /// The first process has become the program.
    running: bool,
    /// Names by ABI and number: the catalogue is searched once for each.
    calls: HashMap<(u32, u64), Call>,
}

/// Observes a container's first process and all that descends from it, to the end of the last of them. `attached` is
/// called once nothing can be missed.
///
/// # Errors
/// Those of ptrace(2): the process is gone, or another tracer has it.
pub fn observe(
    first: Pid,
    container: Container,
    wanted: Wanted,
    record: File,
    attached: impl FnOnce(),
) -> io::Result<()> {
    let recorder = Recorder::new(record)?;
    trace::seize(first, Bond::LetGo)?;
    attached();
    let mut observer = Observer {
        container,
        recorder,
        learner: (wanted == Wanted::Needs).then(Learner::default),
        tasks: HashMap::from([(first, Task::default())]),
        early: HashSet::new(),
        first,
        running: false,
        calls: HashMap::new(),
    };
    loop {
        match trace::wait_for_news() {
            Ok((tid, stop)) => observer.heard(tid, stop),
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => break,
            Err(error) => return Err(error),
        }
    }
    observer.end()
}

impl Observer {
    fn end(mut self) -> io::Result<()> {
        let Some(learner) = self.learner.take().filter(|_| self.running) else { return Ok(()) };
        let learned = Box::new(learner.learned(&self.container));
        self.recorder.write(&Entry::Learned(learned))
    }

    /// Answers a stop. Who was killed meanwhile can't be answered: of that we hear next.
    fn heard(&mut self, tid: Pid, stop: Stop) {
        if let Some(tracer) = self.tasks.get_mut(&tid).and_then(|task| task.wanted_by.take()) {
            self.hand_over(tid, stop, tracer);
            return;
        }
        let answered = match stop {
            Stop::Ended(_) => {
                self.early.remove(&tid);
                self.tasks.remove(&tid);
                Ok(())
            }
            Stop::Born(child) => {
                self.born(child);
                self.go_on(tid, 0)
            }
            Stop::Executed => self.executed(tid),
            Stop::Call => self.at_call(tid),
            Stop::Signal(number) => self.go_on(tid, number),
            Stop::Group => trace::listen(tid),
            Stop::Attached if !self.tasks.contains_key(&tid) => {
                self.early.insert(tid);
                Ok(())
            }
            Stop::Attached => self.go_on(tid, 0),
        };
        drop(answered);
    }

    fn go_on(&self, tid: Pid, signal: i32) -> io::Result<()> {
        trace::go_on(tid, Until::Call, signal)
    }

    fn born(&mut self, child: Pid) {
        self.tasks.insert(child, Task::default());
        if let Some(learner) = self.learner.as_mut().filter(|_| self.running) {
            learner.born();
        }
        if self.early.remove(&child) {
            drop(self.go_on(child, 0));
        }
    }

    fn executed(&mut self, tid: Pid) -> io::Result<()> {
        self.running |= tid == self.first;
        if self.running {
            // Of the threads that there were only this one is left, and it has the first one's number.
            let task = self.tasks.entry(tid).or_default();
            let wants = task.wants.take();
            task.call = None;
            match &mut self.learner {
                Some(learner) => {
                    learner.executed(tid);
                    wants.into_iter().for_each(|wants| learner.succeeded(wants));
                }
                None => {
                    let denial = explain::explain_exec(tid, &self.container);
                    denial.into_iter().for_each(|denial| self.write(&Entry::Denied(denial)));
                }
            }
        }
        self.go_on(tid, 0)
    }

    fn at_call(&mut self, tid: Pid) -> io::Result<()> {
        match trace::call(tid)? {
            trace::Call::Entry { architecture, number, arguments } => {
                let known = self.calls.entry((architecture, number));
                let known = known.or_insert_with(|| Call::new(architecture, number, arguments));
                let call = Call { arguments, ..*known };
                // What init does is the runtime's own affair, but for its becoming the program.
                if !self.running && call.name != "execve" {
                    return self.go_on(tid, 0);
                }
                if call.name == "ptrace" && self.gives_way(tid, &call)? {
                    return Ok(());
                }
                let container = &self.container;
                let wants = self.learner.as_mut().and_then(|learner| learner.entered(&call, tid, container));
                let task = self.tasks.entry(tid).or_default();
                task.call = Some(call);
                task.wants = wants;
            }
            trace::Call::Exit { result } => self.returned(tid, result),
        }
        self.go_on(tid, 0)
    }

    fn returned(&mut self, tid: Pid, result: i64) {
        let Some(task) = self.tasks.get_mut(&tid) else { return };
        let (call, wants, traces) = (task.call.take(), task.wants.take(), task.traces.take());
        if let Some(traced) = traces {
            self.settle(tid, traced, result);
        }
        let Some(call) = call else { return };
        match &mut self.learner {
            Some(learner) if result >= 0 => wants.into_iter().for_each(|wants| learner.succeeded(wants)),
            Some(_) => {}
            None => {
                let denial = match result {
                    0.. if call.name.starts_with("recv") => {
                        explain::explain_netlink(&call, result, tid, &self.container)
                    }
                    0.. => None,
                    _ => i32::try_from(-result)
                        .ok()
                        .and_then(|errno| explain::explain(&call, errno, tid, &self.container)),
                };
                denial.into_iter().for_each(|denial| self.write(&Entry::Denied(denial)));
            }
        }
    }

    /// What can't be written is lost: the payload comes first.
    fn write(&mut self, entry: &Entry) {
        drop(self.recorder.write(entry));
    }

    /// Before a call of ptrace(2): true where the caller waits, or is observed no longer.
    fn gives_way(&mut self, tid: Pid, call: &Call) -> io::Result<bool> {
        if self.container.filtered(call).is_some() {
            return Ok(false);
        }
        match call.arguments[0] {
            TRACEME => {
                self.unobserved(tid);
                self.tasks.remove(&tid);
                trace::detach(tid)?;
                Ok(true)
            }
            ATTACH | SEIZE => {
                let Some(target) = self.named(tid, call.int(1)) else { return Ok(false) };
                if let Some(learner) = &mut self.learner {
                    let wants = learner.entered(call, tid, &self.container);
                    self.tasks.entry(tid).or_default().wants = wants;
                }
                self.tasks.entry(tid).or_default().call = Some(*call);
                self.tasks.entry(target).or_default().wanted_by = Some(tid);
                trace::interrupt(target)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The task that another one knows by this number.
    fn named(&self, tid: Pid, number: i32) -> Option<Pid> {
        let namespace = |tid: Pid| std::fs::read_link(format!("/proc/{}/ns/pid", tid.as_raw_pid())).ok();
        let own = namespace(tid);
        let is_it = |other: &Pid| {
            let text =
                std::fs::read_to_string(format!("/proc/{}/status", other.as_raw_pid())).unwrap_or_default();
            let mut lines = text.lines().filter_map(|line| line.strip_prefix("NSpid:"));
            let last = lines.next().and_then(|line| line.split_whitespace().last()?.parse().ok());
            last == Some(number) && namespace(*other) == own
        };
        self.tasks.keys().copied().find(|other| *other != tid && is_it(other))
    }

    /// A task that stands still at last is let go, for another tracer.
    fn hand_over(&mut self, tid: Pid, stop: Stop, tracer: Pid) {
        match stop {
            Stop::Ended(_) => {}
            Stop::Signal(number) => drop(trace::detach_with(tid, number)),
            Stop::Born(child) => {
                self.born(child);
                drop(trace::detach(tid));
            }
            _ => drop(trace::detach(tid)),
        }
        self.tasks.remove(&tid);
        if let Some(task) = self.tasks.get_mut(&tracer) {
            task.traces = Some(tid);
        }
        drop(self.go_on(tracer, 0));
    }

    /// The kernel has decided whether another one may trace it.
    fn settle(&mut self, _tracer: Pid, traced: Pid, result: i64) {
        if result >= 0 {
            self.unobserved(traced);
        } else if trace::seize(traced, Bond::LetGo).and_then(|()| trace::interrupt(traced)).is_ok() {
            self.tasks.insert(traced, Task::default());
        }
    }

    fn unobserved(&mut self, tid: Pid) {
        let Some(Status { pid, command, .. }) = Status::read(tid) else { return };
        let what = format!("{command} (pid {pid}), which another program traces, and what it starts");
        self.write(&Entry::Unobserved(what));
    }
}
