//! The options of a network (`-o KEY=VALUE`), read: Docker's, and those of drivers which Docker lacks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::link::LONGEST_NAME;
use crate::{Driver, Error, Network, Result};

/// What the options of a network say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Settings {
    /// The host's bridge.
    pub bridge: String,
    /// What its containers' interfaces are called, less the number.
    pub prefix: String,
    pub mtu: Option<u32>,
    /// Whether its containers talk to each other.
    pub icc: bool,
    pub masquerade: bool,
    /// Where ports are published whose address is not named.
    pub host_binding: Option<IpAddr>,
    pub gateway_mode4: GatewayMode,
    pub gateway_mode6: GatewayMode,
    /// Links from which unpublished ports may be reached too.
    pub trusted: Vec<String>,
    /// The source address of what leaves, instead of that of the link it leaves by.
    pub host_ipv4: Option<Ipv4Addr>,
    pub host_ipv6: Option<Ipv6Addr>,
    /// The host's link for macvlan, ipvlan and host-device.
    pub parent: Option<String>,
    /// The mode of a macvlan or ipvlan, as the kernel numbers them.
    pub mode: u32,
    /// The kernel's flags of an ipvlan.
    pub flags: u16,
    pub vxlan: Vxlan,
    /// The file or directory with the configuration of plugins.
    pub cni: Option<String>,
}

/// What a VXLAN needs to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Vxlan {
    pub id: u32,
    pub port: u16,
    pub local: Option<IpAddr>,
    pub peers: Vec<IpAddr>,
}

/// What the host does between a network and the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GatewayMode {
    /// Translates addresses; from outside only published ports are reached.
    #[default]
    Nat,
    /// Translates addresses; whoever has a route reaches everything.
    NatUnprotected,
    /// Does not translate; from outside only published ports are reached.
    Routed,
}

/// The port of VXLAN that IANA gave out.
const VXLAN_PORT: u16 = 4789;
/// The kernel's VXLAN number is one of 24 bits.
const VXLAN_IDS: u32 = 1 << 24;

impl Settings {
    /// Reads the options of a network.
    pub(crate) fn parse(network: &Network) -> Result<Self> {
        let mut settings = Self::of_nothing(network);
        for (key, value) in &network.options {
            settings.set(network, key, value).map_err(|why| Error::InvalidOption {
                key: key.clone(),
                value: value.clone(),
                why,
            })?;
        }
        settings.check(network)?;
        Ok(settings)
    }

    fn of_nothing(network: &Network) -> Self {
        let id = network.id.get(..9).unwrap_or(&network.id);
        Self {
            bridge: format!("berth-{id}"),
            prefix: "eth".into(),
            mtu: None,
            icc: true,
            masquerade: true,
            host_binding: None,
            gateway_mode4: GatewayMode::default(),
            gateway_mode6: GatewayMode::default(),
            trusted: Vec::new(),
            host_ipv4: None,
            host_ipv6: None,
            parent: None,
            mode: if network.driver == Driver::Macvlan { MACVLAN_BRIDGE } else { 0 },
            flags: 0,
            vxlan: Vxlan { port: VXLAN_PORT, ..Vxlan::default() },
            cni: None,
        }
    }

    fn set(&mut self, network: &Network, key: &str, value: &str) -> Result<(), String> {
        match key.strip_prefix("com.docker.network.").unwrap_or(key) {
            "bridge.name" => self.bridge = link_name(value)?,
            "container_iface_prefix" | "container_interface_prefix" => self.prefix = prefix(value)?,
            "driver.mtu" | "mtu" => self.mtu = Some(mtu(value)?),
            "bridge.enable_icc" => self.icc = yes_or_no(value)?,
            "bridge.enable_ip_masquerade" => self.masquerade = yes_or_no(value)?,
            "bridge.host_binding_ipv4" => self.host_binding = Some(parsed::<Ipv4Addr>(value)?.into()),
            "bridge.gateway_mode_ipv4" => self.gateway_mode4 = gateway_mode(value)?,
            "bridge.gateway_mode_ipv6" => self.gateway_mode6 = gateway_mode(value)?,
            "bridge.trusted_host_interfaces" => {
                self.trusted = value.split(':').map(link_name).collect::<Result<_, _>>()?;
            }
            "host_ipv4" => self.host_ipv4 = Some(parsed(value)?),
            "host_ipv6" => self.host_ipv6 = Some(parsed(value)?),
            "bridge.default_bridge" | "bridge.inhibit_ipv4" => drop(yes_or_no(value)?),
            "parent" | "device" => self.parent = Some(link_name(value)?),
            "macvlan_mode" | "ipvlan_mode" | "mode" => self.mode = mode(network.driver, value)?,
            "ipvlan_flag" => self.flags = ipvlan_flag(value)?,
            "id" | "vxlan_id" | "driver.overlay.vxlanid_list" => self.vxlan.id = vxlan_id(value)?,
            "port" | "vxlan_port" => self.vxlan.port = parsed(value)?,
            "local" => self.vxlan.local = Some(parsed(value)?),
            "peers" => self.vxlan.peers = value.split(',').map(parsed).collect::<Result<_, _>>()?,
            "config" => self.cni = Some(value.to_owned()),
            // Others have options of their own, under names that say whose they are.
            other if other.contains('.') => {}
            _ => return Err("there is no such option".into()),
        }
        Ok(())
    }

    /// What the driver can't do without.
    fn check(&self, network: &Network) -> Result<()> {
        let missing = |what: &str| {
            Err(Error::InvalidConfig(format!("a network of driver {} needs {what}", network.driver.name())))
        };
        match network.driver {
            Driver::HostDevice if self.parent.is_none() => missing("-o parent=LINK, the host's device"),
            Driver::Vxlan if self.vxlan.id == 0 => missing("-o id=NUMBER, the same on all hosts"),
            Driver::Cni if self.cni.is_none() => missing("-o config=FILE, the plugins' configuration"),
            _ => Ok(()),
        }
    }

    /// The mode of a family's gateway.
    #[must_use]
    pub fn gateway_mode(&self, ipv6: bool) -> GatewayMode {
        if ipv6 { self.gateway_mode6 } else { self.gateway_mode4 }
    }
}

// include/uapi/linux/if_link.h
const MACVLAN_PRIVATE: u32 = 1;
const MACVLAN_VEPA: u32 = 2;
const MACVLAN_BRIDGE: u32 = 4;
const MACVLAN_PASSTHRU: u32 = 8;
const IPVLAN_F_PRIVATE: u16 = 1;
const IPVLAN_F_VEPA: u16 = 2;

fn mode(driver: Driver, value: &str) -> Result<u32, String> {
    match (driver, value) {
        (Driver::Macvlan, "bridge" | "") => Ok(MACVLAN_BRIDGE),
        (Driver::Macvlan, "private") => Ok(MACVLAN_PRIVATE),
        (Driver::Macvlan, "vepa") => Ok(MACVLAN_VEPA),
        (Driver::Macvlan, "passthru") => Ok(MACVLAN_PASSTHRU),
        (Driver::Macvlan, _) => Err("modes of macvlan are bridge, private, vepa and passthru".into()),
        (Driver::Ipvlan, "l2" | "") => Ok(0),
        (Driver::Ipvlan, "l3") => Ok(1),
        (Driver::Ipvlan, "l3s") => Ok(2),
        (Driver::Ipvlan, _) => Err("modes of ipvlan are l2, l3 and l3s".into()),
        (driver, _) => Err(format!("driver {} has no modes", driver.name())),
    }
}

fn ipvlan_flag(value: &str) -> Result<u16, String> {
    match value {
        "bridge" | "" => Ok(0),
        "private" => Ok(IPVLAN_F_PRIVATE),
        "vepa" => Ok(IPVLAN_F_VEPA),
        _ => Err("flags of ipvlan are bridge, private and vepa".into()),
    }
}

fn gateway_mode(value: &str) -> Result<GatewayMode, String> {
    match value {
        "nat" | "" => Ok(GatewayMode::Nat),
        "nat-unprotected" => Ok(GatewayMode::NatUnprotected),
        "routed" => Ok(GatewayMode::Routed),
        _ => Err("gateway modes are nat, nat-unprotected and routed".into()),
    }
}

/// What Go's strconv.ParseBool takes.
fn yes_or_no(value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("it is neither true nor false".into()),
    }
}

fn mtu(value: &str) -> Result<u32, String> {
    // IPv6 wants at least 1280; 68 is IPv4's least. The greatest is that of a veth.
    let mtu = value.parse().ok().filter(|mtu| (68..=65535).contains(mtu));
    mtu.ok_or_else(|| "an MTU is a number from 68 to 65535".into())
}

fn vxlan_id(value: &str) -> Result<u32, String> {
    let id = value.parse().ok().filter(|id| (1..VXLAN_IDS).contains(id));
    id.ok_or_else(|| format!("a VXLAN's number is from 1 to {}", VXLAN_IDS - 1))
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(value: &str) -> Result<T, String> {
    value.parse().map_err(|error: T::Err| error.to_string())
}

/// What the kernel takes as a link's name (dev_valid_name).
pub(crate) fn link_name(value: &str) -> Result<String, String> {
    let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    match value {
        "" | "." | ".." => Err("a link needs a name".into()),
        _ if value.len() > LONGEST_NAME => {
            Err(format!("a link's name has at most {LONGEST_NAME} bytes, this one has {}", value.len()))
        }
        _ if value.contains(bad) => Err("a link's name has neither spaces nor / nor :".into()),
        _ => Ok(value.to_owned()),
    }
}

/// Three digits must fit behind it.
fn prefix(value: &str) -> Result<String, String> {
    let name = link_name(value)?;
    if name.len() + 3 > LONGEST_NAME {
        return Err(format!("a prefix of links' names has at most {} bytes", LONGEST_NAME - 3));
    }
    Ok(name)
}
