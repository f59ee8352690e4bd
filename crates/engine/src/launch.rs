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
use crate::mounts::{Arranged, Deed, Known, Planned, Surroundings, arrange, realize};
use crate::record::make_directory;
use crate::spec::{Found, Host, Place, Places, Request, plan};
use crate::users::Accounts;
use crate::volumes::{self, Volume};
use crate::{apparmor, cdi, devices, provision};

const SHM: &str = "/dev/shm";

/// A container's configuration for the runtime.
#[derive(Debug)]
pub(crate) struct Launch {
    /// The configuration.
    pub spec: Spec,
    /// Sources of binds that are open already, by their place in its mounts.
    pub trees: BTreeMap<usize, OwnedFd>,
    /// Who makes control groups.
    pub cgroup_driver: cgroup::Driver,
    /// Whether they are made as an ordinary user makes them, where he may.
    pub users_cgroups: bool,
    /// Whether containers are an ordinary user's.
    pub rootless: bool,
}

/// The same as it is decided, and what has to be done before it holds.
#[derive(Debug)]
pub(crate) struct Outline<'a> {
    /// The configuration.
    pub spec: Spec,
    /// Who makes control groups.
    pub cgroup_driver: cgroup::Driver,
    /// Whether they are made as an ordinary user makes them, where he may.
    pub users_cgroups: bool,
    /// Whether containers are an ordinary user's.
    pub rootless: bool,
    /// What its mounts need.
    pub deeds: Vec<Deed<'a>>,
    /// The first process of the container whose /dev/shm it shares.
    pub shares_memory: Option<i32>,
    places: Places,
}

/// What networks make known to a container's files.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct About<'a> {
    /// Its addresses.
    pub addresses: &'a [IpAddr],
    /// The host's on its networks.
    pub gateways: &'a [IpAddr],
    /// What resolves the names of its networks.
    pub servers: &'a [IpAddr],
}

impl Engine {
    /// The configuration of a container whose root file system is mounted at `rootfs`; new volumes are filled from it.
    pub(crate) fn launch(
        &self,
        container: &Container,
        rootfs: BorrowedFd<'_>,
        mapping: Option<Mapping<'_>>,
    ) -> Result<Launch> {
        let volumes = self.volumes();
        let outline = self.outline(container, rootfs, &|name| volumes.get(name))?;
        let key = |one: &Planned| provision::view_key(container, one);
        let image = |one: &Planned| self.image_view(one, &key(one), mapping.map(|mapping| mapping.namespace));
        let with = Surroundings { volumes: &volumes, root: rootfs, mapping, image: &image };
        let mut trees = realize(&outline.deeds, with)?;
        if let Some(pid) = outline.shares_memory {
            trees.insert(SHM.into(), tree_of_process(pid, c"/dev/shm", false)?);
        }
        self.make_etc(container, &outline.places, About::default())?;
        self.make_init(container)?;
        if let Some(process) = &outline.spec.process {
            apparmor::provide(&process.apparmor_profile)?;
        }
        let Outline { spec, cgroup_driver, users_cgroups, rootless, .. } = outline;
        Ok(Launch { trees: by_place(&spec, trees), spec, cgroup_driver, users_cgroups, rootless })
    }

    /// Decides the configuration of a container whose image, at least, is mounted at `rootfs`. Looks, and makes nothing.
    pub(crate) fn outline<'a>(
        &self,
        container: &'a Container,
        rootfs: BorrowedFd<'_>,
        volume: &dyn Fn(&str) -> volumes::Result<Volume>,
    ) -> Result<Outline<'a>> {
        let host = Host::detect()?;
        let asked = &container.asked;
        let places = Places::of(&asked.host_config, host.unified);
        let user = Accounts::read(rootfs)?.user(&asked.config.user, &asked.host_config.group_add)?;
        let pids = self.joined(&places)?;
        let known = Known { user: &user, ids: container.id_maps.as_ref(), volume };
        let mut arranged = arrange(&container.planned, &asked.host_config.tmpfs, known)?;
        let shares_memory = self.share_memory(&places, &pids, &mut arranged.mounts)?;
        let Arranged { mounts, deeds } = arranged;
        let etc = self.etc(container, &places)?;
        let found = Found {
            user,
            mounts,
            devices: devices::devices(&asked.host_config)?,
            block_devices: devices::block_devices(&asked.host_config.resources)?,
            pids,
            ids: container.id_maps.clone(),
        };
        let init = self.init_of(container);
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
        let (cgroup_driver, rootless) = (host.cgroup_driver(), host.rootless);
        let users_cgroups = rootless || !host.has_groups;
        Ok(Outline { spec, cgroup_driver, users_cgroups, rootless, deeds, shares_memory, places })
    }

    /// Where the container's own copy of the init is, where it wants one: whatever it does to it, nobody else executes it.
    fn init_of(&self, container: &Container) -> Option<PathBuf> {
        let wanted = container.asked.host_config.init == Some(true);
        wanted.then(|| self.paths().container(&container.id).join("init"))
    }

    fn make_init(&self, container: &Container) -> Result<()> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let Some(path) = self.init_of(container) else { return Ok(()) };
        // What an earlier run may have made of it is of no interest.
        let _ = std::fs::remove_file(&path);
        let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(&path);
        let written = made.and_then(|mut file| file.write_all(init::PROGRAM));
        written.map_err(|error| Error::io("write", &path, error))
    }

    /// Who joins another container's IPC namespace sees its /dev/shm too: that of the process whose number comes back.
    fn share_memory(
        &self,
        places: &Places,
        pids: &BTreeMap<String, i32>,
        mounts: &mut Vec<Mount>,
    ) -> Result<Option<i32>> {
        let Place::Container(name) = &places.ipc else { return Ok(None) };
        if mounts.iter().any(|mount| mount.destination == SHM) {
            return Ok(None);
        }
        let other = self.find(name)?;
        if !matches!(other.asked.host_config.ipc_mode.as_str(), "shareable" | "host") {
            return Err(Error::Conflict(format!(
                "cannot join IPC of a container: container {name} has a private one: make it with --ipc shareable"
            )));
        }
        let options = ["rbind", "rprivate"].map(str::to_owned).into();
        let (destination, kind) = (SHM.to_owned(), "bind".to_owned());
        mounts.push(Mount { destination, kind, source: SHM.into(), options, ..Mount::default() });
        Ok(Some(pids.get(name).copied().unwrap_or_default()))
    }

    /// The directory of the container's `hosts`, `hostname` and `resolv.conf`: that of another container, where it joins
    /// its network.
    fn etc(&self, container: &Container, places: &Places) -> Result<PathBuf> {
        let id = match &places.network {
            Place::Container(name) => self.find(name)?.id,
            _ => container.id.clone(),
        };
        Ok(self.paths().container(&id).join("etc"))
    }

    /// Writes the container's `hosts`, `hostname` and `resolv.conf`, unless they are another's.
    pub(crate) fn make_etc(&self, container: &Container, places: &Places, about: About<'_>) -> Result<()> {
        let (config, host) = (&container.asked.config, &container.asked.host_config);
        let network = match &places.network {
            Place::Container(_) => return Ok(()),
            Place::Host => Network::Host,
            _ if host.network_mode == "none" => Network::None,
            _ => Network::Own,
        };
        let etc = self.paths().container(&container.id).join("etc");
        make_directory(&etc, 0o755)?;
        let host_itself = [IpAddr::from([127, 0, 0, 1])];
        let hosts = Hosts {
            hostname: &config.hostname,
            domainname: &config.domainname,
            addresses: about.addresses,
            extra: &host.extra_hosts,
            gateways: if network == Network::Host { &host_itself } else { about.gateways },
        };
        let own_hosts = match network {
            Network::Host => std::fs::read_to_string("/etc/hosts").unwrap_or_default(),
            _ => String::new(),
        };
        for (name, text) in [
            ("hosts", files::hosts(&hosts, network, &own_hosts)),
            ("hostname", format!("{}\n", config.hostname)),
            ("resolv.conf", resolv_conf(container, network, about.servers)),
        ] {
            files::write(&etc, name, &text).map_err(|error| Error::io("write", etc.join(name), error))?;
        }
        Ok(())
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

/// A container's resolv.conf, with the servers that resolve the names of its networks.
pub(crate) fn resolv_conf(container: &Container, network: Network, embedded: &[IpAddr]) -> String {
    let host = &container.asked.host_config;
    let resolver =
        Resolver { servers: &host.dns, search: &host.dns_search, options: &host.dns_options, embedded };
    files::resolv_conf(&resolver, network, &files::host_resolv_conf())
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
