//! The bridge of a network, and what else it needs on the host: addresses of the gateway, routing, a VXLAN's port.
//!
//! A bridge is set up last of all: one that is down was not completed, and is completed by whoever finds it.

use std::net::{IpAddr, Ipv6Addr};

use namespace::netlink::{Netlink, Refusal, Request};
use rustix::io::Errno;

use crate::address::{self, routes};
use crate::link::{self, Link};
use crate::network::{Driver, Network};
use crate::settings::Settings;
use crate::{Error, Mac, Result, sysctl};

/// What Ethernet carries, where the way out says nothing else.
const MTU: u32 = 1500;
/// What VXLAN adds to a packet, over IPv6.
const VXLAN_OVERHEAD: u32 = 70;

/// A bridge, as far as attaching to it needs to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bridge {
    pub index: u32,
    pub mtu: u32,
}

/// The network's bridge, made or completed where it is not there. The caller's network namespace is the host's.
pub(crate) fn ensure(netlink: &Netlink, network: &Network, settings: &Settings) -> Result<Bridge> {
    let name = &settings.bridge;
    let found =
        Link::look_for(netlink, name).map_err(|refusal| Error::kernel("find bridge", name, refusal))?;
    let link = match found {
        Some(link) if link.kind != "bridge" => {
            return Err(Error::InvalidConfig(format!(
                "link {name} of the host is no bridge, but that of network {} should be",
                network.name
            )));
        }
        Some(link) => link,
        None => make(netlink, network, settings)?,
    };
    if !link.up {
        complete(netlink, network, settings, link.index)?;
    }
    forwarding(network)?;
    Ok(Bridge { index: link.index, mtu: settings.mtu.unwrap_or(link.mtu) })
}

fn make(netlink: &Netlink, network: &Network, settings: &Settings) -> Result<Link> {
    let name = &settings.bridge;
    let overhead = if network.driver == Driver::Vxlan { VXLAN_OVERHEAD } else { 0 };
    let mtu = match settings.mtu {
        Some(mtu) => mtu,
        None => {
            way_out_mtu(netlink).map_err(|refusal| Error::kernel("list", "routes of the host", refusal))?
                - overhead
        }
    };
    let requests = [link::bridge(name, network.bridge_mac(), mtu), link::alias(name, &alias(network))];
    match netlink.batch(&requests).map_err(|refused| refused.refusal) {
        // Another container's start was faster.
        Err(refusal) if refusal.errno == Errno::EXIST => {}
        Err(refusal) if refusal.errno == Errno::OPNOTSUPP => {
            return Err(Error::NotInKernel {
                what: "driver for bridges".into(),
                whom: format!("network {}", network.name),
            });
        }
        other => other.map_err(|refusal| Error::kernel("make bridge", name, refusal))?,
    }
    Link::find(netlink, name).map_err(|refusal| Error::kernel("find bridge", name, refusal))
}

/// By this a bridge is known to be berth's own, which is removed with its network.
fn alias(network: &Network) -> String {
    format!("berth network {}", network.name)
}

/// Addresses, parameters, and up.
fn complete(netlink: &Netlink, network: &Network, settings: &Settings, index: u32) -> Result<()> {
    let name = &settings.bridge;
    // A container must not tell the host where to route to (CVE-2020-13401).
    sysctl::set(&format!("ipv6/conf/{name}/accept_ra"), "0")?;
    sysctl::set(&format!("ipv6/conf/{name}/disable_ipv6"), if network.enable_ipv6 { "0" } else { "1" })?;
    // Lets 127.0.0.1:PORT of the host lead to a container; what a container itself sends there is dropped by the
    // firewall (CVE-2020-8558).
    sysctl::set(&format!("ipv4/conf/{name}/route_localnet"), "1")?;
    let mut requests = Vec::new();
    if network.enable_ipv6 {
        // The kernel would try for a second whether its own choice of a link-local address is free, and without one it
        // asks for no neighbour: the first packet to a container would be lost.
        requests.push(link::without_link_local(index));
        requests.push(address::add(index, link_local(network.bridge_mac()), 64));
    }
    for pool in &network.ipam.config {
        requests.extend(pool.gateway.map(|gateway| address::add(index, gateway, pool.subnet.prefix())));
    }
    requests.push(link::up(index));
    netlink.batch(&requests).map_err(|refused| Error::kernel("set up bridge", name, refused.refusal))?;
    if network.enable_ipv6 {
        match netlink.act(&address::local_loopback(index)) {
            Err(refusal) if refusal.errno == Errno::EXIST => {}
            other => other.map_err(|refusal| Error::kernel("route ::1 by bridge", name, refusal))?,
        }
    }
    if network.driver == Driver::Vxlan {
        add_vxlan(netlink, network, settings, index)?;
    }
    Ok(())
}

/// Whether br_netfilter has what a bridge carries go through the rules of IP.
pub(crate) fn filters_bridged_packets(ipv6: bool) -> bool {
    let name = if ipv6 { "bridge/bridge-nf-call-ip6tables" } else { "bridge/bridge-nf-call-iptables" };
    sysctl::read(name).as_deref() == Some("1")
}

/// The address that RFC 4291 makes of a hardware address.
fn link_local(mac: Mac) -> IpAddr {
    let [a, b, c, d, e, f] = mac.0;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f]).into()
}

fn forwarding(network: &Network) -> Result<()> {
    if network.internal {
        return Ok(());
    }
    if network.enable_ipv4 {
        sysctl::forward(false)?;
    }
    if network.enable_ipv6 {
        sysctl::forward(true)?;
    }
    Ok(())
}

/// The least MTU of the links that default routes lead through; Ethernet's where that is more.
fn way_out_mtu(netlink: &Netlink) -> Result<u32, Refusal> {
    let out: Vec<u32> =
        routes(netlink)?.iter().filter(|route| route.to.prefix() == 0).map(|route| route.link).collect();
    let links = Link::list(netlink)?;
    let mtus = links.iter().filter(|link| out.contains(&link.index)).map(|link| link.mtu);
    Ok(mtus.min().unwrap_or(MTU).clamp(1280, MTU))
}

/// The name of a VXLAN's port.
pub(crate) fn vxlan_name(network: &Network) -> String {
    format!("bvx-{}", network.id.get(..9).unwrap_or(&network.id))
}

fn add_vxlan(netlink: &Netlink, network: &Network, settings: &Settings, bridge: u32) -> Result<()> {
    let name = vxlan_name(network);
    let vxlan = &settings.vxlan;
    let mtu = Link::find(netlink, &settings.bridge).map_or(MTU - VXLAN_OVERHEAD, |link| link.mtu);
    match netlink.act(&link::vxlan(&name, vxlan.id, vxlan.port, vxlan.local, bridge, mtu)) {
        Err(refusal) if refusal.errno == Errno::EXIST => return Ok(()),
        Err(refusal) if refusal.errno == Errno::OPNOTSUPP => {
            return Err(Error::NotInKernel {
                what: "driver for VXLAN".into(),
                whom: format!("network {}", network.name),
            });
        }
        other => other.map_err(|refusal| Error::kernel("make VXLAN port", &name, refusal))?,
    }
    let port =
        Link::find(netlink, &name).map_err(|refusal| Error::kernel("find VXLAN port", &name, refusal))?;
    let peers: Vec<Request> = vxlan.peers.iter().map(|peer| address::vxlan_peer(port.index, *peer)).collect();
    if peers.is_empty() {
        return Ok(());
    }
    netlink.batch(&peers).map_err(|refused| {
        let peer = vxlan.peers.get(refused.index).map(ToString::to_string).unwrap_or_default();
        Error::kernel("add VXLAN peer", peer, refused.refusal)
    })
}

/// Completes a bridge that is there: addresses and parameters that somebody took away are back.
pub(crate) fn repair(netlink: &Netlink, network: &Network, settings: &Settings) -> Result<()> {
    let name = &settings.bridge;
    match Link::look_for(netlink, name).map_err(|refusal| Error::kernel("find bridge", name, refusal))? {
        Some(link) if link.kind == "bridge" => complete(netlink, network, settings, link.index),
        _ => Ok(()),
    }
}

/// Removes the network's bridge, if it is berth's own.
pub(crate) fn remove(netlink: &Netlink, network: &Network, settings: &Settings) -> Result<()> {
    let mut names = vec![vxlan_name(network)];
    let found = Link::look_for(netlink, &settings.bridge)
        .map_err(|refusal| Error::kernel("find bridge", &settings.bridge, refusal))?;
    if found.is_some_and(|link| link.alias == alias(network)) {
        names.push(settings.bridge.clone());
    }
    for name in names {
        match netlink.act(&link::delete(&name)) {
            Err(refusal) if refusal.errno == Errno::NODEV => {}
            other => other.map_err(|refusal| Error::kernel("remove link", &name, refusal))?,
        }
    }
    Ok(())
}
