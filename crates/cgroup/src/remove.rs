//! Removing a group and what its processes made below it.

use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::Error;
use crate::dir::Dir;
use crate::group::Group;
use crate::node::Node;
use crate::process::pids_below;
use crate::systemd::Unit;
use crate::walk::walk;

/// How long to wait for processes that are on their way out.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Group {
    /// Removes the group with all groups below it. A killed process leaves its group only when it has exited:
    /// while there are any, this waits, up to ten seconds. What is gone already is fine.
    pub fn remove(&self) -> Result<(), Error> {
        // Old versions of systemd leave groups below behind, and all those that it has not made.
        let stopped = self.unit.as_ref().map_or(Ok(()), Unit::stop);
        let deadline = Instant::now() + TIMEOUT;
        self.nodes().try_for_each(|node| remove(node, deadline))?;
        stopped
    }
}

fn remove(node: &Node, deadline: Instant) -> Result<(), Error> {
    if node.path.is_root() {
        let reason = "it is the root of the hierarchy";
        return Err(Error::Refused { operation: "remove", path: node.dir(), reason });
    }
    let parent = match node.open_parent() {
        Err(e) if e.is_gone() => return Ok(()),
        parent => parent?,
    };
    let mut pause = Duration::from_micros(50);
    loop {
        match parent.remove(node.path.name()) {
            Err(e) if e.errno() == Some(Errno::BUSY) => {
                // Children make it busy, too.
                match parent.open(node.path.name()) {
                    Err(e) if e.is_gone() => return Ok(()),
                    dir => walk(dir?, |_| Ok(()), remove_unless_busy)?,
                }
            }
            done => return done,
        }
        if parent.remove(node.path.name()).is_ok() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(still_busy(node, &parent));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

fn remove_unless_busy(parent: &Dir, name: &std::ffi::OsString) -> Result<(), Error> {
    match parent.remove(name) {
        Err(e) if e.errno() == Some(Errno::BUSY) => Ok(()),
        done => done,
    }
}

fn still_busy(node: &Node, parent: &Dir) -> Error {
    let pids = parent.open(node.path.name()).and_then(pids_below).unwrap_or_default();
    Error::Busy { path: node.dir(), pids }
}
