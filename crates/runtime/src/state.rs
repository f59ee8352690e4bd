//! What is on disk of a container: one directory below the state root, named by the id.
//!
//! ```text
//! ROOT/ID/            locked (flock) by whoever changes the container
//!   state.json        this module's Record, replaced by write and rename
//!   config.json       the configuration as it was at create
//!   exec.fifo         between create and start only: its absence is what "running" means
//!   notify/           the container's socket for sd_notify(3), where the caller has NOTIFY_SOCKET
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use oci::ContainerId;
use oci::spec::{Hook, Spec};
use rustix::fs::{CWD, FlockOperation, Mode};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, OrFail, Result};

const STATE: &str = "state.json";
const CONFIG: &str = "config.json";
const FIFO: &str = "exec.fifo";

/// What must be known of a container after its creator has gone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Version of the specification that the configuration follows.
    pub oci_version: String,
    /// Its name.
    pub id: String,
    /// Its first process; 0 before there is one.
    pub pid: i32,
    /// When that process started, in clock ticks since boot (proc(5)): tells it from a later one of the same number.
    pub start_time: u64,
    /// The bundle's absolute path.
    pub bundle: PathBuf,
    /// The root file system's absolute path.
    pub rootfs: PathBuf,
    /// When it was created, RFC 3339 in UTC.
    pub created: String,
    /// Who created it.
    pub owner: u32,
    /// Whether it is not complete yet.
    pub creating: bool,
    /// The configuration's annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Its control groups.
    pub cgroup: Option<cgroup::Group>,
    /// Its class of cache and memory bandwidth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdt: Option<crate::rdt::Rdt>,
    /// Its namespaces that are not the runtime's, by the specification's names.
    pub namespaces: Vec<String>,
    /// Whether it shares the runtime's pid namespace or another's, so that its other processes outlive its first.
    pub shares_pids: bool,
    /// Whether its creator lacked privileges on the host.
    pub rootless: bool,
    /// Whether session keyrings are left alone.
    pub no_new_keyring: bool,
    /// Hooks for after the program's start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub poststart: Vec<Hook>,
    /// Hooks for after the container's end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub poststop: Vec<Hook>,
}

/// Where containers' directories are.
#[derive(Clone, Debug)]
pub struct StateRoot {
    path: PathBuf,
}

/// One container's directory.
#[derive(Debug)]
pub(crate) struct StateDir {
    pub path: PathBuf,
}

/// The right to change a container; ends when dropped.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    /// Closing is not enough: init has a copy of the descriptor until it runs the program, and waits for `start`,
    /// which needs the lock.
    fn drop(&mut self) {
        // Fails for no file that was locked.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

impl StateRoot {
    /// Names a state root; made when the first container is.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The ids of all containers, sorted.
    ///
    /// # Errors
    /// Where the directory exists but can't be read.
    pub fn ids(&self) -> Result<Vec<ContainerId>> {
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.or_fail_at("read state root", &self.path)?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.or_fail_at("read state root", &self.path)?;
            if entry.path().join(STATE).exists()
                && let Some(name) = entry.file_name().to_str()
                && let Ok(id) = ContainerId::new(name)
            {
                ids.push(id);
            }
        }
        ids.sort();
        Ok(ids)
    }

    pub(crate) fn dir(&self, id: &ContainerId) -> StateDir {
        StateDir { path: self.path.join(id.as_str()) }
    }

    /// Makes the directory of a new container and locks it.
    pub(crate) fn reserve(&self, id: &ContainerId) -> Result<(StateDir, Lock)> {
        let dir = self.dir(id);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(&self.path)
            .or_fail_at("mkdir", &self.path)?;
        match fs::DirBuilder::new().mode(0o711).create(&dir.path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(Failure::because(
                "create",
                format!("container {id}"),
                "container with given ID already exists",
            )),
            other => {
                other.or_fail_at("mkdir", &dir.path)?;
                // It is empty, and nobody else knows of it.
                let lock = dir.lock().inspect_err(|_| drop(fs::remove_dir(&dir.path)))?;
                Ok((dir, lock))
            }
        }
    }
}

/// Removes what is left of a container whose creator was killed before it wrote down anything; nothing where there is
/// nothing.
///
/// # Errors
/// Where the directory can't be removed.
pub fn forget(root: &StateRoot, id: &ContainerId) -> Result<()> {
    let dir = root.dir(id);
    if !dir.path.exists() {
        return Ok(());
    }
    let _lock = dir.lock()?;
    if dir.path.join(STATE).exists() {
        return Err(Failure::because(
            "delete",
            format!("container {id}"),
            "it has just been created: try again",
        ));
    }
    dir.remove()
}

impl StateDir {
    /// Waits until nobody else changes the container.
    pub fn lock(&self) -> Result<Lock> {
        let dir = File::open(&self.path).or_fail_at("open", &self.path)?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&dir, FlockOperation::LockExclusive))
            .or_fail_at("lock", &self.path)?;
        Ok(Lock(dir))
    }

    /// Whether somebody changes the container at this moment.
    pub fn is_locked(&self) -> bool {
        let Ok(dir) = File::open(&self.path) else { return false };
        rustix::fs::flock(&dir, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    }

    pub fn read(&self) -> Result<Record> {
        let path = self.path.join(STATE);
        let text = fs::read(&path).or_fail_at("read", &path)?;
        serde_json::from_slice(&text).map_err(|error| Failure::because("read", path.display(), error))
    }

    /// Whole or not at all: written beside and renamed. Not synced: after a power cut no container runs.
    pub fn write(&self, record: &Record) -> Result<()> {
        let text = serde_json::to_vec(record).map_err(std::io::Error::other).or_fail("encode", STATE)?;
        let staged = self.path.join(".state.json");
        self.put(&staged, &text)?;
        fs::rename(&staged, self.path.join(STATE)).or_fail_at("rename", &staged)
    }

    pub fn write_config(&self, text: &[u8]) -> Result<()> {
        self.put(&self.path.join(CONFIG), text)
    }

    pub fn read_config(&self) -> Result<Spec> {
        crate::config::read(&self.path.join(CONFIG)).map(|(spec, _)| spec)
    }

    fn put(&self, path: &Path, text: &[u8]) -> Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .or_fail_at("create", path)?;
        file.write_all(text).or_fail_at("write", path)
    }

    pub fn fifo(&self) -> PathBuf {
        self.path.join(FIFO)
    }

    /// The FIFO that init opens for writing as whatever user it has become by then.
    pub fn make_fifo(&self) -> Result<()> {
        let umask = rustix::process::umask(Mode::empty());
        let kind = rustix::fs::FileType::Fifo;
        let made = rustix::fs::mknodat(CWD, self.fifo(), kind, Mode::from_raw_mode(0o622), 0);
        rustix::process::umask(umask);
        made.or_fail_at("make start FIFO", self.fifo())
    }

    pub fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.or_fail_at("remove", &self.path),
        }
    }
}
