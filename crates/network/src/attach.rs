//! Connects a container: reserve → note → make, and all taken back in reverse where something fails.
//!
//! ```text
//! reserve   addresses (leases), ports; nobody else gets them from here on
//! note      RUN/network/containers/ID: whoever comes after a SIGKILL finds there what to take back
//! make      host's socket:       bridge where it is not there, veth with its end in the container's namespace
//!           container's socket:  addresses, routes, up
//!           names, rules for published ports
//! ```
//! Two netlink sockets, one in each namespace; few sends, many requests in each.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use namespace::netlink::{self, Netlink, Request};
use rustix::io::Errno;

use crate::driver::{self, Place};
use crate::endpoint::{AttachRequest, Attachment, Endpoint, EndpointRequest};
use crate::leases::Leases;
use crate::link::{self, Link};
use crate::network::{Driver, Member, Network};
use crate::networks::new_id;
use crate::settings::{Settings, link_name};
use crate::{Error, Mac, Networks, Result, address, disk, names, rate, sysctl};

/// A network that is about to be connected to, with what its options say.
struct Target {
    network: Network,
    settings: Settings,
}

impl Networks {
    /// Connects a container, whose network namespace is `namespace`, as asked for. The caller's own is the host's.
    ///
    /// # Errors
    /// Where an address or a port is taken, or the kernel refuses; then nothing is left.
    pub fn attach(&self, request: &AttachRequest, namespace: BorrowedFd<'_>) -> Result<Attachment> {
        let mut attachment = Attachment {
            container: request.container.clone(),
            name: request.name.clone(),
            hostname: request.hostname.clone(),
            rate: request.rate,
            dns: request.dns.clone(),
            host_firewall: request.host_firewall,
            user_mode: request.user_mode,
            ..Attachment::default()
        };
        let made = self.attach_all(request, &mut attachment, namespace);
        if let Err(error) = made {
            // The reason why it can't be is what is told.
            let _ = self.take_back(&attachment);
            return Err(error);
        }
        Ok(attachment)
    }

    fn attach_all(
        &self,
        request: &AttachRequest,
        attachment: &mut Attachment,
        namespace: BorrowedFd<'_>,
    ) -> Result<()> {
        let mut targets = Vec::new();
        for endpoint in &request.endpoints {
            let target = self.target(endpoint, attachment)?;
            self.reserve(endpoint, &target, attachment)?;
            targets.push(target);
        }
        self.reserve_ports(request, &targets, attachment)?;
        disk::replace_json(&self.attachment_path(&attachment.container), attachment)?;
        self.make(&targets, attachment, 0, namespace)
    }

    /// Adds an endpoint to those of a container that runs.
    pub(crate) fn extend(
        &self,
        attachment: &mut Attachment,
        wanted: &EndpointRequest,
        namespace: BorrowedFd<'_>,
    ) -> Result<()> {
        let first = attachment.endpoints.len();
        let target = self.target(wanted, attachment)?;
        self.reserve(wanted, &target, attachment)?;
        disk::replace_json(&self.attachment_path(&attachment.container), attachment)?;
        self.make(&[target], attachment, first, namespace)
    }

    fn target(&self, wanted: &EndpointRequest, attachment: &Attachment) -> Result<Target> {
        let network = self.find(&wanted.network)?;
        if attachment.endpoints.iter().any(|endpoint| endpoint.network_id == network.id) {
            let container = attachment.name.clone();
            return Err(Error::AlreadyConnected { network: network.name, container });
        }
        let settings = network.settings()?;
        Ok(Target { network, settings })
    }

    fn reserve_ports(
        &self,
        request: &AttachRequest,
        targets: &[Target],
        attachment: &mut Attachment,
    ) -> Result<()> {
        if request.ports.is_empty() {
            return Ok(());
        }
        let way_out = attachment.way_out(false).or_else(|| attachment.way_out(true));
        let target =
            targets.iter().find(|target| Some(&target.network.id) == way_out.map(|way| &way.network_id));
        let Some(target) = target.filter(|target| target.network.driver.has_bridge()) else {
            return Err(Error::InvalidPorts(
                "no network of the container has a bridge that leads out".into(),
            ));
        };
        let families = [false, true].map(|ipv6| attachment.way_out(ipv6).is_some());
        let binding = target.settings.host_binding;
        self.reserve_all(&request.ports, binding, families, &attachment.container, &mut attachment.ports)
    }

    /// Decides what an endpoint is, and gets its addresses.
    fn reserve(&self, wanted: &EndpointRequest, target: &Target, attachment: &mut Attachment) -> Result<()> {
        let Target { network, settings } = target;
        let id = new_id()?;
        let interface = match &wanted.interface {
            Some(name) => {
                link_name(name).map_err(|why| Error::InvalidConfig(format!("interface {name:?}: {why}")))?
            }
            None => free_interface(&settings.prefix, attachment),
        };
        let random = || Mac::random().map_err(|errno| Error::kernel("draw", "hardware address", errno));
        let mut endpoint = Endpoint {
            network: network.name.clone(),
            network_id: network.id.clone(),
            driver: network.driver,
            host_interface: network
                .driver
                .has_bridge()
                .then(|| format!("veth{}", id.get(..8).unwrap_or_default())),
            endpoint_id: id,
            interface,
            mac: wanted.mac,
            ipv4: None,
            ipv4_subnet: network.pool(false).map(|pool| pool.subnet),
            ipv4_gateway: None,
            ipv6: None,
            ipv6_subnet: network.pool(true).map(|pool| pool.subnet),
            ipv6_gateway: None,
            link_local: wanted.link_local.clone(),
            gateway_priority: wanted.gateway_priority,
            aliases: wanted.aliases.clone(),
            links: wanted.links.clone(),
            dns_names: Vec::new(),
            options: wanted.options.clone(),
        };
        if network.driver.has_bridge() || network.driver == Driver::Macvlan {
            endpoint.mac = Some(wanted.mac.map_or_else(random, Ok)?);
        }
        if network.resolves_names() {
            endpoint.dns_names = names::of(attachment, wanted);
        }
        // From here on there is something to give back.
        let user_mode = attachment.user_mode;
        attachment.program_leads_out |= user_mode && !network.internal;
        attachment.endpoints.push(endpoint);
        let Some(endpoint) = attachment.endpoints.last_mut() else { return Ok(()) };
        if network.driver.has_addresses() {
            self.lease(network, wanted, &attachment.container, endpoint)?;
        }
        if user_mode {
            (endpoint.ipv4_gateway, endpoint.ipv6_gateway) = (None, None);
        }
        Ok(())
    }

    fn lease(
        &self,
        network: &Network,
        wanted: &EndpointRequest,
        owner: &str,
        endpoint: &mut Endpoint,
    ) -> Result<()> {
        let leases = self.leases(network);
        let fixed = |address: std::net::IpAddr| leases.take(address, owner).map(|()| Some(address));
        let four = match wanted.ipv4 {
            Some(address) => fixed(address.into())?,
            None => leases.any(false, owner)?,
        };
        if let Some(std::net::IpAddr::V4(address)) = four {
            endpoint.ipv4 = Some(address);
        }
        let six = match wanted.ipv6 {
            Some(address) => fixed(address.into())?,
            None => leases.any(true, owner)?,
        };
        if let Some(std::net::IpAddr::V6(address)) = six {
            endpoint.ipv6 = Some(address);
        }
        // An internal network leads nowhere.
        if !network.internal {
            endpoint.ipv4_gateway = network.gateway(false).and_then(|gateway| match gateway {
                std::net::IpAddr::V4(gateway) => Some(gateway),
                std::net::IpAddr::V6(_) => None,
            });
            endpoint.ipv6_gateway = network.gateway(true).and_then(|gateway| match gateway {
                std::net::IpAddr::V6(gateway) => Some(gateway),
                std::net::IpAddr::V4(_) => None,
            });
        }
        Ok(())
    }

    /// Makes the endpoints from `first` on, which are connections to `targets`.
    fn make(
        &self,
        targets: &[Target],
        attachment: &mut Attachment,
        first: usize,
        namespace: BorrowedFd<'_>,
    ) -> Result<()> {
        let inside = netlink::visit(namespace, || -> Result<Netlink> {
            harden()?;
            Netlink::open().map_err(|refusal| Error::kernel("open", "rtnetlink socket", refusal))
        });
        let inside = inside
            .map_err(|refusal| Error::kernel("enter", "network namespace of the container", refusal))??;
        let host = Netlink::open().map_err(|refusal| Error::kernel("open", "rtnetlink socket", refusal))?;
        let container = attachment.container.clone();
        let place = Place { networks: self, container: &container, host: &host, namespace };
        for (target, endpoint) in targets.iter().zip(attachment.endpoints.iter_mut().skip(first)) {
            driver::connect(&place, &target.network, &target.settings, endpoint)?;
        }
        if attachment.endpoints.iter().any(|endpoint| endpoint.driver == Driver::Cni) {
            // Only the plugins know what they have given.
            disk::replace_json(&self.attachment_path(&container), attachment)?;
        }
        let attachment = &*attachment;
        for (endpoint, target) in attachment.endpoints.iter().skip(first).zip(targets) {
            configure(&inside, target, endpoint, attachment)?;
            settle(&host, &inside, endpoint, target);
        }
        if let Some(rate) = attachment.rate {
            rate::limit(&host, &inside, attachment, rate)?;
        }
        for endpoint in attachment.endpoints.iter().skip(first) {
            self.add_names(attachment, endpoint)?;
        }
        // One endpoint more changes nothing about where ports lead.
        let ports = if first > 0 { &Attachment::default() } else { attachment };
        let networks: Vec<&Network> = targets.iter().map(|target| &target.network).collect();
        self.firewall_attach(&networks, ports)
    }

    /// The leases of a network.
    pub(crate) fn leases<'a>(&'a self, network: &'a Network) -> Leases<'a> {
        Leases::new(network, self.run().join("leases").join(&network.id), self.alive())
    }

    pub(crate) fn attachment_path(&self, container: &str) -> PathBuf {
        self.run().join("containers").join(container)
    }

    /// What a container is connected with; `None` where it is with nothing.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn attachment(&self, container: &str) -> Result<Option<Attachment>> {
        disk::read_json(&self.attachment_path(container))
    }

    /// The ids of all containers that are connected with anything, or are about to be.
    ///
    /// # Errors
    /// Where they can't be listed.
    pub fn connected(&self) -> Result<Vec<String>> {
        disk::names(&self.run().join("containers"))
    }

    /// What all containers are connected with.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn attachments(&self) -> Result<Vec<Attachment>> {
        let mut all = Vec::new();
        for container in self.connected()? {
            all.extend(self.attachment(&container)?);
        }
        Ok(all)
    }

    /// The containers of a network, with their ids.
    pub(crate) fn members(&self, network: &Network) -> Result<Vec<(String, Member)>> {
        let mut members = Vec::new();
        for attachment in self.attachments()? {
            for endpoint in attachment.endpoints.iter().filter(|endpoint| endpoint.network_id == network.id) {
                members.push((attachment.container.clone(), member(&attachment.name, endpoint)));
            }
        }
        Ok(members)
    }
}

fn member(name: &str, endpoint: &Endpoint) -> Member {
    let with_prefix = |ipv6: bool| match (endpoint.address(ipv6), endpoint.subnet(ipv6)) {
        (Some(address), Some(subnet)) => format!("{address}/{}", subnet.prefix()),
        _ => String::new(),
    };
    Member {
        name: name.to_owned(),
        endpoint_id: endpoint.endpoint_id.clone(),
        mac_address: endpoint.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        ipv4_address: with_prefix(false),
        ipv6_address: with_prefix(true),
    }
}

/// The first name with that prefix which no endpoint has.
fn free_interface(prefix: &str, attachment: &Attachment) -> String {
    let taken = |name: &String| attachment.endpoints.iter().any(|endpoint| endpoint.interface == *name);
    let mut names = (0..).map(|number: u32| format!("{prefix}{number}"));
    names.find(|name| !taken(name)).unwrap_or_default()
}

/// Before any interface is there, since a new one copies the defaults: what a neighbour advertises is no route of ours
/// (CVE-2020-13401), and addresses that were leased need not be asked for on the link. The container's /proc/sys is
/// read-only to it; here it is the host's, seen from inside.
fn harden() -> Result<()> {
    sysctl::set("ipv6/conf/default/accept_ra", "0")?;
    sysctl::set("ipv6/conf/default/accept_dad", "0")
}

/// Addresses, routes and up, in one send.
fn configure(inside: &Netlink, target: &Target, endpoint: &Endpoint, attachment: &Attachment) -> Result<()> {
    let name = &endpoint.interface;
    if endpoint.driver == Driver::Cni {
        return Ok(());
    }
    let link = Link::find(inside, name).map_err(|refusal| Error::kernel("find interface", name, refusal))?;
    let mut requests = vec![link::up(1), link::up(link.index)];
    let mut of_ipv6 = Vec::new();
    for ipv6 in [false, true] {
        let (Some(address), Some(subnet)) = (endpoint.address(ipv6), endpoint.subnet(ipv6)) else { continue };
        let from = requests.len();
        requests.push(address::add(link.index, address, subnet.prefix()));
        if attachment.way_out(ipv6).is_some_and(|way| way.endpoint_id == endpoint.endpoint_id) {
            // Where the kernel routes on the parent's behalf (ipvlan in mode l3), the way out is the interface itself.
            let routed = endpoint.driver == Driver::Ipvlan && target.settings.mode != 0;
            requests.extend(endpoint.gateway(ipv6).map(|gateway| match routed {
                true => address::default_link(ipv6, link.index),
                false => address::default_route(gateway, link.index),
            }));
        }
        if ipv6 {
            of_ipv6.extend(from..requests.len());
        }
    }
    for address in &endpoint.link_local {
        let prefix = if address.is_ipv4() { 16 } else { 64 };
        requests.push(address::add(link.index, *address, prefix));
    }
    act(inside, &requests, &of_ipv6, name)
}

/// Both ends are up. That a bridge's port forwards, and the bridge has a carrier, the kernel sees to when it gets to it,
/// up to a second later; a container that speaks at once would be unheard. To ask for the carrier makes it see to it now.
/// Where it can't be asked, a first packet may be lost, and is sent again.
fn settle(host: &Netlink, inside: &Netlink, endpoint: &Endpoint, target: &Target) {
    let Some(port) = &endpoint.host_interface else { return };
    let _ = sys::net::has_carrier(inside, &endpoint.interface);
    let _ = sys::net::has_carrier(host, port);
    let _ = sys::net::has_carrier(host, &target.settings.bridge);
}

/// Sends what makes an interface complete. That a container has switched IPv6 off is its own affair.
fn act(inside: &Netlink, requests: &[Request], of_ipv6: &[usize], name: &str) -> Result<()> {
    match inside.batch(requests) {
        Err(refused)
            if of_ipv6.contains(&refused.index)
                && [Errno::ACCESS, Errno::PERM, Errno::AFNOSUPPORT, Errno::OPNOTSUPP]
                    .contains(&refused.refusal.errno) =>
        {
            Ok(())
        }
        other => other.map_err(|refused| {
            let operation = match refused.index {
                0 => "set up loopback, beside interface",
                1 => "set up interface",
                _ => "give addresses and routes to interface",
            };
            Error::kernel(operation, name, refused.refusal)
        }),
    }
}
