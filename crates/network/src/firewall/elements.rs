//! What networks and containers put into the sets of the table: pure, so that adding and taking away agree.

use std::net::IpAddr;

use super::table::Element;
use crate::endpoint::{Attachment, PublishedPorts};
use crate::network::Network;
use crate::settings::{GatewayMode, Settings};
use crate::{Result, Subnet};

/// A link's name as a set's key.
fn link(name: &str) -> Vec<u8> {
    let mut key = name.as_bytes().to_vec();
    key.resize(16, 0);
    key
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn simple(set: &'static str, key: Vec<u8>) -> Element {
    Element { set, key, last: None, is_end: false, data: None }
}

fn between(set: &'static str, key: Vec<u8>, last: Vec<u8>) -> Element {
    Element { last: Some(last), ..simple(set, key) }
}

/// An interval of plain addresses: where it begins, and where the next address would be.
fn interval(set: &'static str, subnet: Subnet, data: Option<Vec<u8>>) -> Vec<Element> {
    let start = Element { data, ..simple(set, octets(subnet.address())) };
    let mut behind = octets(subnet.last());
    // One more than the last; one that has no next ends with the set.
    let overflow = behind.iter_mut().rev().all(|byte| {
        *byte = byte.wrapping_add(1);
        *byte == 0
    });
    let end = (!overflow).then(|| Element { is_end: true, ..simple(set, behind) });
    std::iter::once(start).chain(end).collect()
}

/// What a network with a bridge puts into the sets.
pub(super) fn of_network(network: &Network) -> Result<Vec<Element>> {
    if !network.driver.has_bridge() {
        return Ok(Vec::new());
    }
    let settings = network.settings()?;
    let bridge = link(&settings.bridge);
    let pair = |other: &str| [link(other), bridge.clone()].concat();
    let mut elements = vec![simple("bridges", bridge.clone()), simple("same", pair(&settings.bridge))];
    if !settings.icc {
        elements.push(simple("apart", pair(&settings.bridge)));
    }
    if network.internal {
        elements.push(simple("internal", bridge.clone()));
    }
    elements.extend(settings.trusted.iter().map(|other| simple("trusted", pair(other))));
    for pool in &network.ipam.config {
        elements.extend(of_subnet(network, &settings, pool.subnet, &bridge));
    }
    elements.sort_by_key(|element| element.set);
    Ok(elements)
}

fn of_subnet(network: &Network, settings: &Settings, subnet: Subnet, bridge: &[u8]) -> Vec<Element> {
    let ipv6 = subnet.is_ipv6();
    let key = |address: IpAddr| [bridge.to_vec(), octets(address)].concat();
    let mut elements = vec![between(named(ipv6, "own4", "own6"), key(subnet.address()), key(subnet.last()))];
    let mode = settings.gateway_mode(ipv6);
    if mode != GatewayMode::NatUnprotected {
        elements.push(simple(named(ipv6, "guarded4", "guarded6"), bridge.to_vec()));
    }
    let source = if ipv6 { settings.host_ipv6.map(IpAddr::V6) } else { settings.host_ipv4.map(IpAddr::V4) };
    if network.internal || !settings.masquerade || mode == GatewayMode::Routed {
        return elements;
    }
    match source {
        Some(source) => {
            elements.extend(interval(named(ipv6, "source4", "source6"), subnet, Some(octets(source))));
        }
        None => elements.extend(interval(named(ipv6, "masquerade4", "masquerade6"), subnet, None)),
    }
    elements
}

fn named(ipv6: bool, four: &'static str, six: &'static str) -> &'static str {
    if ipv6 { six } else { four }
}

/// What the published ports of a container put into the maps. `routed` says for which families its network does not
/// translate.
pub(super) fn of_attachment(attachment: &Attachment, routed: [bool; 2]) -> Vec<Element> {
    let mut elements = Vec::new();
    for ports in &attachment.ports {
        let ipv6 = ports.host_ip.is_ipv6();
        let Some(to) = attachment.way_out(ipv6).and_then(|way| way.address(ipv6)) else { continue };
        if routed[usize::from(ipv6)] {
            let key = |port: u16| [octets(to), port_key(ports, port)].concat();
            let last = ports.container + (ports.count - 1);
            elements.push(between(named(ipv6, "open4", "open6"), key(ports.container), key(last)));
        } else {
            elements.extend(of_ports(ports, to, ipv6));
            if attachment.host_firewall && !ports.host_ip.is_loopback() {
                elements.push(everywhere(named(ipv6, "gated4", "gated6"), ports));
            }
        }
    }
    elements.sort_by_key(|element| element.set);
    elements
}

/// Protocol and port as parts of a key.
fn port_key(ports: &PublishedPorts, port: u16) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    vec![ports.protocol.number(), 0, 0, 0, high, low, 0, 0]
}

fn of_ports(ports: &PublishedPorts, to: IpAddr, ipv6: bool) -> Vec<Element> {
    // Ports that keep their numbers are one element. The kernel does not count along where they change.
    if ports.count > 1 && ports.host == ports.container {
        let range = everywhere(named(ipv6, "range4", "range6"), ports);
        return vec![Element { data: Some(octets(to)), ..range }];
    }
    (0..ports.count)
        .map(|offset| {
            let [high, low] = (ports.container + offset).to_be_bytes();
            let data = [octets(to), vec![high, low, 0, 0]].concat();
            let port = port_key(ports, ports.host + offset);
            let element = if ports.host_ip.is_unspecified() {
                simple(named(ipv6, "any4", "any6"), port)
            } else {
                simple(named(ipv6, "at4", "at6"), [octets(ports.host_ip), port].concat())
            };
            Element { data: Some(data), ..element }
        })
        .collect()
}

/// All addresses that ports are published on, with all of their numbers.
fn everywhere(set: &'static str, ports: &PublishedPorts) -> Element {
    let prefix = if ports.host_ip.is_unspecified() { 0 } else { width(ports.host_ip.is_ipv6()) };
    let all = Subnet::around(ports.host_ip, prefix);
    let (from, until) = all.map_or((ports.host_ip, ports.host_ip), |all| (all.address(), all.last()));
    let key = |address: IpAddr, port: u16| [octets(address), port_key(ports, port)].concat();
    between(set, key(from, ports.host), key(until, ports.host + (ports.count - 1)))
}

fn width(ipv6: bool) -> u8 {
    if ipv6 { 128 } else { 32 }
}
