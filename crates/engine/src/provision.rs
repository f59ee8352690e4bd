//! What a container takes of the host beside its root, and gives back: volumes, other containers' mounts, images.

use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::config::CreateConfig;
use crate::container::{Container, MountPoint};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::mounts::{self, MountError, Planned};
use crate::record::Dir;
use crate::volumes::{Held, Volume, Volumes};

impl From<MountError> for Error {
    fn from(error: MountError) -> Error {
        match error {
            MountError::Volume(error) => error.into(),
            other => Error::Invalid(other.to_string()),
        }
    }
}

impl Engine {
    /// The volumes.
    pub fn volumes(&self) -> Volumes {
        Volumes::new(&self.paths().root)
    }

    /// Which containers use which volumes: ids by the volume's name.
    ///
    /// # Errors
    /// Where records can't be read.
    pub fn volume_users(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for id in self.ids()? {
            let Some(dir) = Dir::open(self.paths().container(&id))? else { continue };
            let Some(state) = dir.state()? else { continue };
            for name in state.row.mounts.into_iter().filter(|name| !name.starts_with('/')) {
                users.entry(name).or_default().push(id.clone());
            }
        }
        Ok(users)
    }

    /// Decides what a new container mounts and makes the volumes that are missing. They stay while the result is held,
    /// which is until the container is recorded.
    ///
    /// # Errors
    /// What can't be mounted.
    pub(crate) fn provide_mounts(&self, asked: &CreateConfig) -> Result<(Vec<Planned>, Held)> {
        let mut planned = self.plan_mounts(asked)?;
        let volumes = self.volumes();
        let held = match planned.iter().any(Planned::is_volume) {
            true => volumes.hold()?,
            false => Held::nothing(),
        };
        volumes.provide(&mut planned, &held)?;
        Ok((planned, held))
    }

    /// What it would mount, and the volumes that would be made for it.
    pub(crate) fn foresee_mounts(&self, asked: &CreateConfig) -> Result<(Vec<Planned>, Vec<Volume>)> {
        let mut planned = self.plan_mounts(asked)?;
        let missing = self.volumes().foresee(&mut planned)?;
        Ok((planned, missing))
    }

    fn plan_mounts(&self, asked: &CreateConfig) -> Result<Vec<Planned>> {
        let others = |name: &str| -> std::result::Result<Vec<Planned>, String> {
            Ok(self.find(name).map_err(|error| error.to_string())?.planned)
        };
        let planned = mounts::plan(&asked.config, &asked.host_config, &others)?;
        check_sources(&planned)?;
        Ok(planned)
    }

    /// How `inspect` shows what is planned.
    pub(crate) fn mount_points(&self, planned: &[Planned]) -> Vec<MountPoint> {
        let volumes = self.volumes();
        let point = |one: &Planned| one.point(|name| volumes.mountpoint(name).to_string_lossy().into_owned());
        planned.iter().map(point).collect()
    }

    /// Removes the volumes that were made for a container, which is gone, alone. What can't be removed stays for `prune`.
    pub(crate) fn remove_anonymous_volumes(&self, container: &Container) {
        let own = container.planned.iter().filter(|one| one.is_volume() && one.anonymous);
        let names: Vec<String> = own.map(|one| one.mount.source.clone()).collect();
        let _ = self.volumes().remove_anonymous(&names, &|| self.volume_users());
    }

    /// Removes the views of images that a container has mounted.
    ///
    /// # Errors
    /// One can't be removed.
    pub(crate) fn remove_views(&self, container: &Container) -> Result<()> {
        for one in container.planned.iter().filter(|one| one.mount.r#type == "image") {
            match self.images()?.snapshots().remove(&view_key(container, one)) {
                Ok(()) | Err(snapshot::SnapshotError::NoSnapshot(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// A read-only view of an image, for a container that mounts it.
    pub(crate) fn image_view(
        &self,
        one: &Planned,
        key: &str,
        user_namespace: Option<BorrowedFd<'_>>,
    ) -> std::result::Result<OwnedFd, String> {
        let text = |error: &dyn std::error::Error| crate::attend::sentence(error);
        let images = self.images().map_err(|error| text(&error))?;
        let candidates = image::default_candidates(&one.mount.source);
        let image = images.find(&one.mount.source, &candidates).map_err(|error| text(&error))?;
        let top = images.unpack(&image.manifest, &image.config).map_err(|error| text(&error))?;
        let snapshots = images.snapshots();
        let view = match snapshots.view(key, top.as_ref()) {
            Err(snapshot::SnapshotError::Exists(_)) => snapshots.snapshot(key),
            other => other,
        };
        view.and_then(|view| view.mount(user_namespace)).map_err(|error| text(&error))
    }
}

/// The key of the snapshot that is a container's view of an image.
pub(crate) fn view_key(container: &Container, one: &Planned) -> String {
    let place = container.planned.iter().position(|other| other.mount.target == one.mount.target);
    format!("{}-image-{}", container.id, place.unwrap_or_default())
}

/// `--mount` makes no source: what is missing is told when the container is made.
fn check_sources(planned: &[Planned]) -> Result<()> {
    for one in planned.iter().filter(|one| one.mount.r#type == "bind") {
        let makes = one.mount.bind_options.as_ref().is_some_and(|options| options.create_mountpoint);
        if !makes && !std::path::Path::new(&one.mount.source).exists() {
            let problem = format!("bind source path does not exist: {}", one.mount.source);
            return Err(MountError::Config { kind: "bind".into(), problem }.into());
        }
    }
    Ok(())
}
