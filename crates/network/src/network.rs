//! A network as it is written on disk, which is what `network inspect` prints: Docker's fields.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::settings::Settings;
use crate::{Error, Mac, Result, Subnet};

/// How a network connects its containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// A bridge of the host; the host routes and translates.
    Bridge,
    /// Interfaces of their own on a link of the host.
    Macvlan,
    /// The same with one hardware address for all.
    Ipvlan,
    /// A device of the host, moved into the one container.
    HostDevice,
    /// A bridge that a VXLAN joins with those of other hosts.
    Vxlan,
    /// Plugins of the Container Network Interface.
    Cni,
    /// The host's own network.
    Host,
    /// Loopback alone.
    Null,
}

impl Driver {
    /// The names of all drivers.
    pub const NAMES: [&str; 8] =
        ["bridge", "macvlan", "ipvlan", "host-device", "vxlan", "cni", "host", "null"];

    /// The driver of that name; `overlay` is Docker's for VXLAN.
    ///
    /// # Errors
    /// Where there is none.
    pub fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "bridge" | "" => Self::Bridge,
            "macvlan" => Self::Macvlan,
            "ipvlan" => Self::Ipvlan,
            "host-device" => Self::HostDevice,
            "vxlan" | "overlay" => Self::Vxlan,
            "cni" => Self::Cni,
            "host" => Self::Host,
            "null" | "none" => Self::Null,
            _ => return Err(Error::NoSuchDriver(name.to_owned())),
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
            Self::HostDevice => "host-device",
            Self::Vxlan => "vxlan",
            Self::Cni => "cni",
            Self::Host => "host",
            Self::Null => "null",
        }
    }

    /// Whether a bridge of the host is what its containers hang on.
    #[must_use]
    pub fn has_bridge(self) -> bool {
        matches!(self, Self::Bridge | Self::Vxlan)
    }

    /// Whether berth gives out its addresses.
    pub(crate) fn has_addresses(self) -> bool {
        matches!(self, Self::Bridge | Self::Vxlan | Self::Macvlan | Self::Ipvlan | Self::HostDevice)
    }
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct Network {
    pub name: String,
    pub id: String,
    pub created: String,
    pub scope: String,
    pub driver: Driver,
    #[serde(rename = "EnableIPv4", default = "yes")]
    pub enable_ipv4: bool,
    #[serde(rename = "EnableIPv6", default)]
    pub enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    pub ipam: Ipam,
    #[serde(default)]
    pub internal: bool,
    #[serde(default)]
    pub attachable: bool,
    #[serde(default)]
    pub ingress: bool,
    #[serde(default)]
    pub config_from: ConfigFrom,
    #[serde(default)]
    pub config_only: bool,
    /// By container id; empty on disk.
    #[serde(default)]
    pub containers: BTreeMap<String, Member>,
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

/// The network that another's configuration comes from; always empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct ConfigFrom {
    pub network: String,
}

/// A container in a network, as `network inspect` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct Member {
    pub name: String,
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    pub mac_address: String,
    #[serde(rename = "IPv4Address")]
    pub ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    pub ipv6_address: String,
}

/// Where addresses come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct Ipam {
    pub driver: String,
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    #[serde(default)]
    pub config: Vec<Pool>,
}

impl Default for Ipam {
    fn default() -> Self {
        Self { driver: "default".into(), options: BTreeMap::new(), config: Vec::new() }
    }
}

/// A block of addresses of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct Pool {
    pub subnet: Subnet,
    #[serde(rename = "IPRange", default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Subnet>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    #[serde(rename = "AuxiliaryAddresses", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub auxiliary: BTreeMap<String, IpAddr>,
}

impl Network {
    /// The block of a family that its containers get addresses from.
    #[must_use]
    pub fn pool(&self, ipv6: bool) -> Option<&Pool> {
        self.ipam.config.iter().find(|pool| pool.subnet.is_ipv6() == ipv6)
    }

    /// The gateway of a family: the host's address on its link.
    #[must_use]
    pub fn gateway(&self, ipv6: bool) -> Option<IpAddr> {
        self.pool(ipv6)?.gateway
    }

    /// Whether names of containers are resolved in it: in all but the default one, as with Docker.
    #[must_use]
    pub fn resolves_names(&self) -> bool {
        self.name != crate::DEFAULT && !matches!(self.driver, Driver::Host | Driver::Null)
    }

    /// What its options say.
    ///
    /// # Errors
    /// Where one makes no sense.
    pub fn settings(&self) -> Result<Settings> {
        Settings::parse(self)
    }

    /// The hardware address of its bridge: always the same, so that containers need not ask anew for one that was
    /// made again.
    pub(crate) fn bridge_mac(&self) -> Mac {
        let digit = |at: usize| self.id.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let mut bytes = [2, 0x42, 0, 0, 0, 0];
        for (at, byte) in bytes.iter_mut().enumerate().skip(2) {
            *byte = digit(at * 2).unwrap_or(at as u8);
        }
        Mac(bytes)
    }
}
