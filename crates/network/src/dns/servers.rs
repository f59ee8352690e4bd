//! The servers that questions go to which are not about containers.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::SystemTime;

/// The host's resolver configuration.
pub(super) const RESOLV_CONF: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
/// So many are asked, as glibc does it (MAXNS).
const MOST: usize = 3;

/// Those that were named, or those of the host, read again when the host's change.
#[derive(Clone, Debug, Default)]
pub(super) struct Servers {
    fixed: Vec<SocketAddr>,
    hosts: Vec<SocketAddr>,
    read: Option<SystemTime>,
}

impl Servers {
    /// `named`, or the host's where it is empty.
    pub fn new(named: &[IpAddr]) -> Self {
        let fixed = named.iter().map(|address| SocketAddr::new(*address, PORT)).collect();
        Self { fixed, ..Self::default() }
    }

    /// All of them, the first first.
    pub fn get(&mut self) -> &[SocketAddr] {
        if !self.fixed.is_empty() {
            return &self.fixed;
        }
        let changed = std::fs::metadata(RESOLV_CONF).and_then(|metadata| metadata.modified()).ok();
        if self.hosts.is_empty() || changed != self.read {
            self.hosts = of_host(Path::new(RESOLV_CONF));
            self.read = changed;
        }
        &self.hosts
    }
}

/// The servers that a resolv.conf(5) names; without any, the host itself.
pub(super) fn of_host(path: &Path) -> Vec<SocketAddr> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let servers: Vec<SocketAddr> = text.lines().filter_map(server).take(MOST).collect();
    if servers.is_empty() { vec![SocketAddr::from(([127, 0, 0, 1], PORT))] } else { servers }
}

fn server(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_whitespace();
    let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
    match address.split_once('%') {
        // A link-local one, with the link by its name or number.
        Some((address, link)) => {
            let index = std::fs::read_to_string(format!("/sys/class/net/{link}/ifindex")).unwrap_or_default();
            let scope = link.parse().or_else(|_| index.trim().parse()).ok()?;
            Some(std::net::SocketAddrV6::new(address.parse().ok()?, PORT, 0, scope).into())
        }
        None => Some(SocketAddr::new(address.parse().ok()?, PORT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_from_resolv_conf() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            &file,
            "# nameserver 1.1.1.1\nsearch a b\nnameserver 127.0.0.53\nnameserver\t::1 x\nnameserver x\n",
        )
        .unwrap();
        let servers = of_host(file.path());
        assert_eq!(servers, ["127.0.0.53:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert_eq!(of_host(Path::new("/nonexistent")), ["127.0.0.1:53".parse().unwrap()]);
    }
}
