//! Requests of rtnetlink(7) about addresses, routes and neighbours.

use std::net::{IpAddr, Ipv4Addr};

use namespace::netlink::{Netlink, Refusal, Request, attributes, number};

use crate::{Mac, Subnet};

// include/uapi/linux/if_addr.h
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 2;
// include/uapi/linux/rtnetlink.h
const RTPROT_STATIC: u8 = 4;
const RTPROT_KERNEL: u8 = 2;
const RT_TABLE_MAIN: u8 = 254;
const RT_TABLE_LOCAL: u8 = 255;
const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;
const RTA_PRIORITY: u16 = 6;
/// sizeof(struct rtmsg).
const ROUTE_HEADER: usize = 12;
// include/uapi/linux/neighbour.h
const NUD_PERMANENT: u16 = 0x80;
const NTF_SELF: u8 = 2;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;

fn family(address: IpAddr) -> u8 {
    (if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Gives a link an address. Nobody else can have an IPv6 address that was leased, so that it need not be asked for on
/// the link first, which would take a second (duplicate address detection).
pub(crate) fn add(link: u32, address: IpAddr, prefix: u8) -> Request {
    let [a, b, c, d] = link.to_ne_bytes();
    let header = [family(address), prefix, 0, libc::RT_SCOPE_UNIVERSE, a, b, c, d];
    let request = Request::new(libc::RTM_NEWADDR, &header).flags(libc::NLM_F_CREATE | libc::NLM_F_REPLACE);
    let request =
        request.attribute(libc::IFA_LOCAL, &octets(address)).attribute(libc::IFA_ADDRESS, &octets(address));
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            let broadcast = Ipv4Addr::from(u32::from(address) | mask);
            if prefix < 31 { request.attribute(libc::IFA_BROADCAST, &broadcast.octets()) } else { request }
        }
        IpAddr::V6(_) => request.number(IFA_FLAGS, IFA_F_NODAD),
    }
}

/// struct rtmsg: family, lengths, tos, table, protocol, scope, type, flags.
fn route(family: u8, prefix: u8, scope: u8) -> [u8; ROUTE_HEADER] {
    [family, prefix, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST, 0, 0, 0, 0]
}

/// A default route.
pub(crate) fn default_route(gateway: IpAddr, link: u32) -> Request {
    let header = route(family(gateway), 0, libc::RT_SCOPE_UNIVERSE);
    let request = Request::new(libc::RTM_NEWROUTE, &header).flags(libc::NLM_F_CREATE | libc::NLM_F_REPLACE);
    request.attribute(libc::RTA_GATEWAY, &octets(gateway)).number(libc::RTA_OIF, link)
}

/// The default route of a family that leads through a link, taken away.
pub(crate) fn no_default_route(gateway: IpAddr, link: u32) -> Request {
    let request = Request::new(libc::RTM_DELROUTE, &route(family(gateway), 0, libc::RT_SCOPE_NOWHERE));
    request.attribute(libc::RTA_GATEWAY, &octets(gateway)).number(libc::RTA_OIF, link)
}

/// A default route through a link itself: everything is asked for there (ipvlan in mode l3).
pub(crate) fn default_link(ipv6: bool, link: u32) -> Request {
    let family = (if ipv6 { libc::AF_INET6 } else { libc::AF_INET }) as u8;
    let scope = if ipv6 { libc::RT_SCOPE_UNIVERSE } else { libc::RT_SCOPE_LINK };
    let request = Request::new(libc::RTM_NEWROUTE, &route(family, 0, scope));
    request.flags(libc::NLM_F_CREATE | libc::NLM_F_REPLACE).number(libc::RTA_OIF, link)
}

/// ::1 is the host's for what comes by a link too: for answers of containers, whose address is translated back to it. What
/// is for ::1 on the wire the kernel drops all the same, before any rule. For its own packets the host takes the loopback
/// link, whose route has the better metric.
pub(crate) fn local_loopback(link: u32) -> Request {
    let header = [libc::AF_INET6 as u8, 128, 0, 0, RT_TABLE_LOCAL, RTPROT_STATIC, 0, RTN_LOCAL, 0, 0, 0, 0];
    let request = Request::new(libc::RTM_NEWROUTE, &header).flags(libc::NLM_F_CREATE);
    let request = request.attribute(libc::RTA_DST, &std::net::Ipv6Addr::LOCALHOST.octets());
    request.number(libc::RTA_OIF, link).number(RTA_PRIORITY, 1024)
}

/// An entry in a VXLAN's forwarding table: frames for anybody unknown go to this peer too.
pub(crate) fn vxlan_peer(link: u32, peer: IpAddr) -> Request {
    let mut header = [0; 12];
    header[0] = libc::AF_BRIDGE as u8;
    header[4..8].copy_from_slice(&link.to_ne_bytes());
    header[8..10].copy_from_slice(&NUD_PERMANENT.to_ne_bytes());
    header[10] = NTF_SELF;
    let request = Request::new(libc::RTM_NEWNEIGH, &header).flags(libc::NLM_F_CREATE | libc::NLM_F_APPEND);
    request.attribute(NDA_LLADDR, &Mac([0; 6]).0).attribute(NDA_DST, &octets(peer))
}

/// A route of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub to: Subnet,
    /// The link that it leads through.
    pub link: u32,
    pub metric: u32,
    pub gateway: Option<IpAddr>,
    /// Made by the kernel along with an address.
    pub of_address: bool,
}

/// The routes to other hosts, of all tables, default routes among them.
pub(crate) fn routes(netlink: &Netlink) -> Result<Vec<Route>, Refusal> {
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut header = [0; ROUTE_HEADER];
        header[0] = family as u8;
        let all = netlink.list(&Request::new(libc::RTM_GETROUTE, &header))?;
        found.extend(all.iter().filter_map(|body| parse_route(body)));
    }
    Ok(found)
}

fn parse_route(body: &[u8]) -> Option<Route> {
    let &[family, prefix, _, _, _, protocol, _, kind, ..] = body.first_chunk::<ROUTE_HEADER>()?;
    let any = if i32::from(family) == libc::AF_INET { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
    let mut route = Route {
        to: Subnet::around(any, prefix)?,
        link: 0,
        metric: 0,
        gateway: None,
        of_address: protocol == RTPROT_KERNEL,
    };
    for (kind, value) in attributes(body, ROUTE_HEADER) {
        match kind {
            libc::RTA_DST => route.to = Subnet::around(address(value)?, prefix)?,
            libc::RTA_GATEWAY => route.gateway = address(value),
            libc::RTA_OIF => route.link = number(value)?,
            RTA_PRIORITY => route.metric = number(value)?,
            _ => {}
        }
    }
    (kind == RTN_UNICAST).then_some(route)
}

fn address(value: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(value)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from))
        .ok()
}
