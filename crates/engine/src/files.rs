//! `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of a container, as Docker makes them.
//!
//! They lie in `containers/ID/etc` and are bound over the image's. Whoever learns of addresses later writes them anew, into
//! the same file, so that a running container sees it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Servers where the host has none that a container could reach: what Docker takes.
const PUBLIC_SERVERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4))];

/// Where systemd-resolved keeps the servers that it asks itself.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// Which network a container is in, as far as its files depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The host's: all its files hold.
    Host,
    /// None.
    None,
    /// One with addresses of its own.
    Own,
}

/// What a container's `/etc/hosts` says.
#[derive(Clone, Debug, Default)]
pub struct Hosts<'a> {
    /// The host name of the container.
    pub hostname: &'a str,
    /// Its domain.
    pub domainname: &'a str,
    /// Its addresses.
    pub addresses: &'a [IpAddr],
    /// `NAME:ADDRESS` of `--add-host`.
    pub extra: &'a [String],
    /// What `host-gateway` means.
    pub gateways: &'a [IpAddr],
}

/// The text of /etc/hosts. `host` is the host's own, which a container in its network starts with.
pub fn hosts(hosts: &Hosts<'_>, network: Network, host: &str) -> String {
    let mut text = match network {
        Network::Host => {
            let end = if host.is_empty() || host.ends_with('\n') { "" } else { "\n" };
            format!("{host}{end}")
        }
        Network::None | Network::Own => "127.0.0.1\tlocalhost\n\
            ::1\tlocalhost ip6-localhost ip6-loopback\n\
            fe00::\tip6-localnet\n\
            ff00::\tip6-mcastprefix\n\
            ff02::1\tip6-allnodes\n\
            ff02::2\tip6-allrouters\n"
            .into(),
    };
    for line in hosts.extra {
        let Some((name, address)) = line.find(['=', ':']).map(|at| (&line[..at], &line[at + 1..])) else {
            continue;
        };
        if address == "host-gateway" {
            for gateway in hosts.gateways {
                let _ = writeln!(text, "{gateway}\t{name}");
            }
        } else {
            let _ = writeln!(text, "{}\t{name}", address.trim_start_matches('[').trim_end_matches(']'));
        }
    }
    hosts.addresses.iter().for_each(|address| text.push_str(&hosts.own_line(*address)));
    text
}

impl Hosts<'_> {
    fn own_line(&self, address: IpAddr) -> String {
        let Self { hostname, domainname, .. } = self;
        match *domainname {
            "" => format!("{address}\t{hostname}\n"),
            domain => format!("{address}\t{hostname}.{domain} {hostname}\n"),
        }
    }

    /// The text of /etc/hosts when addresses are the container's no more, and others are; whatever it has written there
    /// itself stays.
    pub fn moved(&self, text: &str, before: &[IpAddr]) -> String {
        let lines = |addresses: &[IpAddr]| -> Vec<String> {
            addresses.iter().map(|address| self.own_line(*address)).collect()
        };
        let (gone, new) = (lines(before), lines(self.addresses));
        let kept = text.split_inclusive('\n').filter(|line| !gone.iter().any(|gone| gone == line));
        let mut text: String = kept.collect();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text + &new.concat()
    }
}

/// What a container's `/etc/resolv.conf` says.
#[derive(Clone, Debug, Default)]
pub struct Resolver<'a> {
    /// Servers of `--dns`.
    pub servers: &'a [String],
    /// Domains of `--dns-search`; `.` is none.
    pub search: &'a [String],
    /// Options of `--dns-option`.
    pub options: &'a [String],
    /// The servers of a network that resolves its containers' names; they know the others.
    pub embedded: &'a [IpAddr],
}

/// The lines of a resolv.conf(5) that count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Parsed {
    servers: Vec<String>,
    search: Vec<String>,
    options: Vec<String>,
}

impl Parsed {
    fn of(text: &str) -> Parsed {
        let mut parsed = Parsed::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => parsed.servers.extend(words.next().map(str::to_owned)),
                // The last one counts.
                Some("search" | "domain") => parsed.search = words.map(str::to_owned).collect(),
                Some("options") => parsed.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        parsed
    }
}

/// The text of /etc/resolv.conf, from the host's. A server at a loopback address is the host's alone: a container with
/// addresses of its own would ask itself.
pub fn resolv_conf(resolver: &Resolver<'_>, network: Network, host: &str) -> String {
    let mut parsed = Parsed::of(host);
    if network == Network::Own {
        parsed.servers.retain(|server| !is_loopback(server));
        if parsed.servers.is_empty() {
            parsed.servers = PUBLIC_SERVERS.map(|server| server.to_string()).into();
        }
    }
    if !resolver.servers.is_empty() {
        parsed.servers = resolver.servers.to_vec();
    }
    if !resolver.embedded.is_empty() {
        parsed.servers = resolver.embedded.iter().map(ToString::to_string).collect();
    }
    if !resolver.search.is_empty() {
        parsed.search = resolver.search.iter().filter(|domain| *domain != ".").cloned().collect();
    }
    if !resolver.options.is_empty() {
        parsed.options = resolver.options.to_vec();
    }
    let says_dots = parsed.options.iter().any(|option| option.starts_with("ndots:"));
    if !resolver.embedded.is_empty() && !says_dots {
        // Names of containers have no dot; they are asked for as they are before a search domain is tried.
        parsed.options.push("ndots:0".to_owned());
    }
    let mut seen = BTreeSet::new();
    parsed.servers.retain(|server| seen.insert(server.clone()));
    let mut text = String::from("# Generated by berth.\n");
    for server in &parsed.servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    for (keyword, words) in [("search", &parsed.search), ("options", &parsed.options)] {
        if !words.is_empty() {
            let _ = writeln!(text, "{keyword} {}", words.join(" "));
        }
    }
    text
}

/// Whether only the host itself reaches the servers that it asks, as it is with systemd-resolved.
pub fn is_host_resolver_local() -> bool {
    let servers = Parsed::of(&host_resolv_conf()).servers;
    servers.iter().all(|server| is_loopback(server))
}

fn is_loopback(server: &str) -> bool {
    // fe80::1%eth0: the zone is an interface of the host.
    let (address, zone) = server.split_once('%').map_or((server, false), |(address, _)| (address, true));
    zone || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

/// The host's resolv.conf; where it names systemd-resolved alone, the file with the servers that this one asks.
pub fn host_resolv_conf() -> String {
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let servers = Parsed::of(&text).servers;
    match servers.iter().any(|server| server.starts_with("127.0.0.5")) {
        true => fs::read_to_string(RESOLVED).unwrap_or(text),
        false => text,
    }
}

/// The servers that a network's own resolver may ask: those of `--dns`, or the host's.
pub fn upstream_servers(given: &[String]) -> Vec<IpAddr> {
    let parse = |servers: &[String]| -> Vec<IpAddr> {
        servers.iter().filter_map(|server| server.parse().ok()).collect()
    };
    let given = parse(given);
    if !given.is_empty() {
        return given;
    }
    let host = parse(&Parsed::of(&host_resolv_conf()).servers);
    if host.is_empty() { PUBLIC_SERVERS.into() } else { host }
}

/// Writes one of the files in the directory `etc`, in place: what is bound somewhere is the inode.
///
/// # Errors
/// The file can't be written.
pub fn write(etc: &Path, name: &str, text: &str) -> io::Result<()> {
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(etc.join(name))?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn hosts_names_the_container_and_what_was_added() {
        let extra = words(&["db:10.0.0.1", "six=[fd00::1]", "out:host-gateway"]);
        let addresses = ["172.17.0.2".parse().unwrap()];
        let about = Hosts {
            hostname: "web",
            domainname: "lan",
            addresses: &addresses,
            extra: &extra,
            gateways: &["172.17.0.1".parse().unwrap(), "fd00::17".parse().unwrap()],
        };
        let text = hosts(&about, Network::Own, "1.2.3.4 ignored\n");
        assert!(text.starts_with("127.0.0.1\tlocalhost\n::1\t"));
        let tail = "db\nfd00::1\tsix\n172.17.0.1\tout\nfd00::17\tout\n172.17.0.2\tweb.lan web\n";
        assert!(text.ends_with(&format!("10.0.0.1\t{tail}")), "{text}");
        assert!(!text.contains("ignored"));
        let moved = Hosts { addresses: &["172.18.0.9".parse().unwrap()], ..about.clone() };
        let own = text.clone() + "10.9.9.9\tits own";
        let after = text.replace("172.17.0.2\t", "10.9.9.9\tits own\n172.18.0.9\t");
        assert_eq!(moved.moved(&own, &addresses), after);
        let shared = hosts(&Hosts { extra: &extra[..1], ..Hosts::default() }, Network::Host, "1.2.3.4 kept");
        assert_eq!(shared, "1.2.3.4 kept\n10.0.0.1\tdb\n");
    }

    #[test]
    fn servers_of_the_host_alone_are_left_out() {
        let host = "# x\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\nsearch a b\noptions edns0\n";
        let text = resolv_conf(&Resolver::default(), Network::Own, host);
        assert_eq!(text, "# Generated by berth.\nnameserver 10.0.0.2\nsearch a b\noptions edns0\n");
        let host_mode = resolv_conf(&Resolver::default(), Network::Host, host);
        assert!(host_mode.contains("127.0.0.53"));
        let none_left = resolv_conf(&Resolver::default(), Network::Own, "nameserver ::1\n");
        assert!(none_left.contains("nameserver 8.8.8.8\nnameserver 8.8.4.4\n"));
    }

    #[test]
    fn flags_replace_what_the_host_says() {
        let (servers, search, options) = (words(&["1.1.1.1"]), words(&["."]), words(&["ndots:1"]));
        let resolver = Resolver { servers: &servers, search: &search, options: &options, embedded: &[] };
        let text = resolv_conf(&resolver, Network::Own, "nameserver 10.0.0.2\nsearch a\n");
        assert_eq!(text, "# Generated by berth.\nnameserver 1.1.1.1\noptions ndots:1\n");
        let embedded = ["10.89.0.1".parse().unwrap()];
        let text = resolv_conf(&Resolver { embedded: &embedded, ..resolver }, Network::Own, "");
        assert!(text.contains("nameserver 10.89.0.1\n") && !text.contains("1.1.1.1"));
    }

    #[test]
    fn a_file_is_written_in_place() {
        let directory = tempfile::tempdir().unwrap();
        let inode =
            || std::os::unix::fs::MetadataExt::ino(&fs::metadata(directory.path().join("hosts")).unwrap());
        write(directory.path(), "hosts", "long text").unwrap();
        let before = inode();
        write(directory.path(), "hosts", "x").unwrap();
        assert_eq!(
            (inode(), fs::read_to_string(directory.path().join("hosts")).unwrap()),
            (before, "x".into())
        );
    }
}
