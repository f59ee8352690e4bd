//! What a caller says about a new container beside its configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;

use crate::failure::{OrFail, Result};

/// How a container is made: what the command line says beside the configuration.
#[derive(Debug, Default)]
pub struct CreateOptions<'a> {
    /// Who makes cgroups.
    pub cgroup_driver: cgroup::Driver,
    /// Whether the caller lacks privileges on the host.
    pub rootless: bool,
    /// Whether cgroups are made as an ordinary user makes them, through his own systemd or where he may, though the caller
    /// is root in his user namespace. So it is with `rootless` in any case.
    pub users_cgroups: bool,
    /// Don't pivot_root(2).
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Descriptors from 3 on that the program inherits.
    pub preserve_fds: u32,
    /// Connected socket that the terminal's controlling end is sent to.
    pub console_socket: Option<OwnedFd>,
    /// The caller passes the terminal's output on to a terminal of its own.
    pub relays_console: bool,
    /// Where the first process' id is written.
    pub pid_file: Option<PathBuf>,
    /// Start the program at once instead of waiting for `start`.
    pub start: bool,
    /// Variables added to the program's environment.
    pub extra_env: Vec<String>,
    /// Give the container a socket for sd_notify(3), in this directory of its state ([`crate::notify`]).
    pub notify: Option<PathBuf>,
    /// A detached mount that is the root file system: init attaches it at `root.path` (an empty directory will do)
    /// within the container's mount namespace, so that the host never sees it. Where init may not walk there, from
    /// within a user namespace, it goes over `/` instead.
    pub rootfs: Option<OwnedFd>,
    /// Detached mounts that are the sources of binds, by the bind's place in `mounts`: its `source` is then only a name.
    pub trees: BTreeMap<usize, OwnedFd>,
    /// The first process' stdin, stdout and stderr; without it those of the caller. A terminal takes their place.
    pub stdio: Option<[OwnedFd; 3]>,
    /// What the caller does for the container between its birth and its program, while init makes the mounts.
    pub prepare: Option<Prepare<'a>>,
}

/// A caller's part in making a container: its network, for one. It is called once, right after the clone (and after ids
/// are mapped), and the program does not run before it returned. On its failure the container is undone as on any
/// other; what it did itself to the host is its caller's to undo, also where init fails after it.
pub struct Prepare<'a>(Box<Part<'a>>);

type Part<'a> = dyn FnOnce(&Born<'_>) -> Result<()> + 'a;

impl<'a> Prepare<'a> {
    /// That part.
    pub fn new(prepare: impl FnOnce(&Born<'_>) -> Result<()> + 'a) -> Self {
        Self(Box::new(prepare))
    }

    pub(crate) fn run(self, born: &Born<'_>) -> Result<()> {
        (self.0)(born)
    }
}

impl fmt::Debug for Prepare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepare")
    }
}

/// A container's first process while it still becomes that.
#[derive(Debug)]
pub struct Born<'a> {
    /// Its number, which is its own at least until the caller returns: nobody else reaps it.
    pub pid: Pid,
    /// The same as a descriptor.
    pub pidfd: BorrowedFd<'a>,
    pub(crate) network: PathBuf,
}

impl Born<'_> {
    /// The network namespace that its program will have: its own new one, or the one that it joins.
    ///
    /// # Errors
    /// Those of open(2): init may have ended, for reasons that `create` will give.
    pub fn network_namespace(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::open(&self.network, flags, Mode::empty()).or_fail_at("open", &self.network)
    }
}
