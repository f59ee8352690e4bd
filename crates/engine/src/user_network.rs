//! The network of an ordinary user's container: a program that lives beside it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ::network::{UserMode, UserNetwork, UserRequest};
use rustix::process::Pid;

use crate::config::EndpointSettings;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::Result;
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

impl Engine {
    /// Connects a container with the outside, through a program that lives as long as this process.
    pub(crate) fn connect_user(
        &self,
        container: &Container,
        mode: UserMode,
        pid: Pid,
    ) -> Result<(Connected, UserNetwork)> {
        let ports = ports(container)?;
        let dir = self.paths().running(&container.id);
        let request = UserRequest { container: &container.id, pid, dir: &dir, ports: &ports };
        let (network, published) = self.own_networks().connect_user(mode, request)?;
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
