//! What a container is connected with: as asked for, and as it came about.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Driver, Error, Mac, Subnet};

/// What a container asks of the networks.
#[derive(Clone, Debug, Default)]
pub struct AttachRequest {
    /// The container's id.
    pub container: String,
    /// Its name.
    pub name: String,
    /// Its host name, which resolves too.
    pub hostname: String,
    /// Each network that it is to be connected to.
    pub endpoints: Vec<EndpointRequest>,
    /// The ports that it publishes.
    pub ports: Vec<PortRequest>,
    /// Bits a second that it may send, and receive, on each interface.
    pub rate: Option<u64>,
    /// The servers for names that are no container's (`--dns`); the host's where there are none.
    pub dns: Vec<IpAddr>,
    /// Whether the host's input rules are asked about its published ports.
    pub host_firewall: bool,
    /// Whether its way out is not by the networks, but a program's ([`UserMode`](crate::UserMode)).
    pub user_mode: bool,
}

/// A connection to one network, as asked for.
#[derive(Clone, Debug, Default)]
pub struct EndpointRequest {
    /// The network's name or id.
    pub network: String,
    /// A fixed IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// A fixed IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// A fixed hardware address.
    pub mac: Option<Mac>,
    /// Further addresses, on the link alone.
    pub link_local: Vec<IpAddr>,
    /// Further names of the container in this network.
    pub aliases: Vec<String>,
    /// `CONTAINER[:ALIAS]`: names that this container alone resolves.
    pub links: Vec<String>,
    /// The interface's name (`com.docker.network.endpoint.ifname`); else `eth0`, `eth1`, …
    pub interface: Option<String>,
    /// The endpoint with the highest number has the default route.
    pub gateway_priority: i64,
    /// Options for the driver.
    pub options: BTreeMap<String, String>,
}

/// What carries a port's data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// Its number in an IP packet.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(Error::InvalidPorts(format!("invalid protocol {text:?}: it is tcp, udp or sctp"))),
        }
    }
}

/// Ports to publish, as asked for: `count` of them from `container` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRequest {
    /// The host's address; all of them where it is `None`.
    pub host_ip: Option<IpAddr>,
    /// The first port of the host; any free ones where it is `None`.
    pub host: Option<u16>,
    /// The first of those that one free port is chosen from is `host`, and this the last (`-p 8000-9000:80`).
    pub host_last: Option<u16>,
    /// The first port of the container.
    pub container: u16,
    /// How many.
    pub count: u16,
    /// What for.
    pub protocol: Protocol,
}

/// Ports that are published: `count` of the host's from `host` on lead to as many of the container's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PublishedPorts {
    pub host_ip: IpAddr,
    pub host: u16,
    pub container: u16,
    pub count: u16,
    pub protocol: Protocol,
}

impl fmt::Display for PublishedPorts {
    /// As `docker ps` has it: `0.0.0.0:8080 -> 80/tcp`, several with both ends.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host_ip, host, container, count, protocol } = *self;
        let address = if host_ip.is_ipv6() { format!("[{host_ip}]") } else { host_ip.to_string() };
        match count {
            1 => write!(formatter, "{address}:{host} -> {container}/{protocol}"),
            _ => {
                let more = count - 1;
                write!(
                    formatter,
                    "{address}:{host}-{} -> {container}-{}/{protocol}",
                    host + more,
                    container + more
                )
            }
        }
    }
}

/// A connection to one network, as it came about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Endpoint {
    pub network: String,
    pub network_id: String,
    pub driver: Driver,
    pub endpoint_id: String,
    /// The interface in the container.
    pub interface: String,
    /// The other end, on the host: a veth's.
    pub host_interface: Option<String>,
    pub mac: Option<Mac>,
    pub ipv4: Option<Ipv4Addr>,
    pub ipv4_subnet: Option<Subnet>,
    /// `None` in an internal network too.
    pub ipv4_gateway: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
    pub ipv6_subnet: Option<Subnet>,
    pub ipv6_gateway: Option<Ipv6Addr>,
    #[serde(default)]
    pub link_local: Vec<IpAddr>,
    pub gateway_priority: i64,
    pub aliases: Vec<String>,
    pub links: Vec<String>,
    /// All names under which the others in the network find it.
    pub dns_names: Vec<String>,
    pub options: BTreeMap<String, String>,
}

impl Endpoint {
    /// Whether names of containers are resolved in its network.
    #[must_use]
    pub fn resolves_names(&self) -> bool {
        !self.dns_names.is_empty()
    }

    /// Its address of a family.
    #[must_use]
    pub fn address(&self, ipv6: bool) -> Option<IpAddr> {
        if ipv6 { self.ipv6.map(IpAddr::V6) } else { self.ipv4.map(IpAddr::V4) }
    }

    /// Its subnet of a family.
    #[must_use]
    pub fn subnet(&self, ipv6: bool) -> Option<Subnet> {
        if ipv6 { self.ipv6_subnet } else { self.ipv4_subnet }
    }

    /// Its gateway of a family.
    #[must_use]
    pub fn gateway(&self, ipv6: bool) -> Option<IpAddr> {
        if ipv6 { self.ipv6_gateway.map(IpAddr::V6) } else { self.ipv4_gateway.map(IpAddr::V4) }
    }
}

/// What a container is connected with, all in all. It is written to disk before anything is made, so that whoever comes
/// later can take back what there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Attachment {
    pub container: String,
    pub name: String,
    pub hostname: String,
    pub endpoints: Vec<Endpoint>,
    pub ports: Vec<PublishedPorts>,
    pub rate: Option<u64>,
    #[serde(default)]
    pub dns: Vec<IpAddr>,
    #[serde(default)]
    pub host_firewall: bool,
    /// Whether its way out is a program's.
    #[serde(default)]
    pub user_mode: bool,
    /// Whether it has one: not where all its networks are internal.
    #[serde(default)]
    pub program_leads_out: bool,
}

impl Attachment {
    /// The endpoint that published ports lead to and the default route of a family goes through: of those with a
    /// gateway the one with the highest priority, or the first.
    #[must_use]
    pub fn way_out(&self, ipv6: bool) -> Option<&Endpoint> {
        let with_gateway = self.endpoints.iter().rev().filter(|endpoint| endpoint.gateway(ipv6).is_some());
        with_gateway.max_by_key(|endpoint| endpoint.gateway_priority)
    }

    /// Whether there is a way out at all: there is none where all its networks are internal.
    #[must_use]
    pub fn leads_out(&self) -> bool {
        self.program_leads_out || self.way_out(false).or_else(|| self.way_out(true)).is_some()
    }
}
