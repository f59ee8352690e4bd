//! Who has which port of the host.
//!
//! ```text
//! RUN/network/ports/lock                        held while ports are reserved
//! RUN/network/ports/tcp/8080/0.0.0.0            leads to the container
//! RUN/network/ports/tcp-ranges/8000-8999@::     the same for many ports at once
//! ```
//! Ports are told apart by family, protocol and number; two that differ in the host's address alone get along unless one
//! of them is every address. What processes of the host listen on is found by trying to bind it, which fails for them
//! and for other engines alike.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::disk::{self, Lock};
use crate::endpoint::{PortRequest, Protocol, PublishedPorts};
use crate::listeners;
use crate::{Error, Networks, Result};

/// More than so many ports are one entry, and one lookup of who listens.
const MANY: u16 = 16;
/// So often is the kernel asked for a port that nobody has.
const TRIES: u32 = 64;

impl PublishedPorts {
    fn last(&self) -> u16 {
        self.host.saturating_add(self.count.saturating_sub(1))
    }

    fn collides(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.host <= other.last()
            && other.host <= self.last()
            && same_address(self.host_ip, other.host_ip)
    }
}

/// Whether a socket could not have one while another has the other.
fn same_address(one: IpAddr, other: IpAddr) -> bool {
    one == other || one.is_ipv4() == other.is_ipv4() && (one.is_unspecified() || other.is_unspecified())
}

impl Networks {
    /// Reserves all ports that a container publishes, and adds them to `published` as it goes. `families` says whether
    /// the container has a way out by IPv4, and by IPv6.
    pub(crate) fn reserve_all(
        &self,
        requests: &[PortRequest],
        binding: Option<IpAddr>,
        families: [bool; 2],
        owner: &str,
        published: &mut Vec<PublishedPorts>,
    ) -> Result<()> {
        let _lock = Lock::take(self.run().join("ports").join("lock"))?;
        for request in requests {
            check(request)?;
            let addresses = addresses(request.host_ip.or(binding), families);
            if addresses.is_empty() {
                let why = format!("the container has no address of the family of {:?}", request.host_ip);
                return Err(Error::InvalidPorts(why));
            }
            let candidates = match (request.host, request.host_last) {
                (Some(first), Some(last)) if last > first && request.count == 1 => {
                    Candidates::Among(first..=last)
                }
                (Some(first), _) => Candidates::One(first),
                (None, _) => Candidates::Any,
            };
            for ports in self.reserve_one(request, &addresses, candidates, owner)? {
                let twice = published.iter().any(|other| other.collides(&ports));
                published.push(ports);
                if twice {
                    let why =
                        format!("port {}/{} of the host is published twice", ports.host, ports.protocol);
                    return Err(Error::InvalidPorts(why));
                }
            }
        }
        Ok(())
    }

    /// Reserves the same ports on all of `addresses`.
    fn reserve_one(
        &self,
        request: &PortRequest,
        addresses: &[IpAddr],
        candidates: Candidates,
        owner: &str,
    ) -> Result<Vec<PublishedPorts>> {
        let wanted = |host: u16| -> Vec<PublishedPorts> {
            let one = |host_ip: &IpAddr| PublishedPorts {
                host_ip: *host_ip,
                host,
                container: request.container,
                count: request.count,
                protocol: request.protocol,
            };
            addresses.iter().map(one).collect()
        };
        let attempt = |host: u16| {
            let ports = wanted(host);
            self.try_reserve(&ports, owner).map(|()| ports)
        };
        match candidates {
            Candidates::One(host) => attempt(host),
            Candidates::Among(mut range) => {
                let mut last = Err(Error::NoFreePort { protocol: request.protocol });
                let _ = range.find(|host| {
                    last = attempt(*host);
                    !matches!(last, Err(Error::PortTaken { .. }))
                });
                last
            }
            Candidates::Any => {
                for _ in 0..TRIES {
                    let first = free_port(addresses[0], request.protocol)?;
                    if u32::from(first) + u32::from(request.count) > 1 << 16 {
                        continue;
                    }
                    match attempt(first) {
                        Err(Error::PortTaken { .. }) => {}
                        other => return other,
                    }
                }
                Err(Error::NoFreePort { protocol: request.protocol })
            }
        }
    }

    /// Reserves all of `ports` or none.
    fn try_reserve(&self, ports: &[PublishedPorts], owner: &str) -> Result<()> {
        for wanted in ports {
            if let Some((port, holder)) = self.holder(wanted, owner)? {
                let holder = Some(format!("container {}", crate::error::short(&holder)));
                return Err(taken(wanted, port, holder));
            }
            if let Some(port) = listened(wanted)? {
                return Err(taken(wanted, port, listeners::find(wanted.host_ip, port, wanted.protocol)));
            }
        }
        ports
            .iter()
            .try_for_each(|ports| self.entries(ports).try_for_each(|path| disk::note(&path, owner).map(drop)))
    }

    /// The other container that has one of the ports, and which one.
    fn holder(&self, wanted: &PublishedPorts, owner: &str) -> Result<Option<(u16, String)>> {
        let mut rivals = self.ranges(wanted.protocol)?;
        if wanted.count <= MANY {
            for port in wanted.host..=wanted.last() {
                rivals.extend(self.singles(wanted.protocol, port)?);
            }
        } else {
            for name in disk::names(&self.ports_dir(wanted.protocol, ""))? {
                if let Some(port) =
                    name.parse().ok().filter(|port| (wanted.host..=wanted.last()).contains(port))
                {
                    rivals.extend(self.singles(wanted.protocol, port)?);
                }
            }
        }
        for (rival, path) in rivals.into_iter().filter(|(rival, _)| rival.collides(wanted)) {
            match disk::noted(&path)? {
                Some(holder) if holder == owner => {}
                Some(holder) if (self.alive())(&holder) => {
                    return Ok(Some((rival.host.max(wanted.host), holder)));
                }
                // Of a container that is no more.
                _ => disk::remove(&path)?,
            }
        }
        Ok(None)
    }

    fn singles(&self, protocol: Protocol, port: u16) -> Result<Vec<(PublishedPorts, PathBuf)>> {
        let dir = self.ports_dir(protocol, "").join(port.to_string());
        let names = disk::names(&dir)?;
        let parse = |name: &String| Some((published(name.parse().ok()?, port, 1, protocol), dir.join(name)));
        Ok(names.iter().filter_map(parse).collect())
    }

    fn ranges(&self, protocol: Protocol) -> Result<Vec<(PublishedPorts, PathBuf)>> {
        let dir = self.ports_dir(protocol, "-ranges");
        let parse = |name: &String| {
            let (range, address) = name.split_once('@')?;
            let (first, last) = range.split_once('-')?;
            let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
            let count = last.checked_sub(first)?.checked_add(1)?;
            Some((published(address.parse().ok()?, first, count, protocol), dir.join(name)))
        };
        Ok(disk::names(&dir)?.iter().filter_map(parse).collect())
    }

    /// Gives ports back.
    pub(crate) fn release_ports(&self, ports: &[PublishedPorts], owner: &str) -> Result<()> {
        for path in ports.iter().flat_map(|ports| self.entries(ports).collect::<Vec<_>>()) {
            if disk::noted(&path)?.is_some_and(|holder| holder == owner) {
                disk::remove(&path)?;
                path.parent().map_or(Ok(()), disk::remove_empty)?;
            }
        }
        Ok(())
    }

    /// Gives back what those have who may not keep it.
    pub(crate) fn reclaim_ports(&self, may_keep: &dyn Fn(&str) -> bool) -> Result<()> {
        let _lock = Lock::take(self.run().join("ports").join("lock"))?;
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
            let mut entries = self.ranges(protocol)?;
            for name in disk::names(&self.ports_dir(protocol, ""))? {
                if let Ok(port) = name.parse() {
                    entries.extend(self.singles(protocol, port)?);
                }
            }
            for (_, path) in entries {
                if disk::noted(&path)?.is_none_or(|holder| !may_keep(&holder)) {
                    disk::remove(&path)?;
                    path.parent().map_or(Ok(()), disk::remove_empty)?;
                }
            }
        }
        Ok(())
    }

    fn entries(&self, ports: &PublishedPorts) -> impl Iterator<Item = PathBuf> + use<> {
        let (singles, ranges) =
            (self.ports_dir(ports.protocol, ""), self.ports_dir(ports.protocol, "-ranges"));
        let PublishedPorts { host_ip, host, count, .. } = *ports;
        let range = (count > MANY).then(|| ranges.join(format!("{host}-{}@{host_ip}", ports.last())));
        let numbers = if count > MANY { None } else { Some(host..=ports.last()) };
        let single = move |port: u16| singles.join(port.to_string()).join(host_ip.to_string());
        range.into_iter().chain(numbers.into_iter().flatten().map(single))
    }

    fn ports_dir(&self, protocol: Protocol, suffix: &str) -> PathBuf {
        self.run().join("ports").join(format!("{protocol}{suffix}"))
    }
}

/// Where a port of the host comes from.
enum Candidates {
    One(u16),
    Among(std::ops::RangeInclusive<u16>),
    Any,
}

fn published(host_ip: IpAddr, host: u16, count: u16, protocol: Protocol) -> PublishedPorts {
    PublishedPorts { host_ip, host, container: host, count, protocol }
}

fn check(request: &PortRequest) -> Result<()> {
    let invalid = |why: String| Err(Error::InvalidPorts(why));
    let fits = |first: u16| u32::from(first) + u32::from(request.count) <= 1 << 16;
    if request.container == 0 || request.count == 0 {
        return invalid("ports are numbered from 1 on".into());
    }
    if !fits(request.container) || request.host.is_some_and(|host| !fits(host)) {
        return invalid(format!("{} ports from {} on go beyond 65535", request.count, request.container));
    }
    Ok(())
}

/// The addresses of the host that a port is published on.
fn addresses(asked: Option<IpAddr>, [ipv4, ipv6]: [bool; 2]) -> Vec<IpAddr> {
    let any = [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)];
    let possible = |address: &IpAddr| if address.is_ipv4() { ipv4 } else { ipv6 };
    asked.map_or_else(|| any.to_vec(), |address| vec![address]).into_iter().filter(possible).collect()
}

fn taken(wanted: &PublishedPorts, port: u16, holder: Option<String>) -> Error {
    Error::PortTaken { address: wanted.host_ip, port, protocol: wanted.protocol, holder }
}

/// The first of the ports that somebody on the host listens on.
fn listened(wanted: &PublishedPorts) -> Result<Option<u16>> {
    if wanted.count > MANY {
        let used = listeners::ports(wanted.host_ip, wanted.protocol);
        return Ok(used.into_iter().find(|port| (wanted.host..=wanted.last()).contains(port)));
    }
    for port in wanted.host..=wanted.last() {
        match bind(wanted.host_ip, port, wanted.protocol) {
            Ok(_) => {}
            Err(Errno::ADDRINUSE) => return Ok(Some(port)),
            Err(Errno::ADDRNOTAVAIL) => {
                let why = format!("the host has no address {}", wanted.host_ip);
                return Err(Error::InvalidPorts(why));
            }
            Err(Errno::ACCESS) => {
                let why = format!(
                    "port {port} of the host is root's: publish a higher one, or as root, sysctl -w \
                     net.ipv4.ip_unprivileged_port_start={port}"
                );
                return Err(Error::InvalidPorts(why));
            }
            // The host does not speak that protocol: then nobody listens.
            Err(Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT | Errno::SOCKTNOSUPPORT) => {}
            Err(errno) => {
                let address = SocketAddr::new(wanted.host_ip, port);
                return Err(Error::kernel("bind", format!("{address}/{}", wanted.protocol), errno));
            }
        }
    }
    Ok(None)
}

/// A port that nobody listens on, by the kernel's choice.
fn free_port(address: IpAddr, protocol: Protocol) -> Result<u16> {
    let failed = |errno| Error::kernel("find a free port of", format!("{address}/{protocol}"), errno);
    let socket = bind(address, 0, protocol).map_err(failed)?;
    let bound = rustix::net::getsockname(&socket).map_err(failed)?;
    let bound = SocketAddr::try_from(bound).map_err(failed)?;
    Ok(bound.port())
}

fn bind(address: IpAddr, port: u16, protocol: Protocol) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, protocol) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, rustix::net::ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, rustix::net::ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, rustix::net::ipproto::SCTP),
    };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol))?;
    if kind == SocketType::STREAM {
        // Connections of somebody who is gone are no obstacle; who listens is one.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &SocketAddr::new(address, port))?;
    Ok(socket)
}
