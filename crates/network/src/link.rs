//! Requests of rtnetlink(7) about links: made here, sent by who needs them, so that several travel in one send.

use std::os::fd::{AsRawFd, BorrowedFd};

use namespace::netlink::{Netlink, Refusal, Request, attributes, number, text};
use rustix::io::Errno;

use crate::Mac;

/// sizeof(struct ifinfomsg).
const HEADER: usize = 16;
/// The longest name of a link: IFNAMSIZ less its NUL.
pub(crate) const LONGEST_NAME: usize = 15;

// include/uapi/linux/if_link.h, veth.h
const IFLA_LINK: u16 = 5;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
const VETH_INFO_PEER: u16 = 1;
const IFLA_BR_STP_STATE: u16 = 5;
const IFLA_BR_MCAST_SNOOPING: u16 = 23;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_BRPORT_ISOLATED: u16 = 33;
const IFLA_MACVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_FLAGS: u16 = 2;
const IFLA_VLAN_ID: u16 = 1;
const IFLA_VXLAN_ID: u16 = 1;
const IFLA_VXLAN_LOCAL: u16 = 4;
const IFLA_VXLAN_LEARNING: u16 = 7;
const IFLA_VXLAN_PORT: u16 = 15;
const IFLA_VXLAN_LOCAL6: u16 = 17;
const IFLA_STATS64: u16 = 23;

/// A link as the kernel tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub index: u32,
    pub name: String,
    /// bridge, veth, …; empty for loopback and hardware.
    pub kind: String,
    pub up: bool,
    pub mtu: u32,
    pub master: Option<u32>,
    pub mac: Vec<u8>,
    /// What somebody noted about it.
    pub alias: String,
    pub traffic: Traffic,
}

/// What went through a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[allow(missing_docs)]
pub struct Traffic {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
}

impl Link {
    /// The link of that name.
    pub fn find(netlink: &Netlink, name: &str) -> Result<Self, Refusal> {
        let request = Request::new(libc::RTM_GETLINK, &header(0, 0, 0)).text(libc::IFLA_IFNAME, name);
        Self::parse(&netlink.get(&request)?).ok_or_else(|| Errno::PROTO.into())
    }

    /// The link of that name, where there is one.
    pub fn look_for(netlink: &Netlink, name: &str) -> Result<Option<Self>, Refusal> {
        match Self::find(netlink, name) {
            Err(refusal) if refusal.errno == Errno::NODEV => Ok(None),
            other => other.map(Some),
        }
    }

    /// All links of the socket's network namespace.
    pub fn list(netlink: &Netlink) -> Result<Vec<Self>, Refusal> {
        let all = netlink.list(&Request::new(libc::RTM_GETLINK, &header(0, 0, 0)))?;
        Ok(all.iter().filter_map(|body| Self::parse(body)).collect())
    }

    fn parse(body: &[u8]) -> Option<Self> {
        let mut link = Self {
            index: number(body.get(4..)?)?,
            up: number(body.get(8..)?)? & up_flag() != 0,
            ..Self::default()
        };
        for (kind, value) in attributes(body, HEADER) {
            match kind {
                libc::IFLA_IFNAME => link.name = text(value),
                libc::IFLA_ADDRESS => link.mac = value.to_vec(),
                libc::IFLA_IFALIAS => link.alias = text(value),
                libc::IFLA_MTU => link.mtu = number(value)?,
                libc::IFLA_MASTER => link.master = number(value),
                libc::IFLA_LINKINFO => {
                    let mut info = attributes(value, 0);
                    let kind = info.find(|(kind, _)| *kind == IFLA_INFO_KIND);
                    link.kind = kind.map(|(_, value)| text(value)).unwrap_or_default();
                }
                IFLA_STATS64 => link.traffic = Traffic::parse(value),
                _ => {}
            }
        }
        Some(link)
    }
}

impl Traffic {
    /// The same as the other end of a veth pair counts it.
    pub(crate) fn other_end(self) -> Self {
        Self {
            rx_packets: self.tx_packets,
            tx_packets: self.rx_packets,
            rx_bytes: self.tx_bytes,
            tx_bytes: self.rx_bytes,
            rx_errors: self.tx_errors,
            tx_errors: self.rx_errors,
            rx_dropped: self.tx_dropped,
            tx_dropped: self.rx_dropped,
        }
    }

    /// struct rtnl_link_stats64 begins with these.
    fn parse(value: &[u8]) -> Self {
        let at = |place: usize| {
            let bytes = value.get(place * 8..).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
        };
        Self {
            rx_packets: at(0),
            tx_packets: at(1),
            rx_bytes: at(2),
            tx_bytes: at(3),
            rx_errors: at(4),
            tx_errors: at(5),
            rx_dropped: at(6),
            tx_dropped: at(7),
        }
    }
}

fn up_flag() -> u32 {
    libc::IFF_UP as u32
}

/// struct ifinfomsg: family, padding, type, index, flags, which flags to change.
fn header(index: u32, flags: u32, change: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..].copy_from_slice(&change.to_ne_bytes());
    header
}

/// A request for a new link, which is up at once.
fn new(name: &str) -> Request {
    let header = header(0, up_flag(), up_flag());
    let request = Request::new(libc::RTM_NEWLINK, &header).flags(libc::NLM_F_CREATE | libc::NLM_F_EXCL);
    request.text(libc::IFLA_IFNAME, name)
}

fn info(request: Request, kind: &str, data: impl FnOnce(Request) -> Request) -> Request {
    request.nested(libc::IFLA_LINKINFO, |info| info.text(IFLA_INFO_KIND, kind).nested(IFLA_INFO_DATA, data))
}

/// A bridge without STP: containers are no loop, and STP would keep a new port silent for 30 seconds. Its hardware
/// address is fixed, since it would else change with its ports and go stale in every container's neighbour table.
///
/// It is down.
pub(crate) fn bridge(name: &str, mac: Mac, mtu: u32) -> Request {
    let request =
        Request::new(libc::RTM_NEWLINK, &header(0, 0, 0)).flags(libc::NLM_F_CREATE | libc::NLM_F_EXCL);
    let request = request.text(libc::IFLA_IFNAME, name);
    let request = request.attribute(libc::IFLA_ADDRESS, &mac.0).number(libc::IFLA_MTU, mtu);
    info(request, "bridge", |data| {
        // Snooping would drop multicast, IPv6 neighbour discovery first of all, where nobody sends queries.
        data.number(IFLA_BR_STP_STATE, 0).attribute(IFLA_BR_MCAST_SNOOPING, &[0])
    })
}

/// A veth pair: one end is a port of a bridge, the other is born in the container's network namespace.
pub(crate) struct Veth<'a> {
    pub name: &'a str,
    pub master: u32,
    pub mtu: u32,
    pub peer: &'a str,
    pub peer_mac: Mac,
    pub peer_namespace: BorrowedFd<'a>,
}

impl Veth<'_> {
    /// Everything in one request: the pair, its places, the host's end up.
    pub fn request(&self) -> Request {
        let namespace = self.peer_namespace.as_raw_fd().to_ne_bytes();
        let request = new(self.name).number(libc::IFLA_MASTER, self.master).number(libc::IFLA_MTU, self.mtu);
        info(request, "veth", |data| {
            data.nested(VETH_INFO_PEER, |peer| {
                // Its other half is not there yet when the peer is made: it can't be up (ENOTCONN).
                peer.raw(&header(0, 0, 0))
                    .text(libc::IFLA_IFNAME, self.peer)
                    .attribute(libc::IFLA_ADDRESS, &self.peer_mac.0)
                    .number(libc::IFLA_MTU, self.mtu)
                    .attribute(libc::IFLA_NET_NS_FD, &namespace)
            })
        })
    }
}

/// A macvlan of the link with index `parent`, born in a container's network namespace.
pub(crate) fn macvlan(
    name: &str,
    parent: u32,
    mode: u32,
    mac: Mac,
    mtu: Option<u32>,
    namespace: BorrowedFd<'_>,
) -> Request {
    let request = child(name, parent, mtu, namespace).attribute(libc::IFLA_ADDRESS, &mac.0);
    info(request, "macvlan", |data| data.number(IFLA_MACVLAN_MODE, mode))
}

/// An ipvlan of the link with index `parent`, born in a container's network namespace.
pub(crate) fn ipvlan(
    name: &str,
    parent: u32,
    mode: u16,
    flags: u16,
    mtu: Option<u32>,
    namespace: BorrowedFd<'_>,
) -> Request {
    info(child(name, parent, mtu, namespace), "ipvlan", |data| {
        data.attribute(IFLA_IPVLAN_MODE, &mode.to_ne_bytes())
            .attribute(IFLA_IPVLAN_FLAGS, &flags.to_ne_bytes())
    })
}

fn child(name: &str, parent: u32, mtu: Option<u32>, namespace: BorrowedFd<'_>) -> Request {
    let request = new(name).number(IFLA_LINK, parent);
    let request = request.attribute(libc::IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
    mtu.into_iter().fold(request, |request, mtu| request.number(libc::IFLA_MTU, mtu))
}

/// A VXLAN port of a bridge; whom it sends to is told by entries in its forwarding table.
pub(crate) fn vxlan(
    name: &str,
    id: u32,
    port: u16,
    local: Option<std::net::IpAddr>,
    master: u32,
    mtu: u32,
) -> Request {
    let request = new(name).number(libc::IFLA_MASTER, master).number(libc::IFLA_MTU, mtu);
    info(request, "vxlan", |data| {
        let data = data.number(IFLA_VXLAN_ID, id).attribute(IFLA_VXLAN_PORT, &port.to_be_bytes());
        let data = data.attribute(IFLA_VXLAN_LEARNING, &[1]);
        match local {
            Some(std::net::IpAddr::V4(local)) => data.attribute(IFLA_VXLAN_LOCAL, &local.octets()),
            Some(std::net::IpAddr::V6(local)) => data.attribute(IFLA_VXLAN_LOCAL6, &local.octets()),
            None => data,
        }
    })
}

/// How a port of a bridge behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PortMode {
    /// It does not talk to other isolated ports.
    pub isolated: bool,
    /// A frame may leave by the port that it came in by.
    pub hairpin: bool,
}

/// Sets how a port of a bridge behaves.
pub(crate) fn port_mode(index: u32, mode: PortMode) -> Request {
    let mut header = header(index, 0, 0);
    header[0] = libc::AF_BRIDGE as u8;
    Request::new(libc::RTM_SETLINK, &header).nested(libc::IFLA_PROTINFO, |port| {
        port.attribute(IFLA_BRPORT_MODE, &[mode.hairpin.into()])
            .attribute(IFLA_BRPORT_ISOLATED, &[mode.isolated.into()])
    })
}

/// Notes something about the link of that name, which the kernel takes of none that is just being made.
pub(crate) fn alias(name: &str, alias: &str) -> Request {
    let request = Request::new(libc::RTM_NEWLINK, &header(0, 0, 0)).text(libc::IFLA_IFNAME, name);
    request.text(libc::IFLA_IFALIAS, alias)
}

/// Sets a link up.
pub(crate) fn up(index: u32) -> Request {
    Request::new(libc::RTM_NEWLINK, &header(index, up_flag(), up_flag()))
}

/// Makes a link a bridge's port, and sets it up.
pub(crate) fn plug(index: u32, bridge: u32) -> Request {
    Request::new(libc::RTM_NEWLINK, &header(index, up_flag(), up_flag())).number(libc::IFLA_MASTER, bridge)
}

/// Takes a bridge's port away from it, and sets it down: nothing goes through it any more.
pub(crate) fn unplug(name: &str) -> Request {
    let request = Request::new(libc::RTM_NEWLINK, &header(0, 0, up_flag())).text(libc::IFLA_IFNAME, name);
    request.number(libc::IFLA_MASTER, 0)
}

/// Gives a link no address of its own accord: a bridge's port needs none.
pub(crate) fn without_link_local(index: u32) -> Request {
    Request::new(libc::RTM_NEWLINK, &header(index, 0, 0)).nested(libc::IFLA_AF_SPEC, |families| {
        families.nested(libc::AF_INET6 as u16, |inet6| {
            inet6.attribute(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE])
        })
    })
}

/// Moves a link into another network namespace, under another name.
pub(crate) fn relocate(index: u32, to: BorrowedFd<'_>, name: &str) -> Request {
    let request = Request::new(libc::RTM_NEWLINK, &header(index, 0, 0));
    request.attribute(libc::IFLA_NET_NS_FD, &to.as_raw_fd().to_ne_bytes()).text(libc::IFLA_IFNAME, name)
}

/// Removes the link of that name.
pub(crate) fn delete(name: &str) -> Request {
    Request::new(libc::RTM_DELLINK, &header(0, 0, 0)).text(libc::IFLA_IFNAME, name)
}

/// A VLAN of the link with index `parent`.
pub(crate) fn vlan(name: &str, parent: u32, id: u16) -> Request {
    info(new(name).number(IFLA_LINK, parent), "vlan", |data| data.attribute(IFLA_VLAN_ID, &id.to_ne_bytes()))
}
