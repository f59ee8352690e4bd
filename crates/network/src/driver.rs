//! What each driver makes to connect a container with a network.

use std::os::fd::BorrowedFd;

use namespace::netlink::{Netlink, Refusal, Request};
use rustix::io::Errno;

use crate::address::routes;
use crate::endpoint::Endpoint;
use crate::link::{self, Link, PortMode, Veth};
use crate::network::{Driver, Network};
use crate::settings::Settings;
use crate::{Error, Mac, Networks, Result, bridge, cni};

/// Where a container is connected: the host's socket, and the container's network namespace.
pub(crate) struct Place<'a> {
    pub networks: &'a Networks,
    pub container: &'a str,
    pub host: &'a Netlink,
    pub namespace: BorrowedFd<'a>,
}

/// Puts an interface into the container's network namespace.
pub(crate) fn connect(
    place: &Place<'_>,
    network: &Network,
    settings: &Settings,
    endpoint: &mut Endpoint,
) -> Result<()> {
    match network.driver {
        Driver::Bridge | Driver::Vxlan => connect_bridge(place, network, settings, endpoint),
        Driver::Macvlan | Driver::Ipvlan => connect_child(place, network, settings, endpoint),
        Driver::HostDevice => lend(place, settings, endpoint),
        Driver::Cni => {
            cni::add(place.networks, place.container, network, settings, endpoint, place.namespace)
        }
        Driver::Host | Driver::Null => Ok(()),
    }
}

fn connect_bridge(
    place: &Place<'_>,
    network: &Network,
    settings: &Settings,
    endpoint: &Endpoint,
) -> Result<()> {
    let bridge = bridge::ensure(place.host, network, settings)?;
    let name = endpoint.host_interface.as_deref().unwrap_or_default();
    let veth = Veth {
        name,
        master: bridge.index,
        mtu: bridge.mtu,
        peer: &endpoint.interface,
        peer_mac: endpoint.mac.unwrap_or(Mac([2, 0, 0, 0, 0, 1])),
        peer_namespace: place.namespace,
    };
    place
        .host
        .act(&veth.request())
        .map_err(|refusal| not_made("veth pairs", name, network, endpoint, refusal))?;
    // Then a packet to a published port is sent on within the bridge, and back to where it came from if that is its own
    // container.
    let filtered = bridge::filters_bridged_packets(false);
    // Ports that are isolated could not reach each other's published ports within the bridge.
    let mode = PortMode { isolated: !settings.icc && !filtered, hairpin: filtered };
    if mode == PortMode::default() {
        return Ok(());
    }
    let link =
        Link::find(place.host, name).map_err(|refusal| Error::kernel("find interface", name, refusal))?;
    let set = place.host.act(&link::port_mode(link.index, mode));
    set.map_err(|refusal| Error::kernel("set mode of bridge port", name, refusal))
}

fn connect_child(
    place: &Place<'_>,
    network: &Network,
    settings: &Settings,
    endpoint: &Endpoint,
) -> Result<()> {
    let parent = parent(place.host, network, settings)?;
    let (name, namespace) = (&endpoint.interface, place.namespace);
    let request: Request = match endpoint.mac {
        Some(mac) if network.driver == Driver::Macvlan => {
            link::macvlan(name, parent.index, settings.mode, mac, settings.mtu, namespace)
        }
        _ => link::ipvlan(name, parent.index, settings.mode as u16, settings.flags, settings.mtu, namespace),
    };
    place.host.act(&request).map_err(|refusal| {
        not_made(&format!("driver for {}", network.driver.name()), name, network, endpoint, refusal)
    })
}

/// The host's link that was named, or the one that the default route leads through.
fn parent(host: &Netlink, network: &Network, settings: &Settings) -> Result<Link> {
    let Some(name) = &settings.parent else {
        let list = |refusal| Error::kernel("list", "routes of the host", refusal);
        let routes = routes(host).map_err(list)?;
        let out = routes.iter().filter(|route| route.to.prefix() == 0).min_by_key(|route| route.metric);
        let links = Link::list(host).map_err(list)?;
        return out.and_then(|out| links.into_iter().find(|link| link.index == out.link)).ok_or_else(|| {
            Error::InvalidConfig(format!(
                "network {} needs -o parent=LINK: the host has no default route",
                network.name
            ))
        });
    };
    if let Some(link) =
        Link::look_for(host, name).map_err(|refusal| Error::kernel("find link", name, refusal))?
    {
        return Ok(link);
    }
    vlan(host, name)
}

/// `LINK.NUMBER` that is not there is a VLAN, which is made.
fn vlan(host: &Netlink, name: &str) -> Result<Link> {
    let absent = || Error::kernel("find link", name, Errno::NODEV);
    let (parent, id) = name.rsplit_once('.').ok_or_else(absent)?;
    let id = id.parse().ok().filter(|id| (1..4095).contains(id)).ok_or_else(absent)?;
    let parent = Link::find(host, parent).map_err(|_| absent())?;
    match host.act(&link::vlan(name, parent.index, id)) {
        Err(refusal) if refusal.errno == Errno::EXIST => {}
        other => other.map_err(|refusal| Error::kernel("make VLAN", name, refusal))?,
    }
    Link::find(host, name).map_err(|refusal| Error::kernel("find link", name, refusal))
}

/// Moves the host's device into the container.
fn lend(place: &Place<'_>, settings: &Settings, endpoint: &Endpoint) -> Result<()> {
    let name = settings.parent.as_deref().unwrap_or_default();
    let link = Link::find(place.host, name).map_err(|refusal| Error::kernel("find device", name, refusal))?;
    let request = link::relocate(link.index, place.namespace, &endpoint.interface);
    place.host.act(&request).map_err(|refusal| Error::kernel("move device", name, refusal))
}

fn not_made(what: &str, name: &str, network: &Network, endpoint: &Endpoint, refusal: Refusal) -> Error {
    match refusal.errno {
        Errno::OPNOTSUPP => {
            Error::NotInKernel { what: what.to_owned(), whom: format!("network {}", network.name) }
        }
        Errno::EXIST => Error::kernel(
            "make interface",
            format!("{} ({name}), a name that is taken", endpoint.interface),
            refusal,
        ),
        _ => Error::kernel(
            "make interface",
            format!("{} ({name}) of network {}", endpoint.interface, network.name),
            refusal,
        ),
    }
}
