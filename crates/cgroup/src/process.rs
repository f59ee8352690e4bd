//! The processes of a group: joining, listing, killing.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use crate::dir::{Dir, read_file};
use crate::group::Group;
use crate::host;
use crate::limits::Dirs;
use crate::node::Node;
use crate::path::GroupPath;
use crate::walk::walk;
use crate::{Controller, Error};

impl Group {
    /// v2's directory, for `clone3` with `CLONE_INTO_CGROUP`: the process is born in its group.
    pub fn clone_target(&self) -> Result<Option<OwnedFd>, Error> {
        self.unified.as_ref().map(|node| node.open().map(Dir::into_fd)).transpose()
    }

    /// v1's `tasks` files, open for writing: a process moves itself by writing `0` to each of them.
    ///
    /// This is the fast way in: a pid takes a lock that waits for an RCU grace period, 12 ms on an idle host,
    /// while a thread that moves only itself takes none (`cgroup_procs_write_start` in the kernel), 0.1 ms.
    /// It must be the only thread of its process.
    pub fn join_files(&self) -> Result<Vec<OwnedFd>, Error> {
        self.legacy.iter().map(Node::tasks).collect()
    }

    /// Moves process `pid` with all its threads here. A lack of permission is no error if rootless.
    pub fn attach(&self, pid: u32) -> Result<(), Error> {
        match self.open().and_then(|dirs| join(&dirs, pid)) {
            // The caller's session is in another group than the user's manager: that has to do it.
            Err(e) if self.unit.is_some() && self.is_unified() && e.is_permission() => {
                let path = self.unified.as_ref().map(|node| node.path.clone()).unwrap_or_default();
                self.unit.as_ref().map_or(Err(e), |unit| unit.attach(&path, pid))
            }
            Err(e) if self.rootless && (e.is_permission() || e.is_gone()) => Ok(()),
            done => done,
        }
    }

    /// Gives the group to user `uid`, who may then make groups below it: chowns the directory and the files
    /// that the kernel names for delegation. For v2 alone.
    pub fn delegate(&self, uid: u32) -> Result<(), Error> {
        let Some(dir) = self.unified_dir().filter(|_| self.is_unified()) else { return Ok(()) };
        let dir = dir?;
        let files = read_file("/sys/kernel/cgroup/delegate")
            .unwrap_or_else(|_| "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n".to_owned());
        dir.give(".", uid)?;
        files.lines().try_for_each(|file| match dir.give(file, uid) {
            Err(e) if e.is_gone() => Ok(()),
            done => done,
        })
    }

    /// The group in which process `pid`, the container's init, is by now, if that is not this one any more.
    ///
    /// In v2 an init may move itself below its group and hand down controllers; the group itself then takes
    /// no process any more (`EBUSY`), and what is executed has to go where init went.
    pub fn of_init(&self, pid: u32) -> Result<Option<Self>, Error> {
        let Some(node) = self.unified.as_ref().filter(|_| self.is_unified()) else { return Ok(None) };
        let path = host::unified_path_of(&pid.to_string())?;
        let moved = path != node.path;
        Ok(moved.then(|| Self { unified: Some(Node { path, ..node.clone() }), ..self.clone() }))
    }

    /// All processes of the group and of the groups below it. None if the group is gone.
    pub fn pids(&self) -> Result<Vec<u32>, Error> {
        match self.main() {
            Some(Ok(dir)) => pids_below(dir),
            Some(Err(e)) if !e.is_gone() => Err(e),
            _ => Ok(Vec::new()),
        }
    }

    /// Sends `signal` to every process of the group and of the groups below it.
    ///
    /// Killing by v2 is one write, atomic for the whole tree. Elsewhere the group is frozen meanwhile, so
    /// that it cannot grow faster than it is signalled. Refused if the caller itself is in the group.
    pub fn kill_all(&self, signal: Signal) -> Result<(), Error> {
        self.refuse_own()?;
        let killed = signal == Signal::KILL && self.kill_unified()?;
        if killed && self.legacy.is_empty() {
            return Ok(());
        }
        let was_frozen = self.is_frozen()?;
        // Without a freezer the loop over all processes has to do.
        let freeze = !killed && !was_frozen && self.freeze().is_ok();
        let done = self.signal_all(signal);
        if freeze || (was_frozen && signal == Signal::KILL) {
            // v1 delivers even SIGKILL only to what is thawed.
            let _ = self.thaw();
        }
        done
    }

    /// Writes `cgroup.kill`; `false` where the kernel (before 5.14) or the group does not have it.
    fn kill_unified(&self) -> Result<bool, Error> {
        let Some(dir) = self.unified_dir() else { return Ok(false) };
        match dir.and_then(|dir| dir.write("cgroup.kill", "1")) {
            Ok(()) => Ok(true),
            Err(e) if e.is_gone() || e.is_permission() || e.errno() == Some(Errno::OPNOTSUPP) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Signals each process once, until there are no new ones.
    fn signal_all(&self, signal: Signal) -> Result<(), Error> {
        let mut done = HashSet::new();
        loop {
            let new: Vec<u32> = self.pids()?.into_iter().filter(|pid| done.insert(*pid)).collect();
            if new.is_empty() {
                return Ok(());
            }
            for pid in new.into_iter().filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
                match rustix::process::kill_process(pid, signal) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(e) => {
                        let operation = format!("signal process {} of", pid.as_raw_nonzero());
                        return Err(Error::io(operation, &self.any_dir(), e));
                    }
                }
            }
        }
    }

    /// One of the directories, for messages.
    fn any_dir(&self) -> PathBuf {
        self.nodes().next().map(Node::dir).unwrap_or_default()
    }

    /// A path of hostile or careless origin may name the group in which we or the host's processes live.
    fn refuse_own(&self) -> Result<(), Error> {
        let own = std::process::id();
        let refuse =
            |reason| Err(Error::Refused { operation: "kill the processes of", path: self.any_dir(), reason });
        if self.nodes().any(|node| node.path.is_root()) {
            return refuse("it is the root of the hierarchy");
        }
        let unified = self.unified.as_ref();
        let own_unified = || host::own_unified().unwrap_or_else(|_| GroupPath::default());
        if unified.is_some_and(|node| node.path.contains(&own_unified())) || self.pids()?.contains(&own) {
            return refuse("the caller is in it");
        }
        Ok(())
    }
}

/// Writes `pid` to `cgroup.procs` everywhere.
pub(crate) fn join(dirs: &Dirs, pid: u32) -> Result<(), Error> {
    let legacy = dirs.legacy.iter().filter(|(controllers, _)| controllers != &[Controller::Systemd]);
    for dir in legacy.map(|(_, dir)| dir).chain(&dirs.unified) {
        join_one(dir, pid)?;
    }
    // systemd's own hierarchy limits nothing.
    for (_, dir) in dirs.legacy.iter().filter(|(controllers, _)| controllers == &[Controller::Systemd]) {
        let _ = join_one(dir, pid);
    }
    Ok(())
}

fn join_one(dir: &Dir, pid: u32) -> Result<(), Error> {
    let pid = pid.to_string();
    for _ in 0..5 {
        match dir.write("cgroup.procs", &pid) {
            // The process is so new that the scheduler does not know it yet (TASK_NEW).
            Err(e) if e.errno() == Some(Errno::INVAL) => std::thread::sleep(Duration::from_millis(1)),
            done => return done,
        }
    }
    dir.write("cgroup.procs", &pid)
}

/// The processes in `top` and below.
pub(crate) fn pids_below(top: Dir) -> Result<Vec<u32>, Error> {
    let mut pids = Vec::new();
    let collect = |dir: &Dir| {
        let list = match dir.read("cgroup.procs") {
            // A threaded group of v2 lists threads only.
            Err(e) if e.errno() == Some(Errno::OPNOTSUPP) => dir.read("cgroup.threads")?,
            list => list?,
        };
        pids.extend(list.lines().filter_map(|pid| pid.parse::<u32>().ok()));
        Ok(())
    };
    walk(top, collect, |_, _| Ok(()))?;
    Ok(pids)
}
