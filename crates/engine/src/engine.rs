//! The containers of a host: how one is found, and what is repaired on the way.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::container::Container;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::id;
use crate::paths::Paths;
use crate::record::{self, Dir, Lock};
use crate::repair::Monitor;
use crate::state::State;
use image::Images;
use snapshot::Snapshots;

/// The containers of a host. Any number of processes may use one root at a time.
#[derive(Debug)]
pub struct Engine {
    paths: Paths,
    images: OnceLock<Images>,
    snapshots: OnceLock<Snapshots>,
}

impl Engine {
    /// The engine at `paths`; nothing is read or made before it is needed.
    ///
    /// # Errors
    /// None today: whoever opens must be ready for one.
    pub fn open(paths: Paths) -> Result<Engine> {
        Ok(Engine { paths, images: OnceLock::new(), snapshots: OnceLock::new() })
    }

    /// Where its state is.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The images that containers are made of.
    ///
    /// # Errors
    /// Where the store can't be opened.
    pub fn images(&self) -> Result<&Images> {
        if let Some(images) = self.images.get() {
            return Ok(images);
        }
        let images = Images::open(&self.paths.root)?;
        Ok(self.images.get_or_init(|| images))
    }

    /// The root file systems alone: whoever starts or removes a container asks nothing of its image.
    pub(crate) fn snapshots(&self) -> Result<&Snapshots> {
        if let Some(snapshots) = self.snapshots.get() {
            return Ok(snapshots);
        }
        let snapshots = Snapshots::open(&self.paths.root)?;
        Ok(self.snapshots.get_or_init(|| snapshots))
    }

    /// What has happened, and is happening.
    pub fn events(&self) -> Events {
        Events::new(self.paths.root.join("events"))
    }

    /// The container that a name, an id or the start of an id means.
    ///
    /// # Errors
    /// Where there is none, or several ids start so.
    pub fn find(&self, text: &str) -> Result<Container> {
        // Of a container that runs, no monitor and no state tells that its networks were left half changed.
        let _ = self.settle_changing(&self.own_networks());
        let missing = || Error::NoSuchContainer(text.to_owned());
        if id::is_whole(text)
            && let Some(container) = self.container(text)?
        {
            return Ok(container);
        }
        let name = text.strip_prefix('/').unwrap_or(text);
        if !name.is_empty()
            && !name.contains('/')
            && let Some(id) = record::named(&self.paths.names(), name)?
            && let Some(container) = self.container(&id)?
            && container.name == name
        {
            return Ok(container);
        }
        if !id::is_prefix(text) {
            return Err(missing());
        }
        let mut found = Vec::new();
        for id in self.ids()?.into_iter().filter(|id| id.starts_with(text)) {
            found.extend(self.container(&id)?);
        }
        match found.len() {
            0 => Err(missing()),
            1 => Ok(found.remove(0)),
            _ => Err(Error::Ambiguous(text.to_owned())),
        }
    }

    /// The container with this id; what is left of one that was half made or removed is swept away.
    fn container(&self, id: &str) -> Result<Option<Container>> {
        let Some(dir) = Dir::open(self.paths.container(id))? else { return Ok(None) };
        if dir.state()?.is_none() {
            self.sweep(dir, id)?;
            return Ok(None);
        }
        dir.container()
    }

    /// The ids of all containers, and of what is left of some.
    ///
    /// # Errors
    /// Where the directory can't be read.
    pub(crate) fn ids(&self) -> Result<Vec<String>> {
        list(self.paths.containers())
    }

    /// The ids of those that have, or had, a monitor.
    pub(crate) fn active_ids(&self) -> Result<Vec<String>> {
        list(self.paths.run.join("containers"))
    }

    /// A container's directory, locked; its state is true.
    ///
    /// # Errors
    /// Where it has been removed meanwhile.
    pub(crate) fn lock(&self, container: &Container) -> Result<(Lock, State)> {
        self.lock_id(&container.id)?.ok_or_else(|| Error::NoSuchContainer(container.name.clone()))
    }

    /// The same by id; none where there is no such container.
    pub(crate) fn lock_id(&self, id: &str) -> Result<Option<(Lock, State)>> {
        let Some(dir) = Dir::open(self.paths.container(id))? else { return Ok(None) };
        let lock = dir.lock()?;
        let Some(state) = self.settle(&lock, id)? else { return Ok(None) };
        Ok(Some((lock, state)))
    }

    /// The state as it is true now, without waiting for whoever changes it at the moment.
    ///
    /// # Errors
    /// Where it has been removed meanwhile.
    pub fn state(&self, container: &Container) -> Result<State> {
        self.state_of(&container.id)?.ok_or_else(|| Error::NoSuchContainer(container.name.clone()))
    }

    /// The same by id; none where there is no such container.
    pub(crate) fn state_of(&self, id: &str) -> Result<Option<State>> {
        let path = self.paths.container(id);
        let Some(state) = record::state_in(&path)? else {
            let remains = Dir::open(path)?;
            remains.map_or(Ok(()), |dir| self.sweep(dir, id))?;
            return Ok(None);
        };
        let is_true = match self.monitor(id)? {
            Monitor::Alive => true,
            Monitor::None => !state.status.is_active(),
            Monitor::Remains => false,
        };
        if is_true {
            return Ok(Some(state));
        }
        let Some(dir) = Dir::open(path)? else { return Ok(None) };
        match dir.try_lock()? {
            Some(lock) => self.settle(&lock, id),
            None => Ok(Some(state)),
        }
    }
}

/// The entries of a directory that are whole ids; none where there is no directory.
fn list(path: PathBuf) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| Error::io("list", &path, error))?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| Error::io("list", &path, error))?.file_name();
        ids.extend(name.into_string().ok().filter(|name| id::is_whole(name)));
    }
    Ok(ids)
}
