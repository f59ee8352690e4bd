//! Where the engine's state is.

use std::path::{Path, PathBuf};

/// Where root's state is.
const ROOT: &str = "/var/lib/berth";

/// The two directories: what stays, and what is gone after a reboot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Images, containers, volumes.
    pub root: PathBuf,
    /// Locks, sockets, what the runtime knows of running containers.
    pub run: PathBuf,
}

impl Paths {
    /// The directories at `root`, or where this user's are. What is gone after a reboot lies in `/run/berth` or
    /// `$XDG_RUNTIME_DIR/berth`, and beside the rest where that is not at its usual place.
    pub fn new(root: Option<PathBuf>) -> Paths {
        let own = own_root();
        let root = root.map_or_else(|| own.clone(), |root| std::path::absolute(&root).unwrap_or(root));
        let run = if root == own { Paths::run_of_user() } else { root.join("run") };
        Paths { root, run }
    }

    /// Where this user's things are that are gone after a reboot, whatever root he works with: `/run/berth` for root, else
    /// `$XDG_RUNTIME_DIR/berth`. Where that variable is not set, as after `su`, it is the directory that the login made.
    pub fn run_of_user() -> PathBuf {
        if rootless::is_root() {
            return "/run/berth".into();
        }
        let login = || {
            let uid =
                rootless::current().map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid);
            let path = Path::new("/run/user").join(uid.to_string());
            rustix::fs::access(&path, rustix::fs::Access::WRITE_OK).is_ok().then_some(path)
        };
        let run = variable("XDG_RUNTIME_DIR").or_else(login).map(|run| run.join("berth"));
        run.unwrap_or_else(|| own_root().join("run"))
    }

    /// Whether this is where this user's state is by default.
    pub fn is_default(&self) -> bool {
        self.root == own_root()
    }

    /// The directory with a directory for each container.
    pub fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// What is kept of a container.
    pub fn container(&self, id: &str) -> PathBuf {
        self.containers().join(id)
    }

    /// What there is of a container while it runs.
    pub fn running(&self, id: &str) -> PathBuf {
        self.run.join("containers").join(id)
    }

    /// Names of containers: symlinks to their ids.
    pub fn names(&self) -> PathBuf {
        self.root.join("names")
    }

    /// Ranges of ids that containers have: symlinks to their ids.
    pub(crate) fn id_maps(&self) -> PathBuf {
        self.root.join("idmaps")
    }

    /// The socket that clients attach at.
    pub fn attach_socket(&self, id: &str) -> PathBuf {
        self.running(id).join("attach.sock")
    }

    /// What was logged.
    pub fn logs(&self, id: &str) -> PathBuf {
        self.container(id).join("logs")
    }

    pub(crate) fn oci(&self) -> runtime::StateRoot {
        runtime::StateRoot::new(self.run.join("oci"))
    }

    pub(crate) fn monitor_lock(&self, id: &str) -> PathBuf {
        self.running(id).join("monitor.lock")
    }
}

/// `/var/lib/berth` for root, as services keep state there; a user's own directory else.
fn own_root() -> PathBuf {
    if rootless::is_root() {
        return ROOT.into();
    }
    let data = variable("XDG_DATA_HOME").or_else(|| Some(variable("HOME")?.join(".local/share")));
    data.unwrap_or_else(|| Path::new("/var/tmp").into()).join("berth")
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
