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

mod create;

use std::fmt;
use std::path::{Path, PathBuf};

use namespace::netlink::Netlink;

use crate::disk::{self, Lock};
use crate::network::{Driver, Member, Network};
use crate::{Error, Result, bridge};

pub use create::CreateRequest;

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

fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let rest = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
    bytes.first().is_some_and(u8::is_ascii_alphanumeric) && bytes.iter().all(rest) && name.len() <= 250
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
