//! A container and its networks: what is asked of the crate `network` while its root is mounted, what came of it, and the
//! giving back at its end.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use ::network::{
    AttachRequest, Attachment, Endpoint, EndpointRequest, Networks, PortRequest, PublishedPorts, Resolver,
};

use crate::config::{EndpointIpam, EndpointSettings, HOST_FIREWALL, PortBinding};
use crate::container::Container;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::launch::About;
use crate::paths::Paths;
use crate::spec::{Host, Place, Places};
use crate::state::Port;

/// What a container is connected with.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Connected {
    /// By the network's name.
    pub networks: BTreeMap<String, EndpointSettings>,
    /// Published ports.
    pub ports: Vec<Port>,
    /// Its addresses, for its `hosts`.
    pub addresses: Vec<IpAddr>,
}

impl Engine {
    /// The networks, after what a SIGKILL left half done in them was completed or taken back, and rules that somebody
    /// flushed were written anew.
    ///
    /// An ordinary user's are in a network namespace, which the process enters here and can't leave: so this is for commands
    /// that do nothing else after it.
    pub fn networks(&self) -> Networks {
        if rootless::current().is_some() {
            // Where it can't be had, whoever needs it is told of.
            let _ = rootless::enter_network(&Paths::run_of_user());
        }
        let networks = self.own_networks();
        // What can't be set right now, whoever needs it is told of.
        let _ = self.settle_connected(&networks);
        let _ = networks.mend();
        networks
    }

    /// The networks as they are. What a container that is no more has left in them, whoever comes across it takes back.
    pub(crate) fn own_networks(&self) -> Networks {
        let paths = self.paths().clone();
        let alive = move |id: &str| {
            Engine::open(paths.clone()).and_then(|engine| engine.may_be_connected(id)).unwrap_or(true)
        };
        let networks = Networks::open(&self.paths().root, &self.paths().run).with_liveness(Box::new(alive));
        match self.paths().is_default() {
            true => networks,
            false => {
                let root = self.paths().root.as_os_str().as_encoded_bytes();
                networks.beside(&oci::image::Digest::sha256(root).hex()[..6])
            }
        }
    }

    /// Connects a container to its networks and writes its addresses into its `hosts`. What resolves names for it, where
    /// something must, lives in the monitor.
    pub(crate) fn connect(
        &self,
        container: &Container,
        request: &AttachRequest,
        namespace: BorrowedFd<'_>,
    ) -> Result<(Connected, Option<Resolver>)> {
        let networks = self.own_networks();
        let attachment = crate::user_network::among_bridges(|| Ok(networks.attach(request, namespace)?))?;
        let connected = connected(container, &attachment);
        let set_up = || -> Result<Option<Resolver>> {
            let resolver = crate::user_network::resolver(&networks, &attachment, namespace)?;
            let servers = resolver.as_ref().map(|_| IpAddr::from(::network::RESOLVER));
            let places = Places::of(&container.asked.host_config, Host::detect()?.unified);
            let about = About {
                addresses: &connected.addresses,
                gateways: &gateways(&networks, &attachment),
                servers: servers.as_slice(),
            };
            self.make_etc(container, &places, about)?;
            Ok(resolver)
        };
        let resolver = set_up().inspect_err(|_| {
            // The reason why it can't be is what is told.
            let _ = self.disconnect(&container.id);
        })?;
        Ok((connected, resolver))
    }

    /// The resolver of a running container goes on with its sockets, in another image of the monitor's program.
    pub(crate) fn resume_resolver(&self, id: &str, udp: OwnedFd, tcp: OwnedFd) -> Result<Option<Resolver>> {
        let networks = self.own_networks();
        let Some(attachment) = networks.attachment(id)? else { return Ok(None) };
        Ok(Some(Resolver::with(&networks, &attachment, udp, tcp)?))
    }

    /// Takes a container from its networks; one that is in none is fine.
    pub(crate) fn disconnect(&self, id: &str) -> Result<()> {
        let networks = self.own_networks();
        networks.disconnect_user(id)?;
        if networks.attachment(id)?.is_none() {
            return Ok(());
        }
        crate::user_network::among_bridges(|| Ok(networks.detach(id)?))
    }
}

/// The host's addresses on the networks of a container: what `host-gateway` means.
fn gateways(networks: &Networks, attachment: &Attachment) -> Vec<IpAddr> {
    let gateway = |ipv6: bool| {
        let of_network = |endpoint: &Endpoint| networks.find(&endpoint.network_id).ok()?.gateway(ipv6);
        let way = attachment.way_out(ipv6).and_then(|way| way.gateway(ipv6));
        // On an internal network the host is a neighbour, though no way out.
        way.or_else(|| attachment.endpoints.iter().find_map(of_network))
    };
    [false, true].into_iter().filter_map(gateway).collect()
}

/// What a container asks of the networks; nothing where it has the host's, another's, or none.
pub(crate) fn request(container: &Container) -> Result<Option<AttachRequest>> {
    let host = &container.asked.host_config;
    let own = Place::of(&host.network_mode).is_new() && host.network_mode != "none";
    if !own || crate::user_network::mode(container).is_some() {
        return Ok(None);
    }
    let endpoints = container.networks().into_iter().map(|name| {
        let asked = container.asked.networking_config.endpoints_config.get(&name);
        endpoint(name, asked.unwrap_or(&EndpointSettings::default()))
    });
    Ok(Some(request_for(container, endpoints.collect::<Result<_>>()?)?))
}

/// The same for these connections.
pub(crate) fn request_for(container: &Container, endpoints: Vec<EndpointRequest>) -> Result<AttachRequest> {
    let host = &container.asked.host_config;
    Ok(AttachRequest {
        container: container.id.clone(),
        name: container.name.clone(),
        hostname: container.asked.config.hostname.clone(),
        endpoints,
        // An ordinary user's are published by the program that is the way out.
        ports: if rootless::current().is_some() { Vec::new() } else { ports(container)? },
        rate: u64::try_from(host.network_rate).ok().filter(|rate| *rate > 0),
        dns: servers(&host.dns)?,
        host_firewall: host.publish_policy == HOST_FIREWALL,
        user_mode: rootless::current().is_some(),
    })
}

/// `--dns`.
fn servers(named: &[String]) -> Result<Vec<IpAddr>> {
    let parse = |text: &String| {
        text.parse().map_err(|_| Error::Invalid(format!("invalid address of a DNS server: {text:?}")))
    };
    named.iter().map(parse).collect()
}

pub(crate) fn endpoint(network: String, asked: &EndpointSettings) -> Result<EndpointRequest> {
    let invalid = |text: &str| Error::Invalid(format!("invalid address {text:?} for network {network}"));
    let ipam = asked.ipam_config.clone().unwrap_or_default();
    let address = |text: &str| if text.is_empty() { None } else { Some(text.to_owned()) };
    let ipv4 =
        address(&ipam.ipv4_address).map(|text| text.parse().map_err(|_| invalid(&text))).transpose()?;
    let ipv6 =
        address(&ipam.ipv6_address).map(|text| text.parse().map_err(|_| invalid(&text))).transpose()?;
    let mac = address(&asked.mac_address).map(|text| text.parse().map_err(|_| invalid(&text))).transpose()?;
    let link_local = ipam.link_local_ips.iter().map(|text| text.parse().map_err(|_| invalid(text)));
    let link_local = link_local.collect::<Result<_>>()?;
    let options = asked.driver_opts.clone().unwrap_or_default();
    Ok(EndpointRequest {
        ipv4,
        ipv6,
        mac,
        link_local,
        aliases: asked.aliases.clone().unwrap_or_default(),
        links: asked.links.clone().unwrap_or_default(),
        interface: options.get("com.docker.network.endpoint.ifname").cloned(),
        gateway_priority: asked.gw_priority,
        options,
        network,
    })
}

/// `80/tcp` → `8080`, `8000-8010` or any free port; with `--publish-all` also those that are only exposed.
pub(crate) fn ports(container: &Container) -> Result<Vec<PortRequest>> {
    let (config, host) = (&container.asked.config, &container.asked.host_config);
    let mut requests = Vec::new();
    let any = vec![PortBinding::default()];
    for (port, bindings) in &host.port_bindings {
        for binding in bindings.as_ref().filter(|bindings| !bindings.is_empty()).unwrap_or(&any) {
            requests.push(port_request(port, binding)?);
        }
    }
    if host.publish_all_ports {
        for port in config.exposed_ports.keys().filter(|port| !host.port_bindings.contains_key(*port)) {
            requests.push(port_request(port, &PortBinding::default())?);
        }
    }
    Ok(requests)
}

fn port_request(port: &str, binding: &PortBinding) -> Result<PortRequest> {
    let invalid = || {
        let PortBinding { host_ip, host_port } = binding;
        Error::Invalid(format!("invalid published port {host_ip}:{host_port} -> {port}"))
    };
    let (numbers, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let (first, last) = range(numbers).ok_or_else(invalid)?;
    let count = last.checked_sub(first).and_then(|more| more.checked_add(1)).ok_or_else(invalid)?;
    let host = match binding.host_port.as_str() {
        "" | "0" => None,
        text => Some(range(text).ok_or_else(invalid)?),
    };
    let host_ip = match binding.host_ip.as_str() {
        "" => None,
        text => Some(text.trim_matches(['[', ']']).parse().map_err(|_| invalid())?),
    };
    Ok(PortRequest {
        host_ip,
        host: host.map(|(first, _)| first),
        host_last: host.filter(|(first, last)| count == 1 && last > first).map(|(_, last)| last),
        container: first,
        count,
        protocol: protocol.parse()?,
    })
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((first.parse().ok()?, last.parse().ok()?))
}

pub(crate) fn connected(container: &Container, attachment: &Attachment) -> Connected {
    let networks = attachment.endpoints.iter().map(|endpoint| {
        let asked = container.asked.networking_config.endpoints_config.get(&endpoint.network);
        (endpoint.network.clone(), settings(endpoint, asked))
    });
    let families = [false, true];
    let addresses = attachment.endpoints.iter().flat_map(|endpoint| {
        families.into_iter().filter_map(|ipv6| endpoint.address(ipv6)).collect::<Vec<_>>()
    });
    Connected {
        networks: networks.collect(),
        ports: listed(&attachment.ports),
        addresses: addresses.collect(),
    }
}

/// Each port by itself, as `ps` and `port` show them.
pub(crate) fn listed(published: &[PublishedPorts]) -> Vec<Port> {
    let each = |ports: &PublishedPorts| {
        let ports = *ports;
        (0..ports.count).map(move |number| Port {
            ip: ports.host_ip.to_string(),
            private_port: ports.container + number,
            public_port: ports.host + number,
            r#type: ports.protocol.to_string(),
        })
    };
    published.iter().flat_map(each).collect()
}

fn settings(endpoint: &Endpoint, asked: Option<&EndpointSettings>) -> EndpointSettings {
    let text = |value: Option<String>| value.unwrap_or_default();
    let ipam: Option<EndpointIpam> = asked.and_then(|asked| asked.ipam_config.clone());
    EndpointSettings {
        ipam_config: ipam,
        links: asked.and_then(|asked| asked.links.clone()),
        aliases: asked.and_then(|asked| asked.aliases.clone()),
        mac_address: text(endpoint.mac.map(|mac| mac.to_string())),
        driver_opts: asked.and_then(|asked| asked.driver_opts.clone()),
        gw_priority: endpoint.gateway_priority,
        network_id: endpoint.network_id.clone(),
        endpoint_id: endpoint.endpoint_id.clone(),
        gateway: text(endpoint.ipv4_gateway.map(|address| address.to_string())),
        ip_address: text(endpoint.ipv4.map(|address| address.to_string())),
        ip_prefix_len: endpoint.ipv4_subnet.map_or(0, |subnet| subnet.prefix()),
        ipv6_gateway: text(endpoint.ipv6_gateway.map(|address| address.to_string())),
        global_ipv6_address: text(endpoint.ipv6.map(|address| address.to_string())),
        global_ipv6_prefix_len: endpoint.ipv6_subnet.map_or(0, |subnet| subnet.prefix()),
        dns_names: Some(endpoint.dns_names.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Empty;

    fn container(mode: &str) -> Container {
        let mut container = Container { id: "a".repeat(64), name: "web".into(), ..Container::default() };
        container.asked.host_config.network_mode = mode.into();
        container
    }

    #[test]
    fn only_networks_of_its_own_are_asked_for() {
        for mode in ["none", "host", "container:x", "ns:/run/netns/x", "pasta", "slirp4netns"] {
            assert!(request(&container(mode)).unwrap().is_none(), "{mode}");
        }
        let request = request(&container("default")).unwrap().unwrap();
        assert_eq!(request.endpoints[0].network, "bridge");
    }

    #[test]
    fn ports_are_read_in_all_their_forms() {
        let mut web = container("bridge");
        let binding =
            |ip: &str, port: &str| Some(vec![PortBinding { host_ip: ip.into(), host_port: port.into() }]);
        let bindings = &mut web.asked.host_config.port_bindings;
        bindings.insert("80/tcp".into(), binding("127.0.0.1", "8080"));
        bindings.insert("53/udp".into(), binding("", "8000-8010"));
        bindings.insert("90-92/tcp".into(), None);
        web.asked.config.exposed_ports.insert("443/tcp".into(), Empty {});
        web.asked.host_config.publish_all_ports = true;
        let found = ports(&web).unwrap();
        let shown: Vec<_> =
            found.iter().map(|port| (port.container, port.count, port.host, port.host_last)).collect();
        assert_eq!(
            shown,
            [
                (53, 1, Some(8000), Some(8010)),
                (80, 1, Some(8080), None),
                (90, 3, None, None),
                (443, 1, None, None)
            ]
        );
        assert!(
            port_request("80/tcp", &PortBinding { host_ip: String::new(), host_port: "x".into() }).is_err()
        );
    }
}
