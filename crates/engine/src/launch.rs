//! What a container's specification depends on, looked up when it is started.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use oci::spec::{Mount, Spec};

use crate::config::DeviceRequest;
use crate::container::Container;
use crate::copy::tree_of_process;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::files::{self, Hosts, Network, Resolver};
use crate::idmaps::Mapping;
use crate::mounts::{Planned, Realized, Surroundings, realize};
use crate::record::make_directory;
use crate::spec::{Found, Host, Place, Places, Request, plan};
use crate::users::{Accounts, User};
use crate::{cdi, devices, provision};

/// A container's configuration for the runtime.
#[derive(Debug)]
pub(crate) struct Launch {
    /// The configuration.
    pub spec: Spec,
    /// Sources of binds that are open already, by their place in its mounts.
    pub trees: BTreeMap<usize, OwnedFd>,
    /// Who makes control groups.
    pub cgroup_driver: cgroup::Driver,
    /// Whether they are an ordinary user's.
    pub rootless: bool,
}

impl Engine {
    /// The configuration of a container whose root file system is mounted at `rootfs`; new volumes are filled from it.
    pub(crate) fn launch(
        &self,
        container: &Container,
        rootfs: BorrowedFd<'_>,
        mapping: Option<Mapping<'_>>,
    ) -> Result<Launch> {
        let host = Host::detect()?;
        let asked = &container.asked;
        let places = Places::of(&asked.host_config, host.unified);
        let user = Accounts::read(rootfs)?.user(&asked.config.user, &asked.host_config.group_add)?;
        let pids = self.joined(&places)?;
        let mut realized = self.realize_mounts(container, rootfs, &user, mapping)?;
        self.share_memory(&places, &pids, &mut realized)?;
        let Realized { mounts, trees } = realized;
        let etc = self.make_etc(container, &places, &[], &[])?;
        let found = Found {
            user,
            mounts,
            devices: devices::devices(&asked.host_config)?,
            block_devices: devices::block_devices(&asked.host_config.resources)?,
            pids,
            ids: container.id_maps.clone(),
        };
        let init = self.make_init(container)?;
        let request = Request {
            id: &container.id,
            config: asked,
            host: &host,
            found: &found,
            etc: Some(&etc),
            init: init.as_deref(),
        };
        let mut spec = plan(&request)?;
        apply_devices(&mut spec, &asked.host_config.resources.device_requests)?;
        let trees = by_place(&spec, trees);
        Ok(Launch { trees, spec, cgroup_driver: host.cgroup_driver(), rootless: host.rootless })
    }

    /// The container's own copy of the init, where it wants one: whatever it does to it, nobody else executes it.
    fn make_init(&self, container: &Container) -> Result<Option<PathBuf>> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        if container.asked.host_config.init != Some(true) {
            return Ok(None);
        }
        let path = self.paths().container(&container.id).join("init");
        // What an earlier run may have made of it is of no interest.
        let _ = std::fs::remove_file(&path);
        let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(&path);
        let written = made.and_then(|mut file| file.write_all(init::PROGRAM));
        written.map_err(|error| Error::io("write", &path, error))?;
        Ok(Some(path))
    }

    fn realize_mounts(
        &self,
        container: &Container,
        root: BorrowedFd<'_>,
        user: &User,
        mapping: Option<Mapping<'_>>,
    ) -> Result<Realized> {
        let key = |one: &Planned| provision::view_key(container, one);
        let image = |one: &Planned| self.image_view(one, &key(one), mapping.map(|mapping| mapping.namespace));
        let volumes = self.volumes();
        let with = Surroundings { volumes: &volumes, root, user, mapping, image: &image };
        Ok(realize(&container.planned, &container.asked.host_config.tmpfs, with)?)
    }

    /// Who joins another container's IPC namespace sees its /dev/shm too.
    fn share_memory(
        &self,
        places: &Places,
        pids: &BTreeMap<String, i32>,
        realized: &mut Realized,
    ) -> Result<()> {
        const SHM: &str = "/dev/shm";
        let Place::Container(name) = &places.ipc else { return Ok(()) };
        if realized.mounts.iter().any(|mount| mount.destination == SHM) {
            return Ok(());
        }
        let other = self.find(name)?;
        if !matches!(other.asked.host_config.ipc_mode.as_str(), "shareable" | "host") {
            return Err(Error::Conflict(format!(
                "cannot join IPC of a container: container {name} has a private one: make it with --ipc shareable"
            )));
        }
        let pid = pids.get(name).copied().unwrap_or_default();
        let tree = tree_of_process(pid, c"/dev/shm", false)?;
        let options = ["rbind", "rprivate"].map(str::to_owned).into();
        let (destination, kind) = (SHM.to_owned(), "bind".to_owned());
        realized.mounts.push(Mount { destination, kind, source: SHM.into(), options, ..Mount::default() });
        realized.trees.insert(SHM.into(), tree);
        Ok(())
    }

    /// Writes the container's `hosts`, `hostname` and `resolv.conf` and gives their directory; that of another container,
    /// where it joins its network. `servers` resolve the names of its network.
    pub(crate) fn make_etc(
        &self,
        container: &Container,
        places: &Places,
        addresses: &[IpAddr],
        servers: &[IpAddr],
    ) -> Result<PathBuf> {
        let (config, host) = (&container.asked.config, &container.asked.host_config);
        let network = match &places.network {
            Place::Container(name) => return Ok(self.paths().container(&self.find(name)?.id).join("etc")),
            Place::Host => Network::Host,
            _ if host.network_mode == "none" => Network::None,
            _ => Network::Own,
        };
        let etc = self.paths().container(&container.id).join("etc");
        make_directory(&etc, 0o755)?;
        let about = Hosts {
            hostname: &config.hostname,
            domainname: &config.domainname,
            addresses,
            extra: &host.extra_hosts,
            gateway: None,
        };
        let resolver = Resolver {
            servers: &host.dns,
            search: &host.dns_search,
            options: &host.dns_options,
            embedded: servers,
        };
        let own_hosts = match network {
            Network::Host => std::fs::read_to_string("/etc/hosts").unwrap_or_default(),
            _ => String::new(),
        };
        for (name, text) in [
            ("hosts", files::hosts(&about, network, &own_hosts)),
            ("hostname", format!("{}\n", config.hostname)),
            ("resolv.conf", files::resolv_conf(&resolver, network, &files::host_resolv_conf())),
        ] {
            files::write(&etc, name, &text).map_err(|error| Error::io("write", etc.join(name), error))?;
        }
        Ok(etc)
    }

    /// The first processes of the containers whose namespaces are joined.
    fn joined(&self, places: &Places) -> Result<BTreeMap<String, i32>> {
        let mut pids = BTreeMap::new();
        for place in [&places.network, &places.pid, &places.ipc, &places.uts, &places.cgroup, &places.user] {
            if let Place::Container(name) = place {
                pids.insert(name.clone(), self.pid_of(name)?);
            }
        }
        Ok(pids)
    }

    /// The first process of a running container.
    fn pid_of(&self, name: &str) -> Result<i32> {
        let other = self.find(name)?;
        let state = self.state(&other)?;
        let running = (state.status.is_active() && state.pid > 0).then_some(state.pid);
        running.ok_or_else(|| {
            let cause =
                format!("cannot join the namespaces of container {name}: it is not running: start it first");
            Error::Conflict(cause)
        })
    }
}

/// Devices by name: what their vendors say that a container needs for them.
fn apply_devices(spec: &mut Spec, requests: &[DeviceRequest]) -> Result<()> {
    if requests.is_empty() {
        return Ok(());
    }
    let invalid = |error: cdi::CdiError| Error::Invalid(error.to_string());
    let names = cdi::names(requests).map_err(invalid)?;
    let edits = cdi::Registry::read().and_then(|registry| registry.edits(&names)).map_err(invalid)?;
    edits.iter().try_for_each(|edit| cdi::apply(spec, edit)).map_err(invalid)
}

/// Where in the specification the mounts are that were opened.
fn by_place(spec: &Spec, trees: BTreeMap<String, OwnedFd>) -> BTreeMap<usize, OwnedFd> {
    let place = |destination: &str| spec.mounts.iter().position(|mount| mount.destination == destination);
    trees.into_iter().filter_map(|(destination, tree)| Some((place(&destination)?, tree))).collect()
}
