//! What `run` and `create` would do, in order: the same decisions, and no deed.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use image::Image;
use runtime::{Bundle, CreateOptions, StartPlan};

use crate::config::CreateConfig;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::launch::Outline;
use crate::record;
use crate::volumes::Volume;

/// The id of a container that is not made, which is shown as `ID`.
const NOBODY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What would be done: sections with a line a step, then the runtime's plan.
#[derive(Debug)]
pub struct DryRun {
    /// What is ignored of what was asked for.
    pub warnings: Vec<String>,
    sections: Vec<(&'static str, Vec<String>)>,
    plan: StartPlan,
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for (title, steps) in self.sections.iter().filter(|(_, steps)| !steps.is_empty()) {
            text += &format!("{title}:\n");
            steps.iter().for_each(|step| text += &format!("  {step}\n"));
        }
        text += &self.plan.to_string();
        f.write_str(&text.replace(NOBODY, "ID"))
    }
}

impl Engine {
    /// Decides all that making and starting a container takes, and does nothing of it.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and of a start, as far as they can be known.
    pub fn dry_run(&self, name: Option<&str>, asked: &CreateConfig, image: &Image) -> Result<DryRun> {
        let (mut container, warnings) = self.decide(NOBODY.to_owned(), name, asked, image)?;
        self.check_free(&container.name)?;
        let (planned, new_volumes) = self.foresee_mounts(&container.asked)?;
        container.planned = planned;
        container.id_maps = self.foresee_ids(&container)?;
        let (layers, rootfs) = self.images()?.peek(image)?;
        let volumes = self.volumes();
        let volume = |name: &str| match new_volumes.iter().find(|volume| volume.name() == name) {
            Some(new) => Ok(new.clone()),
            None => volumes.get(name),
        };
        let outline = self.outline(&container, rootfs.as_fd(), &volume)?;
        let sections = vec![
            ("image", image_steps(&container)),
            ("container", self.container_steps(&container, &new_volumes)),
            ("root", self.root_steps(&container, &layers)),
            ("files", self.file_steps(&container, &outline)),
            ("network", self.network_steps(&container)?),
            ("cgroup", cgroup_steps(&container, &outline)?),
        ];
        let plan = self.runtime_plan(&container, outline, rootfs)?;
        Ok(DryRun { warnings, sections, plan })
    }

    /// Refuses a name that a container has.
    fn check_free(&self, name: &str) -> Result<()> {
        if !name.is_empty()
            && let Some(id) = record::named(&self.paths().names(), name)?
            && self.state_of(&id)?.is_some()
        {
            return Err(Error::NameInUse { name: name.to_owned(), id });
        }
        Ok(())
    }

    fn container_steps(&self, container: &Container, new_volumes: &[Volume]) -> Vec<String> {
        let mut steps = vec![
            format!("make {}", self.paths().container(&container.id).display()),
            match container.name.as_str() {
                "" => "take a random name".to_owned(),
                name => format!("take the name {name}"),
            },
        ];
        if let Some(ids) = &container.id_maps {
            let first = ids.uids.iter().map(|one| {
                format!("{} ids from {} on are {} and up", one.size, one.container_id, one.host_id)
            });
            steps.extend(first.map(|map| format!("map {map}")));
        }
        steps.extend(new_volumes.iter().map(|volume| match volume.is_anonymous() {
            true => format!("make a volume without a name ({})", volume.name()),
            false => format!("make volume {}", volume.name()),
        }));
        steps
    }

    fn root_steps(&self, container: &Container, layers: &[PathBuf]) -> Vec<String> {
        let own = self.paths().root.join("snapshots").join(&container.id);
        let mut steps = vec![format!("make {}", own.display()), "mount overlay, detached".to_owned()];
        steps.push(format!("  lower {}", own.join("init").display()));
        steps.extend(layers.iter().map(|layer| format!("  lower {}", layer.display())));
        steps.push(format!("  upper {}", own.join("fs").display()));
        steps
    }

    fn file_steps(&self, container: &Container, outline: &Outline<'_>) -> Vec<String> {
        let own = self.paths().container(&container.id);
        let mut steps: Vec<String> = outline.deeds.iter().map(ToString::to_string).collect();
        steps.extend(outline.shares_memory.map(|pid| format!("open /dev/shm of process {pid}")));
        if !container.asked.host_config.network_mode.starts_with("container:") {
            steps.push(format!("write hosts, hostname and resolv.conf in {}", own.join("etc").display()));
        }
        let init = container.asked.host_config.init == Some(true);
        steps.extend(init.then(|| format!("write {}", own.join("init").display())));
        steps
    }

    fn network_steps(&self, container: &Container) -> Result<Vec<String>> {
        match crate::network::request(container)? {
            Some(request) => Ok(self.networks().plan(&request)?),
            None => Ok(Vec::new()),
        }
    }

    fn runtime_plan(
        &self,
        container: &Container,
        outline: Outline<'_>,
        rootfs: OwnedFd,
    ) -> Result<StartPlan> {
        let Outline { mut spec, cgroup_driver, users_cgroups, .. } = outline;
        if let Some(root) = &mut spec.root {
            let place = self.paths().root.join("snapshots").join(&container.id).join("merged");
            root.path = place.to_string_lossy().into_owned();
        }
        let stdio = match container.asked.config.tty {
            true => None,
            false => Some([crate::exec::null()?, crate::exec::null()?, crate::exec::null()?]),
        };
        let options = CreateOptions {
            cgroup_driver,
            users_cgroups,
            rootfs: Some(rootfs),
            stdio,
            start: true,
            ..CreateOptions::default()
        };
        let bundle = Bundle::new(&self.paths().container(&container.id), spec)?;
        Ok(runtime::plan_create(&container.runtime_id(), bundle, &options)?)
    }
}

fn image_steps(container: &Container) -> Vec<String> {
    let Container { asked, image, platform, .. } = container;
    vec![format!("{} {image} ({platform})", asked.config.image)]
}

fn cgroup_steps(container: &Container, outline: &Outline<'_>) -> Result<Vec<String>> {
    let linux = outline.spec.linux.as_ref();
    let path = linux.map(|linux| linux.cgroups_path.as_str()).filter(|path| !path.is_empty());
    let host = cgroup::Host::detect()?;
    let group =
        cgroup::Group::locate(&host, &outline.cgroup_driver, path, &container.id, outline.users_cgroups)?;
    let places: std::collections::BTreeSet<PathBuf> = group.paths().into_values().collect();
    let mut steps: Vec<String> = places.iter().map(|path| format!("make {}", path.display())).collect();
    if group.is_systemd() {
        steps.push(format!("by systemd, as {}", path.unwrap_or_default()));
    }
    let limits = linux.and_then(|linux| serde_json::to_value(linux.resources.as_ref()?).ok());
    for (name, value) in limits.as_ref().and_then(|limits| limits.as_object()).into_iter().flatten() {
        match value.as_array().filter(|_| name == "devices") {
            Some(rules) => steps.push(format!("allow devices by {} rules", rules.len())),
            None => steps.push(format!("limit {name} {value}")),
        }
    }
    Ok(steps)
}
