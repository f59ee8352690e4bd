//! `diff` and `commit`: what a container has written to its own file system.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use image::CommitOptions;
use oci::Reference;
use oci::image::ContainerConfig as ImageDefaults;
use snapshot::{Change, ChangedPath};

use crate::config::ContainerConfig;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::spec::INIT;
use crate::state::Status;

/// What is mounted in every container, and needs a place.
const PLACES: [&str; 13] = [
    "/dev",
    "/dev/console",
    "/dev/mqueue",
    "/dev/pts",
    "/dev/shm",
    "/etc",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/proc",
    "/sys",
    "/sys/fs/cgroup",
    INIT,
];

/// What `commit` is told.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Who made the image.
    pub author: String,
    /// A note.
    pub message: String,
    /// Instructions of a Dockerfile that change the configuration.
    pub changes: Vec<String>,
    /// The image's name.
    pub name: Option<Reference>,
    /// The container stands still meanwhile.
    pub pause: bool,
}

impl Engine {
    /// The paths that a container has added, changed or deleted, from `/`, sorted.
    ///
    /// # Errors
    /// Its file system can't be read.
    pub fn diff(&self, container: &Container) -> Result<Vec<(Change, String)>> {
        let snapshot = self.images()?.snapshots().snapshot(&container.id)?;
        let changed = snapshot.changed()?;
        let without = blanks(container, &changed);
        let shown = |one: ChangedPath| (one.change, format!("/{}", String::from_utf8_lossy(&one.path)));
        Ok(changed.into_iter().filter(|one| !without.contains(&one.path)).map(shown).collect())
    }

    /// Makes an image of a container and gives its id. What is in volumes and other mounts is not in it.
    ///
    /// # Errors
    /// Its image is gone, a change is none, or files can't be read.
    pub fn commit(&self, container: &Container, commit: &Commit) -> Result<String> {
        let images = self.images()?;
        let base = images.find(&container.image, &[])?;
        let mut config = defaults(&container.asked.config);
        for change in &commit.changes {
            image::apply_change(&mut config, change).map_err(|error| Error::Invalid(error.to_string()))?;
        }
        let running = self.state(container)?.status == Status::Running;
        // One without a control group can't be; its files may change meanwhile, as with --pause=false.
        let paused = commit.pause && running && self.running_payload(container)?.has_cgroup();
        if paused {
            self.pause(container)?;
        }
        let done = (|| {
            let changed = images.snapshots().snapshot(&container.id)?.changed()?;
            let options = CommitOptions {
                author: commit.author.clone(),
                message: commit.message.clone(),
                created_by: container.args.join(" "),
                config,
                created: SystemTime::now(),
                without: blanks(container, &changed),
            };
            Ok(images.commit(&container.id, &base, commit.name.as_ref(), &options)?)
        })();
        if paused {
            self.unpause(container)?;
        }
        done.map(|id: oci::image::Digest| id.to_string())
    }
}

/// Places of mounts that the image did not have: empty files and directories that were made for them, and are nobody's.
fn blanks(container: &Container, changed: &[ChangedPath]) -> BTreeSet<Vec<u8>> {
    let own = container.planned.iter().map(|one| one.destination());
    let tmpfs = container.asked.host_config.tmpfs.keys().map(String::as_str);
    let places: BTreeSet<&str> = PLACES.into_iter().chain(own).chain(tmpfs).collect();
    let mut blanks = BTreeSet::new();
    // What is below comes first: a directory that only holds blanks is one too.
    for one in changed.iter().rev().filter(|one| one.change != Change::Deleted) {
        let path = format!("/{}", String::from_utf8_lossy(&one.path));
        if !places.iter().any(|place| Path::new(place).starts_with(&path)) {
            continue;
        }
        // A directory of the image counts as changed where a place was made in it.
        let mut below = changed.iter().filter(|other| is_below(&one.path, &other.path)).peekable();
        if one.is_blank || below.peek().is_some() && below.all(|other| blanks.contains(&other.path)) {
            blanks.insert(one.path.clone());
        }
    }
    blanks
}

fn is_below(directory: &[u8], path: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
}

/// What a container was asked for, as an image says it.
fn defaults(config: &ContainerConfig) -> ImageDefaults {
    ImageDefaults {
        user: config.user.clone(),
        exposed_ports: config.exposed_ports.clone(),
        env: config.env.iter().filter(|variable| variable.contains('=')).cloned().collect(),
        entrypoint: config.entrypoint.clone(),
        cmd: config.cmd.clone(),
        volumes: config.volumes.clone(),
        working_dir: config.working_dir.clone(),
        labels: config.labels.clone(),
        stop_signal: config.stop_signal.clone(),
        stop_timeout: config.stop_timeout,
        healthcheck: config.healthcheck.clone(),
        shell: config.shell.clone(),
        on_build: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_mounts_are_nobodys_change() {
        let changed = |path: &str, change, is_blank| ChangedPath { path: path.into(), change, is_blank };
        let changed = [
            changed("dev", Change::Added, true),
            changed("etc", Change::Changed, false),
            changed("etc/hosts", Change::Added, true),
            changed("etc/motd", Change::Added, true),
            changed("proc", Change::Added, true),
            changed("srv", Change::Added, false),
            changed("srv/data", Change::Added, true),
            changed("sys", Change::Deleted, false),
            changed("tmp", Change::Added, true),
        ];
        let mut container = Container::default();
        let mount = crate::config::MountConfig { target: "/srv/data".into(), ..Default::default() };
        container.planned.push(crate::mounts::Planned { mount, ..Default::default() });
        let blanks = blanks(&container, &changed);
        let blanks: Vec<_> = blanks.iter().map(|path| String::from_utf8_lossy(path)).collect();
        assert_eq!(blanks, ["dev", "etc/hosts", "proc", "srv", "srv/data"]);
    }
}
