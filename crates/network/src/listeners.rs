//! Which process of the host listens on a port: /proc/net tells the socket, /proc/PID/fd whose it is.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::endpoint::Protocol;

/// A socket that would be in the way.
struct Listener {
    address: IpAddr,
    port: u16,
    inode: u64,
}

/// The ports that are listened on where `address` would be bound.
pub(crate) fn ports(address: IpAddr, protocol: Protocol) -> Vec<u16> {
    listeners(protocol)
        .iter()
        .filter(|listener| blocks(listener, address))
        .map(|listener| listener.port)
        .collect()
}

/// Who listens on a port, as `NAME (pid NUMBER)`.
pub(crate) fn find(address: IpAddr, port: u16, protocol: Protocol) -> Option<String> {
    let all = listeners(protocol);
    let listener = all.iter().find(|listener| listener.port == port && blocks(listener, address))?;
    let wanted = format!("socket:[{}]", listener.inode);
    let pids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.parse::<u32>().ok()
    });
    let owner = pids.into_iter().find(|pid| {
        let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        links
            .into_iter()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.to_str() == Some(&wanted)))
    })?;
    let name = fs::read_to_string(format!("/proc/{owner}/comm")).unwrap_or_default();
    Some(format!("{} (pid {owner})", name.trim_end()))
}

/// A listener on every address is in everybody's way, and whoever wants every address is in everybody's; `::` takes
/// IPv4 as well, unless it was told not to, which /proc does not say.
fn blocks(listener: &Listener, address: IpAddr) -> bool {
    let same_family = listener.address.is_ipv4() == address.is_ipv4();
    listener.address == address
        || same_family && (listener.address.is_unspecified() || address.is_unspecified())
        || address.is_ipv4() && listener.address == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

fn listeners(protocol: Protocol) -> Vec<Listener> {
    // TCP's state is LISTEN; UDP's that of a socket without a peer.
    let (name, state) = match protocol {
        Protocol::Tcp => ("tcp", "0A"),
        Protocol::Udp => ("udp", "07"),
        Protocol::Sctp => return Vec::new(),
    };
    let files = [format!("/proc/thread-self/net/{name}"), format!("/proc/thread-self/net/{name}6")];
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap_or_default());
    texts
        .flat_map(|text| text.lines().skip(1).filter_map(|line| parse(line, state)).collect::<Vec<_>>())
        .collect()
}

/// `  0: 0100007F:1F90 00000000:0000 0A …`: the address in the machine's order by words, the port in plain.
fn parse(line: &str, wanted_state: &str) -> Option<Listener> {
    let mut fields = line.split_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address = if address.len() == 8 {
        IpAddr::from(Ipv4Addr::from(word(0)?))
    } else {
        let bytes: Vec<u8> = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
        IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?))
    };
    (state == wanted_state).then_some(Listener { address, port, inode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_are_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0";
        let listener = parse(line, "0A").unwrap();
        assert_eq!(
            (listener.address.to_string().as_str(), listener.port, listener.inode),
            ("127.0.0.1", 8080, 4711)
        );
        assert!(parse(line, "07").is_none());
        assert!(parse("", "0A").is_none());
    }

    #[test]
    fn a_listener_of_this_process_is_named() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let found = find(address.ip(), address.port(), Protocol::Tcp).unwrap();
        assert!(found.ends_with(&format!("(pid {})", std::process::id())), "{found}");
    }
}
