//! Volumes: directories that outlive containers.
//!
//! ```text
//! ROOT/volumes/lock             flock: shared while a container is recorded that uses volumes, exclusive to remove any
//! ROOT/volumes/NAME/
//!        volume.json            labels, options, when it was made
//!        _data/                 the files
//!        populating             there while it is filled from an image: what it has so far is to be thrown away
//! ROOT/volumes/.new-<random>/   on its way to a name; its maker holds its flock
//! ROOT/volumes/.gone-<random>/  on its way out
//! ```
//! A volume is made beside and renamed, and removed by a rename first, so that it is there wholly or not at all.

mod archive;
mod driver;
mod error;
mod list;
mod name;
mod populate;
mod quota;
mod stage;

use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::config::StringMap;
use crate::events::{Event, Events};
use crate::mounts::Planned;

pub use driver::{Content, check as check_driver};
pub use error::VolumeError;
pub use list::{Pruned, Users};
pub use name::check as check_name;
pub use populate::populate;

use stage::Lock;

/// The label of a volume that was made for one container, as Docker has it.
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// The result of operations on volumes.
pub type Result<T> = std::result::Result<T, VolumeError>;

/// The volumes below a root.
#[derive(Clone, Debug)]
pub struct Volumes {
    root: PathBuf,
}

/// While it is held, no volume is removed.
#[derive(Debug)]
pub struct Held(#[allow(dead_code, reason = "held for its flock")] Option<Lock>);

/// `volume.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Record {
    created_at: String,
    labels: StringMap,
    options: StringMap,
    /// The number of its project quota; 0 where it has none.
    #[serde(skip_serializing_if = "is_zero")]
    project: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    name: String,
    directory: PathBuf,
    record: Record,
}

/// How `volume inspect` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct VolumeInfo {
    pub created_at: String,
    pub driver: String,
    pub labels: Option<StringMap>,
    pub mountpoint: String,
    pub name: String,
    pub options: Option<StringMap>,
    pub scope: String,
}

/// What is asked of a new volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewVolume {
    /// Its name; a random one where empty.
    pub name: String,
    /// Its driver; only `local` is there.
    pub driver: String,
    /// Options of the driver.
    pub options: StringMap,
    /// Labels.
    pub labels: StringMap,
}

impl Held {
    /// For a container that uses no volume.
    pub(crate) fn nothing() -> Held {
        Held(None)
    }
}

impl Volumes {
    /// The volumes below the engine's root.
    pub fn new(root: &Path) -> Volumes {
        Volumes { root: root.join("volumes") }
    }

    /// The volume of a name.
    ///
    /// # Errors
    /// There is none, or its record can't be read.
    pub fn get(&self, name: &str) -> Result<Volume> {
        check_name(name).map_err(|_| VolumeError::NotFound(name.to_owned()))?;
        let directory = self.root.join(name);
        let path = directory.join("volume.json");
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(VolumeError::NotFound(name.to_owned()));
            }
            other => other.map_err(|error| VolumeError::io("read", &path, error))?,
        };
        let record = serde_json::from_slice(&text).map_err(|source| VolumeError::Damaged { path, source })?;
        Ok(Volume { name: name.to_owned(), directory, record })
    }

    /// Makes a volume. One that has the name already is given back, where it has the same options.
    ///
    /// # Errors
    /// The name or an option is none, or the file system can't do what is asked for.
    pub fn create(&self, new: &NewVolume) -> Result<Volume> {
        if !new.name.is_empty() {
            check_name(&new.name)?;
        }
        check_driver(&new.driver, &new.options)?;
        let name = if new.name.is_empty() { name::random()? } else { new.name.clone() };
        match self.get(&name) {
            Err(VolumeError::NotFound(_)) => {}
            other => return same(other?, new),
        }
        let mut record = Record {
            created_at: crate::clock::text(crate::clock::now()),
            labels: new.labels.clone(),
            options: new.options.clone(),
            project: 0,
        };
        let stage = self.stage()?;
        let data = stage.directory("_data")?;
        if let Some(size) = driver::size(&new.options)? {
            record.project = quota::limit(&data, size)?;
        }
        stage.write("volume.json", &record)?;
        match stage.name(&self.root.join(&name))? {
            true => {
                self.tell("create", &name);
                Ok(Volume { directory: self.root.join(&name), name, record })
            }
            // Somebody was faster.
            false => same(self.get(&name)?, new),
        }
    }

    /// Keeps all volumes from being removed, until a container that uses some is recorded.
    ///
    /// # Errors
    /// The lock can't be had.
    pub fn hold(&self) -> Result<Held> {
        self.lock(FlockOperation::LockShared).map(|lock| Held(Some(lock)))
    }

    /// Makes the volumes that a new container wants and that are not there, and names those without a name.
    ///
    /// # Errors
    /// As for [`Volumes::create`]; anonymous volumes that were made are removed again.
    pub fn provide(&self, planned: &mut [Planned], _held: &Held) -> Result<()> {
        let mut made = Vec::new();
        for one in planned.iter_mut().filter(|one| one.is_volume()) {
            match self.provide_one(one) {
                Ok(name) => made.extend(name),
                Err(error) => {
                    for name in made {
                        // What can't be removed is for `prune`.
                        let _ = self.discard(&name);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Makes one volume; its name where it is anonymous.
    fn provide_one(&self, one: &mut Planned) -> Result<Option<String>> {
        let new = wanted(one);
        if !one.anonymous && new.options.is_empty() && self.get(&new.name).is_ok() {
            return Ok(None);
        }
        one.mount.source = self.create(&new)?.name;
        Ok(one.anonymous.then(|| one.mount.source.clone()))
    }

    /// The volumes that [`provide`](Self::provide) would make; those without a name are `NEW` and a number.
    ///
    /// # Errors
    /// The name or an option is none, or a volume is there with other options.
    pub fn foresee(&self, planned: &mut [Planned]) -> Result<Vec<Volume>> {
        let mut missing: Vec<Volume> = Vec::new();
        for one in planned.iter_mut().filter(|one| one.is_volume()) {
            let mut new = wanted(one);
            check_driver(&new.driver, &new.options)?;
            if one.anonymous {
                new.name = format!("NEW{}", missing.len());
                one.mount.source.clone_from(&new.name);
            } else {
                check_name(&new.name)?;
                match self.get(&new.name) {
                    Err(VolumeError::NotFound(_)) => {}
                    there => {
                        same(there?, &new)?;
                        continue;
                    }
                }
            }
            let record = Record { labels: new.labels, options: new.options, ..Record::default() };
            missing.push(Volume { directory: self.root.join(&new.name), name: new.name, record });
        }
        Ok(missing)
    }

    /// Volumes have events beside those of containers.
    fn tell(&self, action: &str, name: &str) {
        let attributes = [("driver".to_owned(), "local".to_owned())].into();
        let log = Events::new(self.root.with_file_name("events"));
        log.emit(&[Event::new("volume", action, name, attributes)]);
    }

    /// Where a volume's files are, or would be.
    pub fn mountpoint(&self, name: &str) -> PathBuf {
        self.root.join(name).join("_data")
    }
}

/// The volume that a mount wants.
fn wanted(one: &Planned) -> NewVolume {
    let options = one.mount.volume_options.clone().unwrap_or_default();
    let driver = options.driver_config.unwrap_or_default();
    let mut labels = options.labels;
    if one.anonymous {
        labels.insert(ANONYMOUS.into(), String::new());
    }
    NewVolume { name: one.mount.source.clone(), driver: driver.name, options: driver.options, labels }
}

/// A volume that is there, if it is what was asked for.
fn same(volume: Volume, new: &NewVolume) -> Result<Volume> {
    match new.options.is_empty() || new.options == volume.record.options {
        true => Ok(volume),
        false => Err(VolumeError::OtherOptions(volume.name)),
    }
}

impl Volume {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its labels.
    pub fn labels(&self) -> &StringMap {
        &self.record.labels
    }

    /// Whether it was made for one container.
    pub fn is_anonymous(&self) -> bool {
        self.record.labels.contains_key(ANONYMOUS)
    }

    /// The directory with its files.
    pub fn mountpoint(&self) -> PathBuf {
        self.directory.join("_data")
    }

    /// What a container mounts.
    pub fn content(&self) -> Content {
        driver::content(&self.record.options, || self.mountpoint())
    }

    /// How `inspect` shows it.
    pub fn inspect(&self) -> VolumeInfo {
        let some = |map: &StringMap| (!map.is_empty()).then(|| map.clone());
        let seconds = self.record.created_at.split('.').next().unwrap_or_default();
        VolumeInfo {
            created_at: format!("{}Z", seconds.trim_end_matches('Z')),
            driver: "local".into(),
            labels: some(&self.record.labels),
            mountpoint: self.mountpoint().to_string_lossy().into_owned(),
            name: self.name.clone(),
            options: some(&self.record.options),
            scope: "local".into(),
        }
    }
}
