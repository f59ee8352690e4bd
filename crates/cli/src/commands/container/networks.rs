//! `--network` and the flags for the first network that it names.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use engine::config::{EndpointIpam, EndpointSettings};

use crate::commands::values::{csv, integer, key_value};

/// A network to connect to, with what is asked of the connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    pub name: String,
    pub endpoint: EndpointSettings,
}

/// What the older flags ask of the first network.
#[derive(Debug, Default)]
pub struct First {
    pub aliases: Vec<String>,
    pub links: Vec<String>,
    pub ip: String,
    pub ip6: String,
    pub mac: String,
    pub link_local_ips: Vec<String>,
}

/// The value of `--network`: a name, or `name=NAME,alias=…,ip=…`.
pub fn parse(text: &str) -> Result<Network, String> {
    let mut network = Network::default();
    if !text.contains('=') {
        text.clone_into(&mut network.name);
        return Ok(network);
    }
    for field in csv(text)? {
        let (key, value) = field.split_once('=').ok_or_else(|| format!("invalid field {field}"))?;
        let (value, endpoint) = (value.trim(), &mut network.endpoint);
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => value.clone_into(&mut network.name),
            "alias" => endpoint.aliases.get_or_insert_default().push(value.to_owned()),
            "ip" => ipv4(value)?.clone_into(&mut ipam(endpoint).ipv4_address),
            "ip6" => ipv6(value)?.clone_into(&mut ipam(endpoint).ipv6_address),
            "mac-address" => mac(value)?.clone_into(&mut endpoint.mac_address),
            "link-local-ip" => ipam(endpoint).link_local_ips.push(address(value)?.to_owned()),
            "driver-opt" => {
                let (option, value) = key_value(value);
                endpoint.driver_opts.get_or_insert_default().insert(option, value);
            }
            "gw-priority" => {
                endpoint.gw_priority =
                    integer(value).map_err(|reason| format!("invalid gw-priority ({value}): {reason}"))?;
            }
            key => return Err(format!("invalid field key {key}")),
        }
    }
    if network.name.is_empty() {
        return Err("network name/id is not specified".to_owned());
    }
    Ok(network)
}

fn ipam(endpoint: &mut EndpointSettings) -> &mut EndpointIpam {
    endpoint.ipam_config.get_or_insert_default()
}

/// The network mode, and the connections: of several networks, or of one with wishes.
pub fn resolve(
    networks: Vec<Network>,
    first: First,
) -> Result<(String, BTreeMap<String, EndpointSettings>), String> {
    let mut networks = networks;
    if networks.is_empty() {
        networks.push(Network { name: "default".to_owned(), ..Network::default() });
    }
    let mode = networks[0].name.clone();
    networks[0].endpoint = first.merge(std::mem::take(&mut networks[0].endpoint))?;
    let own = networks.iter().filter(|network| is_user_defined(&network.name)).count();
    if own != 0 && own != networks.len() {
        return Err(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes".into(),
        );
    }
    if own == 0 && networks.len() > 1 {
        let names: Vec<&str> = networks.iter().map(|network| network.name.as_str()).collect();
        return Err(format!(
            "conflicting options: cannot attach to {}: one of them at a time",
            names.join(" and ")
        ));
    }
    let alone = networks.len() == 1;
    let mut endpoints = BTreeMap::new();
    for Network { name, endpoint } in networks {
        if !is_user_defined(&name) && endpoint.aliases.is_some() {
            return Err("network-scoped aliases are only supported for user-defined networks".to_owned());
        }
        if alone && endpoint == EndpointSettings::default() {
            break;
        }
        if endpoints.insert(name.clone(), endpoint).is_some() {
            return Err(format!("network {name:?} is specified multiple times"));
        }
    }
    Ok((mode, endpoints))
}

/// Whether somebody made the network.
pub fn is_user_defined(name: &str) -> bool {
    let built_in =
        matches!(name, "default" | "bridge" | "host" | "none" | "private" | "pasta" | "slirp4netns");
    !built_in && !name.starts_with("container:") && !name.starts_with("ns:")
}

impl First {
    /// What is asked of the first network by both kinds of flags.
    fn merge(self, mut endpoint: EndpointSettings) -> Result<EndpointSettings, String> {
        let both = |flag: &str, field: &str| {
            Err(format!("conflicting options: cannot specify both --{flag} and per-network {field}"))
        };
        let asked = endpoint.ipam_config.clone().unwrap_or_default();
        if !self.aliases.is_empty() {
            if endpoint.aliases.is_some() {
                return both("network-alias", "alias");
            }
            endpoint.aliases = Some(self.aliases);
        }
        if !self.links.is_empty() {
            endpoint.links = Some(self.links);
        }
        if !self.ip.is_empty() {
            if !asked.ipv4_address.is_empty() {
                return both("ip", "IPv4 address");
            }
            ipam(&mut endpoint).ipv4_address = self.ip;
        }
        if !self.ip6.is_empty() {
            if !asked.ipv6_address.is_empty() {
                return both("ip6", "IPv6 address");
            }
            ipam(&mut endpoint).ipv6_address = self.ip6;
        }
        if !self.mac.is_empty() {
            if !endpoint.mac_address.is_empty() {
                return both("mac-address", "MAC address");
            }
            endpoint.mac_address = self.mac;
        }
        if !self.link_local_ips.is_empty() {
            if !asked.link_local_ips.is_empty() {
                return both("link-local-ip", "link-local IP address");
            }
            ipam(&mut endpoint).link_local_ips = self.link_local_ips;
        }
        Ok(endpoint)
    }
}

/// An IPv4 address.
pub fn ipv4(text: &str) -> Result<&str, String> {
    text.parse::<Ipv4Addr>().map(|_| text).map_err(|_| format!("invalid IPv4 address: {text}"))
}

/// An IPv6 address.
pub fn ipv6(text: &str) -> Result<&str, String> {
    text.parse::<Ipv6Addr>().map(|_| text).map_err(|_| format!("invalid IPv6 address: {text}"))
}

/// An address of either kind.
pub fn address(text: &str) -> Result<&str, String> {
    text.parse::<IpAddr>().map(|_| text).map_err(|_| format!("IP address is not correctly formatted: {text}"))
}

/// An Ethernet address.
pub fn mac(text: &str) -> Result<&str, String> {
    let pairs: Vec<&str> = text.split([':', '-']).collect();
    let right = pairs.len() == 6
        && pairs.iter().all(|pair| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if right { Ok(text) } else { Err(format!("{text} is not a valid mac address")) }
}

/// The value of `--add-host`: `NAME:ADDRESS` or `NAME=ADDRESS`; the address may be `host-gateway`.
pub fn extra_host(text: &str) -> Result<String, String> {
    let cut = text.split_once('=').or_else(|| text.split_once(':'));
    let (name, given) = cut
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| format!("bad format for add-host: {text:?}"))?;
    let bare = given.strip_prefix('[').and_then(|given| given.strip_suffix(']')).unwrap_or(given);
    if bare != "host-gateway" && bare.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address in add-host: {given:?}"));
    }
    Ok(format!("{name}:{bare}"))
}

/// The value of `--network-rate`, as tc(8) has them: a number of `bit`, `kbit`, `mbit`, `gbit`, `kibit`, …, or of bytes
/// (`kbps`, …); a bare number is of bits. In bits a second.
pub fn rate(text: &str) -> Result<i64, String> {
    let invalid = || {
        format!(
            "invalid rate {text:?}: it is a number of bit, kbit, mbit or gbit, or of bps, kbps, mbps or gbps"
        )
    };
    let lower = text.to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let number: f64 = number.parse().map_err(|_| invalid())?;
    let (prefix, bits) = match (unit.strip_suffix("bit"), unit.strip_suffix("bps")) {
        (Some(prefix), _) => (prefix, 1.0),
        (_, Some(prefix)) => (prefix, 8.0),
        _ if unit.is_empty() => ("", 1.0),
        _ => return Err(invalid()),
    };
    let scale = match prefix {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "t" => 1e12,
        "ki" => 1024.0,
        "mi" => 1024.0 * 1024.0,
        "gi" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(invalid()),
    };
    let rate = number * bits * scale;
    if (8000.0..1e15).contains(&rate) { Ok(rate as i64) } else { Err(invalid()) }
}

/// The value of `--link`: `CONTAINER[:ALIAS]`.
pub fn link(text: &str) -> Result<&str, String> {
    let mut parts = text.split(':');
    let (name, _, more) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    if name.is_empty() || more.is_some() { Err(format!("bad format for links: {text}")) } else { Ok(text) }
}

/// The value of `--dns-search`: a domain, or `.` for none.
pub fn domain(text: &str) -> Result<&str, String> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let named = text.strip_suffix('.').unwrap_or(text);
    if text == "." || named.split('.').all(label) {
        Ok(text)
    } else {
        Err(format!("{text} is not a valid domain"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_alone_is_a_mode() {
        let resolved = |name: &str| resolve(vec![parse(name).unwrap()], First::default()).unwrap();
        assert_eq!(resolved("none"), ("none".into(), BTreeMap::new()));
        assert_eq!(resolved("container:web").0, "container:web");
        assert_eq!(resolve(Vec::new(), First::default()).unwrap().0, "default");
    }

    #[test]
    fn fields_and_flags_ask_for_addresses() {
        let network = parse(
            "name=lan,alias=a,alias=b,ip=10.0.0.2,ip6=fd00::2,mac-address=02:42:ac:11:00:02,gw-priority=5",
        );
        let (mode, endpoints) = resolve(vec![network.unwrap()], First::default()).unwrap();
        let endpoint = &endpoints["lan"];
        assert_eq!((mode.as_str(), endpoint.gw_priority), ("lan", 5));
        assert_eq!(endpoint.aliases.as_deref().unwrap(), ["a", "b"]);
        assert_eq!(endpoint.ipam_config.as_ref().unwrap().ipv4_address, "10.0.0.2");

        let first = First { ip: "10.0.0.3".into(), aliases: vec!["c".into()], ..First::default() };
        let networks = vec![parse("lan").unwrap(), parse("wan").unwrap()];
        let (_, endpoints) = resolve(networks, first).unwrap();
        assert_eq!(endpoints["lan"].ipam_config.as_ref().unwrap().ipv4_address, "10.0.0.3");
        assert_eq!(endpoints["wan"], EndpointSettings::default());
    }

    #[test]
    fn contradictions_are_told() {
        let resolved = |names: &[&str], first| {
            let networks = names.iter().map(|name| parse(name).unwrap()).collect();
            resolve(networks, first).unwrap_err()
        };
        let ip = || First { ip: "10.0.0.3".into(), ..First::default() };
        let alias = First { aliases: vec!["a".into()], ..First::default() };
        assert!(resolved(&["lan", "host"], First::default()).contains("user-defined and non-user-defined"));
        assert!(resolved(&["none", "host"], First::default()).contains("none and host"));
        assert!(resolved(&["lan", "lan"], First::default()).contains("\"lan\" is specified multiple times"));
        assert!(resolved(&["name=lan,ip=10.0.0.2"], ip()).contains("both --ip and per-network IPv4 address"));
        assert!(resolved(&["bridge"], alias).contains("only supported for user-defined networks"));
    }

    #[test]
    fn bad_values_are_told() {
        for (text, told) in [
            ("ip=10.0.0.2", "network name/id is not specified"),
            ("name=lan,colour=red", "invalid field key colour"),
            ("name=lan,ip=x", "invalid IPv4 address: x"),
            ("name=lan,mac-address=x", "x is not a valid mac address"),
            ("name=lan,loose", "invalid field loose"),
        ] {
            assert_eq!(parse(text).unwrap_err(), told);
        }
        assert_eq!(extra_host("db:10.0.0.1").unwrap(), "db:10.0.0.1");
        assert_eq!(extra_host("db=[::1]").unwrap(), "db:::1");
        assert_eq!(
            extra_host("host.docker.internal:host-gateway").unwrap(),
            "host.docker.internal:host-gateway"
        );
        assert!(extra_host("db").is_err() && extra_host("db:x").is_err() && extra_host(":1.2.3.4").is_err());
        assert_eq!(
            ["10mbit", "1.5Gbit", "8000", "1mibit", "2kbps"].map(|text| rate(text).unwrap()),
            [10_000_000, 1_500_000_000, 8000, 1 << 20, 16_000]
        );
        assert!(
            ["", "mbit", "10mb", "-1mbit", "1bit", "1e9", "9999999tbit"]
                .iter()
                .all(|text| rate(text).is_err())
        );
        assert!(link("db:d").is_ok() && link("a:b:c").is_err() && link(":b").is_err());
        assert!(
            domain("example.com").is_ok()
                && domain(".").is_ok()
                && domain("a b").is_err()
                && domain("").is_err()
        );
    }
}
