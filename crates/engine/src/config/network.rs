//! Docker's `NetworkingConfig` and `EndpointSettings`: how a container is connected, as asked for and as it came about.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{StringMap, nullable};

/// Networks to connect to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkingConfig {
    /// By the network's name or id.
    #[serde(deserialize_with = "nullable")]
    pub endpoints_config: BTreeMap<String, EndpointSettings>,
}

/// One connection to a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointSettings {
    /// Addresses that are asked for.
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<EndpointIpam>,
    /// `CONTAINER[:ALIAS]` that it finds by name.
    pub links: Option<Vec<String>>,
    /// Further names of the container in this network.
    pub aliases: Option<Vec<String>>,
    /// Ethernet address.
    #[serde(deserialize_with = "nullable")]
    pub mac_address: String,
    /// Options of the driver.
    pub driver_opts: Option<StringMap>,
    /// Which network's gateway is the default one: the highest number wins.
    pub gw_priority: i64,
    /// The network's id.
    #[serde(rename = "NetworkID", deserialize_with = "nullable")]
    pub network_id: String,
    /// The connection's id.
    #[serde(rename = "EndpointID", deserialize_with = "nullable")]
    pub endpoint_id: String,
    /// The IPv4 gateway.
    #[serde(deserialize_with = "nullable")]
    pub gateway: String,
    /// The IPv4 address.
    #[serde(rename = "IPAddress", deserialize_with = "nullable")]
    pub ip_address: String,
    /// Bits of its prefix.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: u8,
    /// The IPv6 gateway.
    #[serde(rename = "IPv6Gateway", deserialize_with = "nullable")]
    pub ipv6_gateway: String,
    /// The IPv6 address.
    #[serde(rename = "GlobalIPv6Address", deserialize_with = "nullable")]
    pub global_ipv6_address: String,
    /// Bits of its prefix.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: u8,
    /// Names that the network resolves to it.
    #[serde(rename = "DNSNames")]
    pub dns_names: Option<Vec<String>>,
}

/// Addresses that are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EndpointIpam {
    /// IPv4.
    #[serde(rename = "IPv4Address", deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub ipv4_address: String,
    /// IPv6.
    #[serde(rename = "IPv6Address", deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub ipv6_address: String,
    /// Link-local ones.
    #[serde(rename = "LinkLocalIPs", deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub link_local_ips: Vec<String>,
}
