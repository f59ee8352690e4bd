//! Flags of the network: connections, addresses, names, ports.

use super::{Request, RequestFlag};
use crate::commands::container::networks;
use crate::commands::flags::Section;

const NETWORK: fn(&mut Request, &str) -> Result<(), String> = |request, value| {
    request.networks.push(networks::parse(value)?);
    Ok(())
};

const ALIAS: fn(&mut Request, &str) -> Result<(), String> = |request, value| {
    request.first_network.aliases.push(value.to_owned());
    Ok(())
};

const DNS_OPTION: fn(&mut Request, &str) -> Result<(), String> = |request, value| {
    request.create.host_config.dns_options.push(value.to_owned());
    Ok(())
};

pub const SECTION: Section<Request> = Section {
    heading: "Network",
    flags: &[
        RequestFlag::value(
            "network",
            "NETWORK",
            "Connect to bridge, none, host, container:NAME, ns:PATH or a network",
            NETWORK,
        ),
        RequestFlag::value("net", "NETWORK", "The same", NETWORK).hidden(),
        RequestFlag::value("network-alias", "NAME", "A further name in the network", ALIAS),
        RequestFlag::value("net-alias", "NAME", "The same", ALIAS).hidden(),
        RequestFlag::value("ip", "ADDRESS", "IPv4 address in the network", |request, value| {
            networks::ipv4(value)?.clone_into(&mut request.first_network.ip);
            Ok(())
        }),
        RequestFlag::value("ip6", "ADDRESS", "IPv6 address in the network", |request, value| {
            networks::ipv6(value)?.clone_into(&mut request.first_network.ip6);
            Ok(())
        }),
        RequestFlag::value(
            "link-local-ip",
            "ADDRESS",
            "Link-local address in the network",
            |request, value| {
                request.first_network.link_local_ips.push(networks::address(value)?.to_owned());
                Ok(())
            },
        ),
        RequestFlag::value("mac-address", "ADDRESS", "Ethernet address in the network", |request, value| {
            networks::mac(value)?.clone_into(&mut request.first_network.mac);
            Ok(())
        }),
        RequestFlag::value(
            "link",
            "CONTAINER[:ALIAS]",
            "Find another container by its name",
            |request, value| {
                request.first_network.links.push(networks::link(value)?.to_owned());
                Ok(())
            },
        ),
        RequestFlag::value(
            "publish",
            "[[ADDRESS:]PORT:]PORT[/PROTOCOL]",
            "Publish a port on the host",
            |request, value| request.ports.publish(value),
        )
        .short('p'),
        RequestFlag::switch(
            "publish-all",
            "Publish all exposed ports on free ports of the host",
            |request, on| {
                request.create.host_config.publish_all_ports = on;
            },
        )
        .short('P'),
        RequestFlag::value(
            "publish-policy",
            "POLICY",
            "Whom published ports are open to: open, or host-firewall",
            |request, value| {
                value.clone_into(&mut request.create.host_config.publish_policy);
                Ok(())
            },
        ),
        RequestFlag::value(
            "network-rate",
            "RATE",
            "Limit what each interface sends, and receives, say to 10mbit",
            |request, value| {
                request.create.host_config.network_rate = networks::rate(value)?;
                Ok(())
            },
        ),
        RequestFlag::value(
            "expose",
            "PORT[/PROTOCOL]",
            "Declare a port or a range that it listens on",
            |request, value| request.ports.expose(value),
        ),
        RequestFlag::value("hostname", "NAME", "The host name [default: the id]", |request, value| {
            value.clone_into(&mut request.create.config.hostname);
            Ok(())
        })
        .short('h'),
        RequestFlag::value("domainname", "NAME", "The NIS domain name", |request, value| {
            value.clone_into(&mut request.create.config.domainname);
            Ok(())
        }),
        RequestFlag::value(
            "add-host",
            "NAME:ADDRESS",
            "Add a line to /etc/hosts; the address may be host-gateway",
            |request, value| {
                request.create.host_config.extra_hosts.push(networks::extra_host(value)?);
                Ok(())
            },
        ),
        RequestFlag::value("dns", "ADDRESS", "A name server", |request, value| {
            request.create.host_config.dns.push(networks::address(value)?.to_owned());
            Ok(())
        }),
        RequestFlag::value("dns-search", "DOMAIN", "A domain to search names in", |request, value| {
            request.create.host_config.dns_search.push(networks::domain(value)?.to_owned());
            Ok(())
        }),
        RequestFlag::value("dns-option", "OPTION", "An option of resolv.conf(5)", DNS_OPTION),
        RequestFlag::value("dns-opt", "OPTION", "The same", DNS_OPTION).hidden(),
    ],
};
