//! The network of an ordinary user's container: a program that lives beside it is its way out, and where it is in networks
//! with others, their bridges are in a network namespace of the user's.
//!
//! Whoever enters that namespace can't come back to the host's, where the program's sockets have to be. So what is done
//! among the bridges, a child does that ends with it ([`among_bridges`]).

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use ::network::{Attachment, Networks, PublishedPorts, Resolver, UserMode, UserNetwork, UserRequest};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdGetfdFlags, WaitId, WaitIdOptions, pidfd_getfd};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sys::process::{CloneFlags, Cloned};

use crate::config::EndpointSettings;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::files;
use crate::launch::About;
use crate::network::{Connected, listed, ports};
use crate::paths::Paths;
use crate::spec::{Host, Places};

/// The program that connects a container of an ordinary user, where one does.
pub(crate) fn mode(container: &Container) -> Option<UserMode> {
    UserMode::named(&container.asked.host_config.network_mode)
}

/// Writes a container's first process down among those who are in the user's namespaces.
pub(crate) fn note_member(pid: Pid) -> Result<()> {
    Ok(rootless::Members::lock(&Paths::run_of_user())?.add_payload(pid)?)
}

/// Does something in the network namespace that has the networks' bridges: the host's, which is our own, for root; the
/// user's, in a child, for everybody else.
pub(crate) fn among_bridges<T: Serialize + DeserializeOwned>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    if rootless::current().is_none() {
        return work();
    }
    in_child(work, |answer, _| Ok(answer))
}

/// The resolver of a container, where it needs one. Its sockets are the container's, what it asks others is ours.
pub(crate) fn resolver(
    networks: &Networks,
    attachment: &Attachment,
    namespace: BorrowedFd<'_>,
) -> Result<Option<Resolver>> {
    if rootless::current().is_none() {
        return Ok(Resolver::open(networks, attachment, namespace)?);
    }
    if !Resolver::is_needed(networks, attachment) {
        return Ok(None);
    }
    let mut opened = None;
    let open = || {
        opened = Resolver::open(networks, attachment, namespace)?;
        Ok(opened.as_ref().map(|resolver| resolver.sockets().map(|socket| socket.as_raw_fd())))
    };
    let sockets = in_child(open, |numbers, child| {
        let copy = |number| pidfd_getfd(child, number, PidfdGetfdFlags::empty());
        let copies = numbers.map(|[udp, tcp]| Ok((copy(udp)?, copy(tcp)?))).transpose();
        copies.map_err(|errno: Errno| Error::io("take", "the resolver's sockets", errno))
    })?;
    Ok(sockets.map(|(udp, tcp)| Resolver::with(networks, attachment, udp, tcp)).transpose()?)
}

/// Has a child of ours enter the user's network namespace and do `work` there; it lives until `take` has made something
/// of its answer. We have one thread.
fn in_child<T: Serialize + DeserializeOwned, U>(
    work: impl FnOnce() -> Result<T>,
    take: impl FnOnce(T, BorrowedFd<'_>) -> Result<U>,
) -> Result<U> {
    let fail = |error| Error::io("work in", "the network namespace of this user", error);
    let (mut ours, mut theirs) = UnixStream::pair().map_err(fail)?;
    let Cloned::Parent { pidfd, .. } = sys::process::clone(CloneFlags::empty(), None).map_err(fail)? else {
        drop(ours);
        let done = rootless::enter_network(&Paths::run_of_user()).map_err(Error::from).and_then(|()| work());
        let answer = serde_json::to_vec(&done.map_err(|error| crate::attend::sentence(&error)));
        let said = answer.is_ok_and(|answer| theirs.write_all(&answer).is_ok());
        let _ = theirs.shutdown(Shutdown::Write);
        // What the parent takes is there until it has.
        let _ = theirs.read(&mut [0; 1]);
        sys::process::exit_now(u8::from(!said).into());
    };
    drop(theirs);
    let mut text = Vec::new();
    let read = ours.read_to_end(&mut text).map_err(fail);
    let taken = read.and_then(|_| {
        let answer: std::result::Result<T, String> = serde_json::from_slice(&text)
            .map_err(|error| fail(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, error)))?;
        take(answer.map_err(Error::Unavailable)?, pidfd.as_fd())
    });
    drop(ours);
    let wait = || rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
    rustix::io::retry_on_intr(wait).map_err(|errno| fail(errno.into()))?;
    taken
}

impl Engine {
    /// Connects a container with the outside, through a program that lives as long as this process.
    pub(crate) fn connect_user(
        &self,
        container: &Container,
        mode: UserMode,
        pid: Pid,
    ) -> Result<(Connected, UserNetwork)> {
        let (network, published) = self.open_way_out(container, mode, pid, None)?;
        let connected = Connected {
            networks: [(mode.name().to_owned(), EndpointSettings::default())].into(),
            ports: listed(&published),
            addresses: addresses_of(pid),
        };
        let set_up = || -> Result<()> {
            let named = !container.asked.host_config.dns.is_empty();
            let resolver = mode.resolver(files::is_host_resolver_local()).filter(|_| !named);
            let places = Places::of(&container.asked.host_config, Host::detect()?.unified);
            let about =
                About { addresses: &connected.addresses, servers: resolver.as_slice(), ..About::default() };
            self.make_etc(container, &places, about).map(drop)
        };
        match set_up() {
            Ok(()) => Ok((connected, network)),
            Err(error) => {
                network.end();
                // The reason why it can't be is what is told.
                let _ = self.own_networks().disconnect_user(&container.id);
                Err(error)
            }
        }
    }

    /// The way out of a container that is in networks with others; none where all of these are internal.
    pub(crate) fn connect_out(
        &self,
        container: &Container,
        connected: &mut Connected,
        pid: Pid,
    ) -> Result<Option<UserNetwork>> {
        let attachment = self.own_networks().attachment(&container.id)?;
        if !attachment.is_some_and(|attachment| attachment.leads_out()) {
            return Ok(None);
        }
        let mode = UserMode::installed().unwrap_or(UserMode::Pasta);
        let (network, published) = self.open_way_out(container, mode, pid, Some("out0"))?;
        connected.ports = listed(&published);
        Ok(Some(network))
    }

    fn open_way_out(
        &self,
        container: &Container,
        mode: UserMode,
        pid: Pid,
        interface: Option<&str>,
    ) -> Result<(UserNetwork, Vec<PublishedPorts>)> {
        let ports = ports(container)?;
        let dir = self.paths().running(&container.id);
        let request = UserRequest { container: &container.id, pid, dir: &dir, ports: &ports, interface };
        Ok(self.own_networks().connect_user(mode, request)?)
    }
}

/// The addresses of a process' network: its loopback's are of no interest.
fn addresses_of(pid: Pid) -> Vec<IpAddr> {
    let read = |name: &str| {
        std::fs::read_to_string(format!("/proc/{}/net/{name}", pid.as_raw_nonzero())).unwrap_or_default()
    };
    let mut found = local_ipv4(&read("fib_trie"));
    found.extend(global_ipv6(&read("if_inet6")));
    found
}

/// Of a trie of routes, the leaves that are the host's own: `|-- 10.0.2.100`, then `/32 host LOCAL`.
fn local_ipv4(trie: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    let mut leaf = None;
    for line in trie.lines().map(str::trim) {
        match line.strip_prefix("|-- ") {
            Some(address) => leaf = address.parse::<Ipv4Addr>().ok(),
            None if line == "/32 host LOCAL" => {
                found.extend(leaf.filter(|address| !address.is_loopback()).map(IpAddr::from));
            }
            None => {}
        }
    }
    // Each stands there once a table.
    found.dedup();
    found
}

/// `ADDRESS INDEX PREFIX SCOPE FLAGS NAME`; scope 0 is the world.
fn global_ipv6(lines: &str) -> Vec<IpAddr> {
    let parse = |line: &str| {
        let mut fields = line.split_whitespace();
        let address = u128::from_str_radix(fields.next()?, 16).ok()?;
        (fields.nth(2)? == "00").then(|| IpAddr::from(Ipv6Addr::from(address)))
    };
    lines.lines().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_proc() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.2.100\n        /32 host LOCAL\n     |-- 10.0.2.255\n        \
                    /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\nLocal:\n     |-- 10.0.2.100\n        \
                    /32 host LOCAL\n";
        assert_eq!(local_ipv4(trie), ["10.0.2.100".parse::<IpAddr>().unwrap()]);
        let lines = "fd000000000000000000000000000002 02 40 00 80 eth0\nfe800000000000000000000000000001 02 40 20 80 eth0\n";
        assert_eq!(global_ipv6(lines), ["fd00::2".parse::<IpAddr>().unwrap()]);
    }
}
