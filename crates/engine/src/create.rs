//! Making a container: directory, record, name, file system, and state.json last, by which it is one.

use image::Image;

use crate::clock;
use crate::config::CreateConfig;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::events::Event;
use crate::id;
use crate::mounts::Planned;
use crate::record::{self, Dir, Lock};
use crate::spec::Host;
use crate::state::{Row, State};

/// How many random names are tried.
const ATTEMPTS: u32 = 64;

/// A container that was made. While this is held, nobody else starts or removes it.
#[derive(Debug)]
pub struct Created {
    /// What it is.
    pub container: Container,
    /// What was ignored.
    pub warnings: Vec<String>,
    pub(crate) lock: Option<Lock>,
}

impl Engine {
    /// Makes a container of an image that is here. Without a name it gets a random one.
    ///
    /// # Errors
    /// What makes no sense together, a name that is taken, or what is missing. Nothing is left then.
    pub fn create(&self, name: Option<&str>, asked: &CreateConfig, image: &Image) -> Result<Created> {
        let (mut container, mut warnings) = self.decide(id::new()?, name, asked, image)?;
        let any_name = container.name.is_empty();
        let lock = Lock::reserve(&self.paths().container(&container.id))?;
        match self.make(&lock, &mut container, any_name, image) {
            Ok(more) => {
                warnings.extend(more);
                Ok(Created { container, warnings, lock: Some(lock) })
            }
            Err(error) => {
                // What can't be removed now, whoever comes next removes.
                let _ = self.remove_locked(&lock, &container.id, true);
                Err(error)
            }
        }
    }

    /// A container as it is to be, before anything of it is made, and what is ignored. What can be refused is refused
    /// here.
    pub(crate) fn decide(
        &self,
        id: String,
        name: Option<&str>,
        asked: &CreateConfig,
        image: &Image,
    ) -> Result<(Container, Vec<String>)> {
        let name = name.filter(|name| !name.is_empty()).map(id::check_name).transpose()?;
        let host = Host::detect()?;
        let runtime = asked.host_config.runtime.as_str();
        if !matches!(runtime, "" | "berth") {
            let cause =
                format!("unknown or invalid runtime name: {runtime}: leave --runtime out, or give berth");
            return Err(Error::Invalid(cause));
        }
        // The image's ports contradict nothing: only what was asked for is judged.
        let warnings = crate::check::check(asked, &host)?;
        let mut asked = asked.clone();
        crate::merge::merge(&mut asked.config, &image.config.config)
            .map_err(|error| Error::Invalid(error.to_string()))?;
        crate::check::complete(&mut asked, &id, &host);
        let container = Container {
            id,
            name: name.unwrap_or_default().to_owned(),
            created: clock::text(clock::now()),
            image: image.id().to_string(),
            image_manifest: image.manifest_descriptor.digest.to_string(),
            platform: image.config.platform.to_string(),
            args: arguments(&asked),
            asked,
            ..Container::default()
        };
        crate::start::monitor_config(self, &container)?;
        Ok((container, warnings))
    }

    fn make(
        &self,
        lock: &Lock,
        container: &mut Container,
        any_name: bool,
        image: &Image,
    ) -> Result<Vec<String>> {
        let (planned, _held) = self.provide_mounts(&container.asked)?;
        container.mounts = self.mount_points(&planned);
        container.planned = planned;
        container.id_maps = self.map_ids(container)?;
        self.name(lock, container, any_name)?;
        self.images()?.prepare(&container.id, image)?;
        let state = State { row: row(container), ..State::default() };
        lock.write_state(&state)?;
        self.events().emit(&[container.event("create", [])]);
        Ok(Vec::new())
    }

    /// The record is there before the name, so that whoever finds the remains knows whose name it is.
    fn name(&self, lock: &Lock, container: &mut Container, any_name: bool) -> Result<()> {
        for attempt in 0..ATTEMPTS {
            if any_name {
                container.name = id::name(attempt)?;
            }
            lock.write_container(container)?;
            match self.take_name(&container.name, &container.id)? {
                None => return Ok(()),
                Some(_) if any_name => {}
                Some(holder) => {
                    let taken = Error::NameInUse { name: container.name.clone(), id: holder };
                    container.name.clear();
                    return Err(taken);
                }
            }
        }
        Err(Error::Conflict("all names that were tried are taken: give one with --name".into()))
    }

    /// Takes a name, from a container that is no more where it must be. `Some` says who has it.
    pub(crate) fn take_name(&self, name: &str, id: &str) -> Result<Option<String>> {
        let names = self.paths().names();
        loop {
            match record::take_name(&names, name, id)? {
                None => return Ok(None),
                Some(holder) if holder == id => return Ok(None),
                Some(holder) if self.holds(&holder, name)? => return Ok(Some(holder)),
                Some(holder) => record::drop_name(&names, name, &holder)?,
            }
        }
    }

    /// Whether a container has the name that leads to it. It has not where it is gone, or where a `rename` was killed; one
    /// that is being made or renamed at the moment, which its lock says, has.
    fn holds(&self, id: &str, name: &str) -> Result<bool> {
        let Some(dir) = Dir::open(self.paths().container(id))? else { return Ok(false) };
        let is_its =
            |dir: &Dir| Ok::<_, Error>(dir.container()?.is_some_and(|container| container.name == name));
        if dir.state()?.is_some() && is_its(&dir)? {
            return Ok(true);
        }
        let Some(lock) = dir.try_lock()? else { return Ok(true) };
        Ok(self.settle(&lock, id)?.is_some() && is_its(&lock)?)
    }
}

/// Entry point and command as one list.
fn arguments(asked: &CreateConfig) -> Vec<String> {
    let parts = [&asked.config.entrypoint, &asked.config.cmd];
    parts.into_iter().flatten().flatten().cloned().collect()
}

/// What `ps` shows of a container from its making on.
pub(crate) fn row(container: &Container) -> Row {
    let Container { asked, name, .. } = container;
    let mounts = container.mounts.iter();
    let shown = |mount: &crate::MountPoint| match mount.name.as_str() {
        "" => mount.source.clone(),
        name => name.to_owned(),
    };
    Row {
        name: name.clone(),
        image: asked.config.image.clone(),
        image_id: container.image.clone(),
        command: container.args.join(" "),
        created: container.created.clone(),
        labels: asked.config.labels.clone(),
        mounts: mounts.map(shown).collect(),
        networks: container.networks(),
        exposed: asked.config.exposed_ports.keys().cloned().collect(),
        auto_remove: asked.host_config.auto_remove,
        restart: restart(container),
    }
}

/// The restart policy as a user gives it: `on-failure:3`; empty for none.
fn restart(container: &Container) -> String {
    let policy = &container.asked.host_config.restart_policy;
    match (policy.name.as_str(), policy.maximum_retry_count) {
        ("" | "no", _) => String::new(),
        ("on-failure", count) if count > 0 => format!("on-failure:{count}"),
        (name, _) => name.to_owned(),
    }
}

impl Container {
    /// An event of this container, with its name, image and labels, and what more is to be told.
    pub(crate) fn event<const N: usize>(&self, action: &str, more: [(&str, String); N]) -> Event {
        let mut attributes = self.asked.config.labels.clone();
        attributes.insert("image".into(), self.asked.config.image.clone());
        attributes.insert("name".into(), self.name.clone());
        attributes.extend(more.map(|(name, value)| (name.to_owned(), value)));
        Event::new("container", action, &self.id, attributes)
    }

    /// What is told of each of its volumes: `mount` when it starts, `unmount` when it has ended.
    pub(crate) fn volume_events(&self, action: &str) -> Vec<Event> {
        let event = |one: &Planned| {
            let mut attributes = vec![("container", self.id.as_str()), ("driver", "local")];
            if action == "mount" {
                let writable = if one.mount.read_only { "false" } else { "true" };
                attributes.extend([("destination", one.destination()), ("read/write", writable)]);
            }
            let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
            Event::new("volume", action, &one.mount.source, attributes.collect())
        };
        self.planned.iter().filter(|one| one.is_volume()).map(event).collect()
    }
}
