//! Networks as a picture: bridges, veth pairs, containers, addresses, published ports; as text, for graphviz, as data.

use std::fmt::Write;

use namespace::netlink::Netlink;
use serde::Serialize;

use crate::endpoint::{Attachment, Endpoint};
use crate::link::{Link, Traffic};
use crate::network::Network;
use crate::{Driver, Error, Networks, Result};

/// All networks with what hangs on them.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Map {
    pub networks: Vec<MappedNetwork>,
}

/// A network in the picture.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct MappedNetwork {
    pub name: String,
    pub id: String,
    pub driver: Driver,
    pub internal: bool,
    /// The bridge, or the parent of its containers' interfaces.
    pub link: Option<String>,
    /// Whether the link is there, and up.
    pub link_up: bool,
    pub subnets: Vec<String>,
    pub gateways: Vec<String>,
    pub containers: Vec<MappedContainer>,
}

/// A container in a network of the picture.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct MappedContainer {
    pub name: String,
    pub id: String,
    pub interface: String,
    pub host_interface: Option<String>,
    pub mac: Option<String>,
    pub addresses: Vec<String>,
    pub ports: Vec<String>,
    /// As the container sees it.
    pub traffic: Option<Traffic>,
}

impl Networks {
    /// The picture as it is now.
    ///
    /// # Errors
    /// Where the networks can't be read.
    pub fn map(&self) -> Result<Map> {
        let netlink =
            Netlink::open().map_err(|refusal| Error::kernel("open", "rtnetlink socket", refusal))?;
        let links =
            Link::list(&netlink).map_err(|refusal| Error::kernel("list", "links of the host", refusal))?;
        let attachments = self.attachments()?;
        let networks = self.list_all()?;
        let networks = networks.iter().map(|network| mapped(network, &attachments, &links));
        Ok(Map { networks: networks.collect::<Result<_>>()? })
    }

    /// What has gone through the interfaces of a container, by their names in it. Figures come from the host's ends.
    ///
    /// # Errors
    /// Where the links can't be listed.
    pub fn traffic(&self, container: &str) -> Result<Vec<(String, Traffic)>> {
        let Some(attachment) = self.attachment(container)? else { return Ok(Vec::new()) };
        let netlink =
            Netlink::open().map_err(|refusal| Error::kernel("open", "rtnetlink socket", refusal))?;
        let mut figures = Vec::new();
        for endpoint in &attachment.endpoints {
            if let Some(name) = &endpoint.host_interface
                && let Ok(link) = Link::find(&netlink, name)
            {
                figures.push((endpoint.interface.clone(), link.traffic.other_end()));
            }
        }
        Ok(figures)
    }
}

fn mapped(network: &Network, attachments: &[Attachment], links: &[Link]) -> Result<MappedNetwork> {
    let settings = network.settings()?;
    let link = if network.driver.has_bridge() { Some(settings.bridge) } else { settings.parent };
    let members = attachments.iter().flat_map(|attachment| {
        let own = attachment.endpoints.iter().filter(|endpoint| endpoint.network_id == network.id);
        own.map(move |endpoint| mapped_container(attachment, endpoint, links))
    });
    Ok(MappedNetwork {
        name: network.name.clone(),
        id: network.id.clone(),
        driver: network.driver,
        internal: network.internal,
        link_up: links.iter().any(|other| Some(&other.name) == link.as_ref() && other.up),
        link,
        subnets: network.ipam.config.iter().map(|pool| pool.subnet.to_string()).collect(),
        gateways: network.ipam.config.iter().filter_map(|pool| pool.gateway).map(|g| g.to_string()).collect(),
        containers: members.collect(),
    })
}

fn mapped_container(attachment: &Attachment, endpoint: &Endpoint, links: &[Link]) -> MappedContainer {
    let leads_here =
        |ipv6: bool| attachment.way_out(ipv6).is_some_and(|way| way.endpoint_id == endpoint.endpoint_id);
    let ports = attachment.ports.iter().filter(|ports| leads_here(ports.host_ip.is_ipv6()));
    let host_end = links.iter().find(|link| Some(&link.name) == endpoint.host_interface.as_ref());
    MappedContainer {
        name: attachment.name.clone(),
        id: attachment.container.clone(),
        interface: endpoint.interface.clone(),
        host_interface: endpoint.host_interface.clone(),
        mac: endpoint.mac.map(|mac| mac.to_string()),
        addresses: [false, true]
            .iter()
            .filter_map(|ipv6| Some(endpoint.address(*ipv6)?.to_string()))
            .collect(),
        ports: ports.map(ToString::to_string).collect(),
        traffic: host_end.map(|link| link.traffic.other_end()),
    }
}

impl Map {
    /// As a tree of text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for network in &self.networks {
            // A String takes everything.
            let _ = writeln!(
                text,
                "{} ({}{})",
                network.name,
                network.driver.name(),
                if network.internal { ", internal" } else { "" }
            );
            if let Some(link) = &network.link {
                let state = if network.link_up { "" } else { ", which is not up" };
                let gateways = network.gateways.join(", ");
                let _ =
                    writeln!(text, "│  {link}{state}  gateway {gateways}  of {}", network.subnets.join(", "));
            }
            for (number, container) in network.containers.iter().enumerate() {
                let last = number + 1 == network.containers.len();
                container.write(&mut text, if last { ["└─ ", "   "] } else { ["├─ ", "│  "] });
            }
            text.push('\n');
        }
        text
    }

    /// For graphviz.
    #[must_use]
    pub fn dot(&self) -> String {
        let mut text = String::from("graph networks {\n  rankdir=LR;\n  node [shape=box];\n");
        for network in &self.networks {
            let lines = std::iter::once(&network.name).chain(&network.link).chain(&network.subnets);
            let label = lines.cloned().collect::<Vec<_>>().join("\\n");
            let _ = writeln!(text, "  {} [label={}, style=rounded];", quoted(&network.id), quoted(&label));
            for container in &network.containers {
                let _ = writeln!(text, "  {} [label={}];", quoted(&container.id), quoted(&container.name));
                let ends = container.host_interface.as_deref().unwrap_or("");
                let label = format!("{ends} {}\\n{}", container.interface, container.addresses.join("\\n"));
                let edge = [&network.id, &container.id].map(|id| quoted(id)).join(" -- ");
                let _ = writeln!(text, "  {edge} [label={}];", quoted(label.trim_start()));
                for port in &container.ports {
                    // Of the same number there may be a port of TCP and one of UDP, of two containers.
                    let (host, inside) = port.split_once(" -> ").unwrap_or((port, ""));
                    let protocol = inside.split_once('/').map_or("", |(_, protocol)| protocol);
                    let place = &format!("{host}/{protocol}");
                    let _ = writeln!(text, "  {} [shape=plaintext];", quoted(place));
                    let _ =
                        writeln!(text, "  {} -- {} [style=dashed];", quoted(place), quoted(&container.id));
                }
            }
        }
        text + "}\n"
    }
}

impl MappedContainer {
    fn write(&self, text: &mut String, [branch, beside]: [&str; 2]) {
        let pair = match &self.host_interface {
            Some(host) => format!("{host} ══ {}", self.interface),
            None => self.interface.clone(),
        };
        let id = crate::error::short(&self.id);
        let _ = writeln!(text, "{branch}{pair}  {} ({id})  {}", self.name, self.addresses.join(", "));
        for port in &self.ports {
            let _ = writeln!(text, "{beside}   {port}");
        }
    }
}

/// A text in double quotes, in which `\n` stays what graphviz takes it for.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\\\""))
}
