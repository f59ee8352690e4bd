//! Snapshots: file systems over layers.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci::image::Digest;
use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, statx};
use serde::{Deserialize, Serialize};

use crate::layer::XattrNamespace;
use crate::layers::{list, read};
use crate::mount::Layout;
use crate::stage::Stage;
use crate::{Driver, Result, SnapshotError, Snapshots, attributes, copy, host, mount, tree};

/// What a snapshot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It takes changes.
    Writable,
    /// It shows its parent and cannot be written to.
    View,
}

/// `snapshot.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    driver: Driver,
    kind: Kind,
    parent: Option<Digest>,
    /// Whether it stands on the host's own root instead of layers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    host: bool,
}

/// The file system of one container, or a view of an image.
#[derive(Clone, Debug)]
pub struct Snapshot<'a> {
    pub(crate) snapshots: &'a Snapshots,
    key: String,
    record: Record,
}

impl Snapshots {
    /// Makes a file system to write to over the layer `parent` and those below it, or over nothing.
    pub fn prepare(&self, key: &str, parent: Option<&Digest>) -> Result<Snapshot<'_>> {
        self.make(key, self.record(Kind::Writable, parent))
    }

    /// Makes a read-only view of the layer `parent` and those below it.
    pub fn view(&self, key: &str, parent: Option<&Digest>) -> Result<Snapshot<'_>> {
        self.make(key, self.record(Kind::View, parent))
    }

    /// Makes a file system to write to over the host's own root file system (and no other that is mounted on it).
    /// The host's files stay as they are. `hidden` directories are empty in it, and so is this directory.
    pub fn prepare_host(&self, key: &str, hidden: &[&Path]) -> Result<Snapshot<'_>> {
        if self.driver != Driver::Overlay {
            return Err(SnapshotError::HostNeedsOverlay);
        }
        if self.xattrs() != XattrNamespace::Trusted {
            return Err(SnapshotError::HostNeedsRoot);
        }
        let record = Record { host: true, ..self.record(Kind::Writable, None) };
        let stage = self.stage_parts(&record)?;
        let own = std::fs::canonicalize(self.root())
            .map_err(|error| SnapshotError::io("resolve", self.root(), error))?;
        host::hide(&stage, hidden.iter().copied().chain([own.as_path()]), self.xattrs())?;
        self.name_snapshot(key, record, stage)
    }

    /// Makes a read-only view of the host's root file system.
    pub fn view_host(&self, key: &str) -> Result<Snapshot<'_>> {
        self.make(key, Record { host: true, ..self.record(Kind::View, None) })
    }

    /// What a snapshot over the layer `parent` begins with: its directories, topmost first, and a
    /// read-only mount of them, detached. Nothing is made on disk.
    pub fn peek(&self, parent: Option<&Digest>) -> Result<(Vec<PathBuf>, OwnedFd)> {
        let lowers = self.lower_directories(parent)?;
        let mount = mount::peek(self, &lowers)?;
        Ok((lowers, mount))
    }

    /// The same for one over the host's root.
    pub fn peek_host(&self) -> Result<(Vec<PathBuf>, OwnedFd)> {
        let lowers = vec![PathBuf::from(host::ROOT)];
        let mount = mount::peek(self, &lowers)?;
        Ok((lowers, mount))
    }

    fn record(&self, kind: Kind, parent: Option<&Digest>) -> Record {
        Record { driver: self.driver, kind, parent: parent.copied(), host: false }
    }

    /// The snapshot `key`.
    pub fn snapshot(&self, key: &str) -> Result<Snapshot<'_>> {
        check_key(key)?;
        let record = read(&self.snapshot_path(key).join("snapshot.json"))?;
        let record = record.ok_or_else(|| SnapshotError::NoSnapshot(key.into()))?;
        Ok(Snapshot { snapshots: self, key: key.into(), record })
    }

    /// All snapshots, by key.
    pub fn snapshots(&self) -> Result<Vec<Snapshot<'_>>> {
        let mut found = Vec::new();
        for key in list(&self.root.join("snapshots"))? {
            match self.snapshot(&key) {
                Ok(snapshot) => found.push(snapshot),
                Err(SnapshotError::NoSnapshot(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Removes a snapshot with all that was written to it, damaged or not. It must not be mounted.
    pub fn remove(&self, key: &str) -> Result<()> {
        check_key(key)?;
        let path = self.snapshot_path(key);
        {
            let _lock = self.lock_exclusive()?;
            if !path.try_exists().map_err(|error| SnapshotError::io("look up", &path, error))? {
                return Err(SnapshotError::NoSnapshot(key.into()));
            }
            if is_mounted(&path.join("merged"))? {
                return Err(SnapshotError::InUse {
                    what: format!("snapshot {key:?}"),
                    user: "a mount".into(),
                });
            }
            self.discard(&path)?;
        }
        self.empty_trash()
    }

    /// Where overlay's attributes go: who is root in the initial user namespace may use the trusted ones.
    pub(crate) fn xattrs(&self) -> XattrNamespace {
        match rustix::process::geteuid().is_root() && !sys::process::in_user_namespace() {
            true => XattrNamespace::Trusted,
            false => XattrNamespace::User,
        }
    }

    fn make(&self, key: &str, record: Record) -> Result<Snapshot<'_>> {
        check_key(key)?;
        let stage = match (self.stage_parts(&record), record.parent) {
            // It was collected between the reading of its record and the look at its files.
            (Err(_), Some(parent)) if !self.has_layer(&parent)? => {
                return Err(SnapshotError::NoLayer(parent));
            }
            (staged, _) => staged?,
        };
        self.name_snapshot(key, record, stage)
    }

    /// The directories of a snapshot, still without a name.
    fn stage_parts(&self, record: &Record) -> Result<Stage> {
        let lower = match record.host {
            true => vec![PathBuf::from(host::ROOT)],
            false => self.lower_directories(record.parent.as_ref())?,
        };
        let stage = self.stage()?;
        for name in ["work", "merged"] {
            stage.make_directory(name, 0o755)?;
        }
        let files = stage.make_directory("fs", 0o755)?;
        let init = stage.make_directory("init", 0o755)?;
        if record.driver == Driver::Copy {
            copy::materialize(&lower, files.as_fd(), &stage.path().join("fs"))?;
        }
        if let Some(top) = lower.first() {
            let like = tree::open_root(top).map_err(|error| SnapshotError::io("open", top, error))?;
            for own in [&files, &init] {
                let copied = attributes::copy(like.as_fd(), own.as_fd());
                copied.map_err(|error| SnapshotError::io("set attributes in", stage.path(), error))?;
            }
        }
        stage.write("snapshot.json", record)?;
        Ok(stage)
    }

    fn name_snapshot(&self, key: &str, record: Record, stage: Stage) -> Result<Snapshot<'_>> {
        check_key(key)?;
        let _lock = self.lock_shared()?;
        // It may have been collected since its directories were listed.
        if let Some(parent) = &record.parent
            && !self.has_layer(parent)?
        {
            return Err(SnapshotError::NoLayer(*parent));
        }
        match stage.name(&self.snapshot_path(key))? {
            true => Ok(Snapshot { snapshots: self, key: key.into(), record }),
            false => Err(SnapshotError::Exists(key.into())),
        }
    }
}

impl Snapshot<'_> {
    /// Its key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The driver that made it.
    pub fn driver(&self) -> Driver {
        self.record.driver
    }

    /// What it is for.
    pub fn kind(&self) -> Kind {
        self.record.kind
    }

    /// The chain id of the layer that it stands on.
    pub fn parent(&self) -> Option<&Digest> {
        self.record.parent.as_ref()
    }

    /// Whether it stands on the host's own root: then there is no image to commit it to.
    pub fn is_over_host(&self) -> bool {
        self.record.host
    }

    /// Its directory.
    pub fn path(&self) -> PathBuf {
        self.snapshots.snapshot_path(&self.key)
    }

    /// Where the engine puts its own files (`/etc/hosts` and the like) before the first mount: over the
    /// image, under what the container writes. With the copy driver, and over the host's root, they go among the
    /// container's own.
    pub fn init(&self) -> PathBuf {
        self.path().join(match self.record.driver {
            Driver::Overlay if !self.record.host => "init",
            _ => "fs",
        })
    }

    /// Where its parts are.
    pub fn layout(&self) -> Result<Layout> {
        let path = self.path();
        let lower = match self.record.host {
            // Overlay refuses a lower directory below another one, so the engine's files can't be one here.
            true => vec![PathBuf::from(host::ROOT)],
            false => {
                let layers = self.snapshots.lower_directories(self.parent())?;
                std::iter::once(path.join("init")).chain(layers).collect()
            }
        };
        let own = |name| (self.record.kind == Kind::Writable).then(|| path.join(name));
        Ok(Layout { lower, upper: own("fs"), work: own("work"), merged: path.join("merged") })
    }

    /// Mounts it, detached: move_mount(2) puts it where it belongs, and closing it without that leaves
    /// nothing. `user_namespace` id-maps all of it: files owned by 0 belong to that namespace's root.
    pub fn mount(&self, user_namespace: Option<std::os::fd::BorrowedFd<'_>>) -> Result<OwnedFd> {
        mount::mount(self, user_namespace, false)
    }

    /// The same for a snapshot that is removed when the mount is gone: nothing that is written to it is ever synced
    /// (overlay's `volatile`). It may be mounted so again, as long as the host has not crashed since: the caller must know.
    pub fn mount_for_once(&self, user_namespace: Option<std::os::fd::BorrowedFd<'_>>) -> Result<OwnedFd> {
        mount::mount(self, user_namespace, true)
    }
}

/// Whether something is mounted at `path`.
fn is_mounted(path: &Path) -> Result<bool> {
    match statx(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
        Ok(stat) => Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(SnapshotError::io("stat", path, error)),
    }
}

fn check_key(key: &str) -> Result<()> {
    let sound = key.len() <= 200
        && key.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if sound { Ok(()) } else { Err(SnapshotError::Key(key.into())) }
}
