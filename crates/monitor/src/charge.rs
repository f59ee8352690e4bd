//! What a monitor has charge of, seen from its event loop: the seam to the engine, which knows of images, networks,
//! volumes and state on disk.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use runtime::Result;
use rustix::process::Pid;
use serde_json::Value;

use crate::attach::{Exited, Failed};
use crate::health::Health;
use crate::restart::Policy;
use crate::stdio::PayloadStdio;

/// A process that runs as this process' child (or as a descendant that will become one, as this is a subreaper).
#[derive(Debug)]
pub struct Started {
    /// Its id.
    pub pid: Pid,
    /// The same, safe from reuse of the number.
    pub pidfd: OwnedFd,
}

/// What is wanted of a container whose payload does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The restart policy as it is now: `update` may have changed it.
    pub policy: Policy,
    /// A user asked for the end (`stop`, `kill`): no restart.
    pub stopped: bool,
}

/// How it has ended, for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The payload could not be started, at first or again.
    Failed(Failed),
    /// The payload has ended, and is not started again.
    Exited(Exited),
}

/// What goes along when the monitor executes itself again.
#[derive(Debug, Default)]
pub struct Luggage<'a> {
    /// Descriptors by name, say the lock of the container.
    pub fds: Vec<(&'static str, BorrowedFd<'a>)>,
    /// A small document.
    pub state: Value,
}

/// A container as its monitor needs it. The methods are called from one thread, in this order:
///
/// ```text
/// start -> (health | probe | is_paused | told)* -> exited -> end
///   ^                                                 |
///   +-------- look_again* <- restarting <-------------+
/// start -> end        (it could not be started)
/// ```
/// None of them may wait for long: nothing is logged and nobody is served meanwhile.
pub trait Charge {
    /// Starts the payload, at first or again. On an error nothing of this start is left.
    ///
    /// # Errors
    /// Why not, for the user: `code` is the exit code of `run`.
    fn start(&mut self, stdio: &PayloadStdio) -> std::result::Result<Started, Failed>;

    /// The payload has ended, and all of its output is in the log. The charge records it, sets
    /// [`oom`](Exited::oom), and frees what is not to be kept until a restart.
    fn exited(&mut self, exited: &mut Exited) -> Intent;

    /// The payload will be started again after `delay`, for the `count`th time.
    fn restarting(&mut self, delay: Duration, count: u32);

    /// SIGUSR1 came while the payload runs: something that the charge depends on has changed, its networks perhaps.
    fn told(&mut self) {}

    /// Asked in the time between two starts whenever SIGUSR1 comes: what is wanted now?
    fn look_again(&mut self) -> Intent;

    /// The health has changed, or a check has ended: to be recorded, and told as an event where the status is a new one.
    fn health(&mut self, health: &Health, is_new_status: bool);

    /// Starts the command that checks the health, with `output` as stdout and stderr.
    ///
    /// # Errors
    /// Why it can't be run: the check has failed, and this is its output.
    fn probe(&mut self, output: BorrowedFd<'_>) -> Result<Started>;

    /// Whether the container is paused: it is not checked then.
    fn is_paused(&mut self) -> bool;

    /// It is over: what belongs to the running container is cleaned up, with `--rm` the container itself.
    /// Clients hear of the end after this.
    fn end(&mut self, ended: &Ended);

    /// What must go along when the monitor executes itself again with a fresh, small memory.
    fn luggage(&self) -> Luggage<'_>;

    /// Something else that lives in the loop, as the resolver of the container's names does: the descriptor tells by being
    /// readable that [`serve`](Self::serve) has something to do.
    fn side(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Does what there is to do for [`side`](Self::side), without waiting.
    fn serve(&mut self) {}
}
