//! The links (interfaces) of a network namespace, and the other ends of its veth pairs.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use namespace::netlink::{self, Netlink, Request};
use namespace::{FileError, Kind, NamespaceFile};
use serde::Serialize;

use crate::printable;

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// veth, bridge, …; none for loopback and hardware.
    pub kind: Option<String>,
    pub up: bool,
    pub address: String,
    /// The bridge or bond that it is a part of.
    pub master: Option<u32>,
    /// The other end, for a veth.
    pub peer: Option<Peer>,
    #[serde(skip)]
    peer_index: Option<u32>,
    /// What the namespace of the other end is called in this one; none where it is this one.
    #[serde(skip)]
    peer_namespace: Option<u32>,
}

/// The other end of a veth pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Peer {
    pub ns: u64,
    pub name: String,
}

/// The links of several network namespaces, by inode.
pub type Links = BTreeMap<u64, Vec<Link>>;

// include/uapi/linux/rtnetlink.h, if_link.h and net_namespace.h
const RTM_GETLINK: u16 = 18;
const RTM_GETNSID: u16 = 90;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_INFO_KIND: u16 = 1;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
const IFF_UP: u32 = 1;

/// The size of `struct ifinfomsg` and `struct rtgenmsg` with its padding.
const IFINFOMSG: usize = 16;
const RTGENMSG: usize = 4;

/// Runs `work` inside a network namespace and comes back.
fn inside<Answer>(
    file: &NamespaceFile,
    work: impl FnOnce() -> io::Result<Answer>,
) -> Result<io::Result<Answer>, FileError> {
    let home = NamespaceFile::of_self(Kind::Net)?;
    file.enter()?;
    let answer = work();
    home.enter()?;
    Ok(answer)
}

/// The links of each of these namespaces with their peers; those that may not be entered are left out. The calling
/// thread visits them one after the other.
pub fn of(namespaces: &BTreeMap<u64, NamespaceFile>) -> Links {
    let mut sockets = BTreeMap::new();
    let mut links = Links::new();
    for (&inode, file) in namespaces {
        if let Ok(Ok((socket, found))) = inside(file, list) {
            sockets.insert(inode, socket);
            links.insert(inode, found);
        }
    }
    let peers: Vec<(u64, usize, Peer)> = links
        .iter()
        .flat_map(|(&inode, own)| own.iter().enumerate().map(move |(position, link)| (inode, position, link)))
        .filter_map(|(inode, position, link)| {
            let socket = sockets.get(&inode)?;
            Some((inode, position, peer(inode, link, &links, socket, namespaces)?))
        })
        .collect();
    for (inode, position, peer) in peers {
        if let Some(link) = links.get_mut(&inode).and_then(|own| own.get_mut(position)) {
            link.peer = Some(peer);
        }
    }
    links
}

fn list() -> io::Result<(Netlink, Vec<Link>)> {
    let all = |socket: &Netlink| socket.list(&Request::new(RTM_GETLINK, &[0; IFINFOMSG]));
    let socket = Netlink::open().map_err(|refusal| io::Error::from(refusal.errno))?;
    let answers = all(&socket).map_err(|refusal| io::Error::from(refusal.errno))?;
    let mut links: Vec<Link> = answers.iter().filter_map(|answer| parse(answer)).collect();
    links.sort_by_key(|link| link.index);
    Ok((socket, links))
}

fn parse(payload: &[u8]) -> Option<Link> {
    let header = payload.get(..IFINFOMSG)?;
    let mut link = Link {
        index: netlink::number(&header[4..])?,
        name: String::new(),
        kind: None,
        up: netlink::number(&header[8..])? & IFF_UP != 0,
        address: String::new(),
        master: None,
        peer: None,
        peer_index: None,
        peer_namespace: None,
    };
    for (kind, value) in netlink::attributes(payload, IFINFOMSG) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_ADDRESS => {
                link.address = value.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
            }
            IFLA_MASTER => link.master = netlink::number(value),
            IFLA_LINK => link.peer_index = netlink::number(value),
            IFLA_LINK_NETNSID => link.peer_namespace = netlink::number(value),
            IFLA_LINKINFO => {
                let mut info = netlink::attributes(value, 0);
                link.kind = info.find(|(kind, _)| *kind == IFLA_INFO_KIND).map(|(_, value)| text(value));
            }
            _ => {}
        }
    }
    Some(link)
}

fn text(value: &[u8]) -> String {
    printable(value.strip_suffix(b"\0").unwrap_or(value))
}

/// The other end of a veth. Indexes repeat from namespace to namespace, so that those which could be it are asked
/// for their name (a number) in the link's own namespace.
fn peer(
    inode: u64,
    link: &Link,
    links: &Links,
    socket: &Netlink,
    namespaces: &BTreeMap<u64, NamespaceFile>,
) -> Option<Peer> {
    if link.kind.as_deref() != Some("veth") {
        return None;
    }
    let other = |candidates: &[Link]| {
        let pair = |candidate: &&Link| {
            Some(candidate.index) == link.peer_index && candidate.peer_index == Some(link.index)
        };
        candidates.iter().find(pair).map(|candidate| candidate.name.clone())
    };
    let Some(wanted) = link.peer_namespace else {
        return Some(Peer { ns: inode, name: other(links.get(&inode)?)? });
    };
    links.iter().filter(|(ns, _)| **ns != inode).find_map(|(&ns, candidates)| {
        let name = other(candidates)?;
        (namespace_number(socket, namespaces.get(&ns)?)? == wanted).then_some(Peer { ns, name })
    })
}

/// What `file` is called in the socket's network namespace.
fn namespace_number(socket: &Netlink, file: &NamespaceFile) -> Option<u32> {
    let fd = u32::try_from(file.as_fd().as_raw_fd()).ok()?;
    let answer = socket.get(&Request::new(RTM_GETNSID, &[0; RTGENMSG]).number(NETNSA_FD, fd)).ok()?;
    let mut attributes = netlink::attributes(&answer, RTGENMSG);
    attributes.find(|(kind, _)| *kind == NETNSA_NSID).and_then(|(_, value)| netlink::number(value))
}
