//! A new network: what was asked for, with what was left open chosen, and nothing that another has.

use namespace::netlink::Netlink;

use super::{Networks, host_has_ipv6, is_name, new_id};
use crate::address::routes;
use crate::disk;
use crate::network::{Driver, Ipam, Network, Pool};
use crate::pools::{self, Used};
use crate::{Error, Result};

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
    pub(super) fn resolve(&self, driver: Driver, request: &CreateRequest) -> Result<Network> {
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

fn check_name(name: &str) -> Result<()> {
    if is_name(name) { Ok(()) } else { Err(Error::InvalidName(name.to_owned())) }
}
