//! All networks, on disk.
//!
//! ```text
//! ROOT/networks/ID.json        a network, as `network inspect` prints it
//! ROOT/networks/names/NAME     leads to ID: a network is there as long as its name is
//! ROOT/networks/lock           held while a network is made or removed
//! RUN/network/                 what ends with the host's uptime:
//!     leases/ID/ADDRESS        leads to the container that has the address
//!     names/ID/NAME/CONTAINER  leads to the container's addresses: what names are resolved from
//!     ports/…                  who has which port of the host
//!     containers/CONTAINER     what a container is connected with: written before anything is made
//!     changes/…                what is being changed at the moment
//!     firewall                 the generation of the rules when they were last known to be right
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

use namespace::netlink::Netlink;

use crate::address::routes;
use crate::disk::{self, Lock};
use crate::network::{Driver, Ipam, Member, Network, Pool};
use crate::pools::{self, Used};
use crate::{Error, Result, bridge};

/// The network that containers get where none is named.
pub const DEFAULT: &str = "bridge";
/// The bridge of the default network.
pub const DEFAULT_LINK: &str = "berth0";
/// The networks that are there from the first use on, with their drivers.
const PREDEFINED: [(&str, Driver); 3] =
    [(DEFAULT, Driver::Bridge), ("host", Driver::Host), ("none", Driver::Null)];

/// Whether a container, by its id, still is.
pub type Liveness = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// All networks of a root directory.
pub struct Networks {
    root: PathBuf,
    run: PathBuf,
    alive: Liveness,
    tag: String,
}

impl fmt::Debug for Networks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Networks")
            .field("root", &self.root)
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

/// What a new network is to be.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct CreateRequest {
    pub name: String,
    /// `bridge` where it is empty.
    pub driver: String,
    pub internal: bool,
    pub attachable: bool,
    /// Whether it has IPv4; yes where nothing is said.
    pub ipv4: Option<bool>,
    /// Whether it has IPv6; yes where nothing is said, the driver is bridge and the host has it.
    pub ipv6: Option<bool>,
    pub ipam: Ipam,
    pub options: std::collections::BTreeMap<String, String>,
    pub labels: std::collections::BTreeMap<String, String>,
}

impl Networks {
    /// The networks in `root`, with what ends with the host's uptime in `run`. Reads and makes nothing yet.
    #[must_use]
    pub fn open(root: &Path, run: &Path) -> Self {
        Self {
            root: root.join("networks"),
            run: run.join("network"),
            alive: Box::new(|_| true),
            tag: String::new(),
        }
    }

    /// Networks beside others on the same host: what the host has by name, the default bridge and the table of rules,
    /// carries `tag` too. Six letters and digits at the most, for a link's name has fifteen.
    #[must_use]
    pub fn beside(mut self, tag: &str) -> Self {
        self.tag = format!("-{tag}");
        self
    }

    /// What tells names on the host from those of other networks of berth's.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// With a way to tell whether a container still is: what one that is no more has left behind is taken back by
    /// whoever comes across it. Without, everybody counts as alive.
    #[must_use]
    pub fn with_liveness(mut self, alive: Liveness) -> Self {
        self.alive = alive;
        self
    }

    /// Makes a network, with its bridge.
    ///
    /// # Errors
    /// Where the name is taken, a subnet overlaps, an option makes no sense, or the kernel refuses; then nothing is left.
    pub fn create(&self, request: &CreateRequest) -> Result<Network> {
        check_name(&request.name)?;
        let driver = Driver::named(&request.driver)?;
        if matches!(driver, Driver::Host | Driver::Null) {
            return Err(Error::InvalidConfig(format!(
                "only one instance of {:?} network is allowed",
                driver.name()
            )));
        }
        let changing = self.begin_networks()?;
        let made = self.create_locked(driver, request);
        changing.end()?;
        made
    }

    fn create_locked(&self, driver: Driver, request: &CreateRequest) -> Result<Network> {
        self.ensure_predefined()?;
        if disk::noted(&self.name_path(&request.name))?.is_some() {
            return Err(Error::NameTaken(request.name.clone()));
        }
        let network = self.resolve(driver, request)?;
        self.write(&network)?;
        self.bring_up(&network).inspect_err(|_| {
            // The reason why it can't be is what is told.
            let _ = self.take_down(&network);
            let _ = self.forget(&network);
        })?;
        Ok(network)
    }

    /// Decides everything that was left open.
    fn resolve(&self, driver: Driver, request: &CreateRequest) -> Result<Network> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let mut network = Network {
            name: request.name.clone(),
            id: new_id()?,
            created: oci::time::rfc3339_nano(now.as_secs() as i64, now.subsec_nanos()),
            scope: "local".into(),
            driver,
            enable_ipv4: request.ipv4.unwrap_or(true),
            enable_ipv6: false,
            ipam: request.ipam.clone(),
            internal: request.internal,
            attachable: request.attachable,
            ingress: false,
            config_from: Default::default(),
            config_only: false,
            containers: Default::default(),
            options: request.options.clone(),
            labels: request.labels.clone(),
        };
        network.settings()?;
        self.check_bridge_name(&network)?;
        let asked6 = network.pool(true).is_some();
        network.enable_ipv6 = request.ipv6.unwrap_or(asked6 || driver == Driver::Bridge && host_has_ipv6());
        if !network.enable_ipv4 && !network.enable_ipv6 {
            return Err(Error::InvalidConfig("IPv4 or IPv6 must be enabled".into()));
        }
        if driver.has_addresses() {
            self.choose_pools(&mut network)?;
        }
        Ok(network)
    }

    /// Completes and checks the blocks of addresses.
    fn choose_pools(&self, network: &mut Network) -> Result<()> {
        let shared = matches!(network.driver, Driver::Macvlan | Driver::Ipvlan | Driver::HostDevice);
        // Networks on a LAN may share its subnet: addresses are told apart by --ip-range.
        let used = if shared { Vec::new() } else { self.used_subnets()? };
        let netlink =
            Netlink::open().map_err(|refusal| Error::kernel("open", "rtnetlink socket", refusal))?;
        let routes =
            routes(&netlink).map_err(|refusal| Error::kernel("list", "routes of the host", refusal))?;
        if network.enable_ipv4 && network.pool(false).is_none() {
            let subnet = pools::free(&network.name, &used, &routes)?;
            network.ipam.config.insert(0, pool(subnet));
        } else if !shared && let Some(pool) = network.pool(false) {
            pools::check(&network.name, pool.subnet, &used)?;
            pools::check_routes(&network.name, pool.subnet, &routes, None)?;
        }
        if network.enable_ipv6 && network.pool(true).is_none() {
            network.ipam.config.push(pool(pools::unique_local()?));
        }
        let (enable4, enable6) = (network.enable_ipv4, network.enable_ipv6);
        network.ipam.config.retain(|pool| if pool.subnet.is_ipv6() { enable6 } else { enable4 });
        // A network that leads nowhere beyond its link needs no gateway of its own accord.
        let needs_gateway = !(shared && network.driver == Driver::HostDevice);
        for pool in &mut network.ipam.config {
            pools::check(&network.name, pool.subnet, &used)?;
            if needs_gateway {
                let first = pool.range.unwrap_or(pool.subnet);
                let first = if first.address() == pool.subnet.address() {
                    pool.subnet.nth(1)
                } else {
                    Some(first.address())
                };
                pool.gateway = pool.gateway.or(first);
            }
            check_pool(pool)?;
        }
        Ok(())
    }

    fn used_subnets(&self) -> Result<Vec<Used>> {
        let all = self.list()?.into_iter().filter(|network| network.driver.has_bridge());
        Ok(all
            .flat_map(|network| {
                let name = network.name;
                network
                    .ipam
                    .config
                    .into_iter()
                    .map(move |pool| Used { subnet: pool.subnet, network: name.clone() })
            })
            .collect())
    }

    /// Refuses a bridge that another network has.
    fn check_bridge_name(&self, network: &Network) -> Result<()> {
        let bridge = network.settings()?.bridge;
        for other in self.list()?.iter().filter(|other| other.driver.has_bridge()) {
            if network.driver.has_bridge() && other.settings()?.bridge == bridge {
                let why = format!("network {} has that bridge", other.name);
                let key = "com.docker.network.bridge.name".to_owned();
                return Err(Error::InvalidOption { key, value: bridge, why });
            }
        }
        Ok(())
    }

    /// Makes the networks that are always there; the caller holds the lock.
    fn ensure_predefined(&self) -> Result<()> {
        for (name, driver) in PREDEFINED {
            if disk::noted(&self.name_path(name))?.is_some() {
                continue;
            }
            self.write(&self.predefined(name, driver)?)?;
        }
        Ok(())
    }

    fn predefined(&self, name: &str, driver: Driver) -> Result<Network> {
        let mut request = CreateRequest { name: name.into(), ..CreateRequest::default() };
        if driver == Driver::Bridge {
            let option = |key: &str, value: &str| (format!("com.docker.network.{key}"), value.to_owned());
            let link = format!("{DEFAULT_LINK}{}", self.tag);
            request.options = [option("bridge.default_bridge", "true"), option("bridge.name", &link)].into();
        }
        self.resolve(driver, &request)
    }

    /// The network of that name or id. One of those that are always there is decided, but not written down, where nobody
    /// has used it yet.
    pub(crate) fn look(&self, name: &str) -> Result<Network> {
        match PREDEFINED.iter().find(|(predefined, _)| *predefined == name) {
            Some((name, driver)) if disk::noted(&self.name_path(name))?.is_none() => {
                self.predefined(name, *driver)
            }
            _ => self.find(name),
        }
    }

    /// The network of that name, id or beginning of an id.
    ///
    /// # Errors
    /// Where there is none, or several.
    pub fn find(&self, name: &str) -> Result<Network> {
        let named = |name: &str| match disk::noted(&self.name_path(name))? {
            Some(id) => disk::read_json(&self.path(&id)),
            None => Ok(None),
        };
        if is_name(name)
            && let Some(network) = named(name)?
        {
            return Ok(network);
        }
        if PREDEFINED.iter().any(|(predefined, _)| *predefined == name) {
            let _lock = self.lock()?;
            self.ensure_predefined()?;
            return named(name)?.ok_or_else(|| Error::NoSuchNetwork(name.to_owned()));
        }
        let mut found: Vec<Network> = self
            .list()?
            .into_iter()
            .filter(|network| !name.is_empty() && network.id.starts_with(name))
            .collect();
        match found.len() {
            0 => Err(Error::NoSuchNetwork(name.to_owned())),
            1 => Ok(found.remove(0)),
            matches => Err(Error::Ambiguous { name: name.to_owned(), matches }),
        }
    }

    /// The network of that name or id, with its containers.
    ///
    /// # Errors
    /// Where there is none.
    pub fn inspect(&self, name: &str) -> Result<Network> {
        let mut network = self.find(name)?;
        network.containers = self.members(&network)?.into_iter().collect();
        Ok(network)
    }

    /// All networks, by name.
    ///
    /// # Errors
    /// Where they can't be read.
    pub fn list(&self) -> Result<Vec<Network>> {
        let mut networks: Vec<Network> = Vec::new();
        for name in disk::names(&self.root.join("names"))? {
            if let Some(id) = disk::noted(&self.name_path(&name))?
                && let Some(network) = disk::read_json(&self.path(&id))?
            {
                networks.push(network);
            }
        }
        networks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(networks)
    }

    /// All networks, the predefined ones among them from the first use on.
    ///
    /// # Errors
    /// Where they can't be read or made.
    pub fn list_all(&self) -> Result<Vec<Network>> {
        let lock = self.lock()?;
        self.ensure_predefined()?;
        drop(lock);
        self.list()
    }

    /// Removes a network, with its bridge.
    ///
    /// # Errors
    /// Where it is predefined, or a container is connected to it.
    pub fn remove(&self, name: &str) -> Result<Network> {
        let changing = self.begin_networks()?;
        let removed = self.remove_locked(name);
        changing.end()?;
        removed
    }

    fn remove_locked(&self, name: &str) -> Result<Network> {
        let network = self.find_unlocked(name)?;
        if PREDEFINED.iter().any(|(predefined, _)| *predefined == network.name) {
            return Err(Error::Predefined(network.name, "removed"));
        }
        self.reclaim()?;
        let members = self.members(&network)?;
        if !members.is_empty() {
            let told = |(id, member): &(String, Member)| {
                format!("name:{:?} id:{:?}", member.name, crate::error::short(id))
            };
            return Err(Error::InUse {
                network: network.name,
                containers: members.iter().map(told).collect(),
            });
        }
        self.take_down(&network)?;
        self.forget(&network)?;
        Ok(network)
    }

    fn find_unlocked(&self, name: &str) -> Result<Network> {
        self.ensure_predefined()?;
        self.find(name)
    }

    /// Removes all networks to which nobody is connected, of those that `wanted` says, and what containers left behind that
    /// are no more; gives the networks' names.
    ///
    /// # Errors
    /// Where one can't be removed.
    pub fn prune(&self, wanted: impl Fn(&Network) -> bool) -> Result<Vec<String>> {
        self.reclaim()?;
        self.forget_nameless()?;
        let mut removed = Vec::new();
        for network in self.list()?.iter().filter(|network| wanted(network)) {
            match self.remove(&network.name) {
                Ok(network) => removed.push(network.name),
                Err(Error::Predefined(..) | Error::InUse { .. } | Error::NoSuchNetwork(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    fn write(&self, network: &Network) -> Result<()> {
        disk::make_directory(&self.root.join("names"))?;
        disk::replace_json(&self.path(&network.id), network)?;
        if disk::note(&self.name_path(&network.name), &network.id)? {
            return Ok(());
        }
        disk::remove(&self.path(&network.id))?;
        Err(Error::NameTaken(network.name.clone()))
    }

    /// What it has given out is given back by now. While it has its name it can be removed again.
    fn forget(&self, network: &Network) -> Result<()> {
        for what in ["leases", "names"] {
            disk::remove_directory(&self.run.join(what).join(&network.id))?;
        }
        disk::remove(&self.name_path(&network.name))?;
        disk::remove(&self.path(&network.id))
    }

    /// Removes descriptions of networks that are half written, or that no name leads to: who made or removed them was killed
    /// in between.
    fn forget_nameless(&self) -> Result<()> {
        let _lock = self.lock()?;
        disk::forget_staged(&self.root)?;
        let named: Vec<String> = self.list()?.into_iter().map(|network| network.id).collect();
        for file in disk::names(&self.root)? {
            if file.strip_suffix(".json").is_some_and(|id| !named.iter().any(|named| named == id)) {
                disk::remove(&self.root.join(file))?;
            }
        }
        Ok(())
    }

    /// Makes what the network needs on the host.
    pub(crate) fn bring_up(&self, network: &Network) -> Result<()> {
        if network.driver.has_bridge() {
            let netlink =
                Netlink::open().map_err(|refusal| Error::kernel("open", "rtnetlink socket", refusal))?;
            bridge::ensure(&netlink, network, &network.settings()?)?;
            self.firewall_add_network(network)?;
        }
        Ok(())
    }

    fn take_down(&self, network: &Network) -> Result<()> {
        if network.driver.has_bridge() {
            let netlink =
                Netlink::open().map_err(|refusal| Error::kernel("open", "rtnetlink socket", refusal))?;
            bridge::remove(&netlink, network, &network.settings()?)?;
            self.firewall_remove_network(network)?;
        }
        Ok(())
    }

    fn path(&self, id: &str) -> PathBuf {
        self.root.join(format!("{id}.json"))
    }

    fn name_path(&self, name: &str) -> PathBuf {
        self.root.join("names").join(name)
    }

    pub(crate) fn lock(&self) -> Result<Lock> {
        Lock::take(self.root.join("lock"))
    }

    pub(crate) fn try_lock(&self) -> Result<Option<Lock>> {
        Lock::try_take(self.root.join("lock"))
    }

    /// Where what ends with the host's uptime is.
    pub(crate) fn run(&self) -> &Path {
        &self.run
    }

    /// Whether a container still is.
    pub(crate) fn alive(&self) -> &(dyn Fn(&str) -> bool + Send + Sync) {
        &*self.alive
    }
}

fn pool(subnet: crate::Subnet) -> Pool {
    Pool { subnet, range: None, gateway: None, auxiliary: Default::default() }
}

fn check_pool(pool: &Pool) -> Result<()> {
    let outside = |what: &str, address: std::net::IpAddr| {
        Err(Error::InvalidConfig(format!("{what} {address} lies outside of subnet {}", pool.subnet)))
    };
    if let Some(range) = pool.range.filter(|range| {
        range.is_ipv6() != pool.subnet.is_ipv6()
            || !pool.subnet.contains(range.address())
            || range.prefix() < pool.subnet.prefix()
    }) {
        return Err(Error::InvalidConfig(format!("IP range {range} lies outside of subnet {}", pool.subnet)));
    }
    if let Some(gateway) = pool.gateway.filter(|gateway| !pool.subnet.contains(*gateway)) {
        return outside("gateway", gateway);
    }
    match pool.auxiliary.values().find(|address| !pool.subnet.contains(**address)) {
        Some(address) => outside("auxiliary address", *address),
        None => Ok(()),
    }
}

fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let rest = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
    bytes.first().is_some_and(u8::is_ascii_alphanumeric) && bytes.iter().all(rest) && name.len() <= 250
}

fn check_name(name: &str) -> Result<()> {
    if is_name(name) { Ok(()) } else { Err(Error::InvalidName(name.to_owned())) }
}

fn host_has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6").exists()
}

/// A random id of 64 hexadecimal digits.
pub(crate) fn new_id() -> Result<String> {
    let mut bytes = [0; 32];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| Error::kernel("draw", "random number", errno))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
