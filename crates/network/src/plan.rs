//! The manual way to connect a container, step by step: what `--dry-run` shows. It is what [`Networks::attach`] does, in its
//! order, with ip(8)'s and nft(8)'s words.

use crate::endpoint::{AttachRequest, EndpointRequest};
use crate::network::{Driver, Network};
use crate::settings::Settings;
use crate::{Networks, Result};

impl Networks {
    /// The steps that connecting a container takes. Nothing is made.
    ///
    /// # Errors
    /// Where a network is not there.
    pub fn plan(&self, request: &AttachRequest) -> Result<Vec<String>> {
        let mut steps =
            vec!["ip netns add CONTAINER".to_owned(), "ip -n CONTAINER link set lo up".to_owned()];
        let mut has_way_out = false;
        for (number, wanted) in request.endpoints.iter().enumerate() {
            let network = self.look(&wanted.network)?;
            let settings = network.settings()?;
            let interface =
                wanted.interface.clone().unwrap_or_else(|| format!("{}{number}", settings.prefix));
            steps.extend(interface_steps(&network, &settings, &interface));
            steps.extend(address_steps(&network, wanted, &interface, &mut has_way_out));
        }
        for port in &request.ports {
            let address = port.host_ip.map_or("*".to_owned(), |address| address.to_string());
            let host = port.host.map_or("FREE_PORT".to_owned(), |host| host.to_string());
            let range = if port.count > 1 { format!(" ({} ports)", port.count) } else { String::new() };
            steps.push(format!(
                "nft add element inet berth any4 {{ {} . {host} : ADDRESS . {} }}   # on {address}{range}",
                port.protocol, port.container
            ));
        }
        Ok(steps)
    }
}

fn interface_steps(network: &Network, settings: &Settings, interface: &str) -> Vec<String> {
    let bridge = &settings.bridge;
    let parent = settings.parent.as_deref().unwrap_or("DEFAULT_ROUTE_LINK");
    match network.driver {
        Driver::Bridge | Driver::Vxlan => {
            let mut steps = vec![format!("ip link add {bridge} type bridge stp_state 0")];
            let gateways =
                network.ipam.config.iter().filter_map(|pool| Some((pool.gateway?, pool.subnet.prefix())));
            steps.extend(
                gateways.map(|(gateway, prefix)| format!("ip addr add {gateway}/{prefix} dev {bridge}")),
            );
            steps.push(format!("ip link set {bridge} up"));
            if network.driver == Driver::Vxlan {
                let (id, port) = (settings.vxlan.id, settings.vxlan.port);
                steps.push(format!("ip link add VXLAN master {bridge} up type vxlan id {id} dstport {port}"));
                let peers = settings.vxlan.peers.iter();
                steps.extend(
                    peers.map(|peer| format!("bridge fdb append 00:00:00:00:00:00 dev VXLAN dst {peer}")),
                );
            }
            steps.push(format!("ip link add VETH type veth peer name {interface} netns CONTAINER"));
            steps.push(format!("ip link set VETH master {bridge} up"));
            if !settings.icc {
                steps.push("bridge link set dev VETH isolated on".to_owned());
            }
            steps
        }
        Driver::Macvlan | Driver::Ipvlan => {
            let kind = network.driver.name();
            vec![format!("ip link add {interface} link {parent} netns CONTAINER type {kind}")]
        }
        Driver::HostDevice => vec![format!("ip link set {parent} netns CONTAINER name {interface}")],
        Driver::Cni => {
            let config = settings.cni.as_deref().unwrap_or_default();
            vec![format!(
                "CNI_COMMAND=ADD CNI_IFNAME={interface} PLUGIN < {config}   # for each plugin in it"
            )]
        }
        Driver::Host | Driver::Null => Vec::new(),
    }
}

fn address_steps(
    network: &Network,
    wanted: &EndpointRequest,
    interface: &str,
    has_way_out: &mut bool,
) -> Vec<String> {
    let mut steps = Vec::new();
    if !network.driver.has_addresses() {
        return steps;
    }
    let inside = "ip -n CONTAINER";
    for pool in &network.ipam.config {
        let fixed = if pool.subnet.is_ipv6() {
            wanted.ipv6.map(|a| a.to_string())
        } else {
            wanted.ipv4.map(|a| a.to_string())
        };
        let address = fixed.unwrap_or_else(|| format!("ADDRESS_OF_{}", pool.subnet.address()));
        steps.push(format!("{inside} addr add {address}/{} dev {interface}", pool.subnet.prefix()));
    }
    steps.push(format!("{inside} link set {interface} up"));
    if !network.internal && !*has_way_out {
        let gateways = network.ipam.config.iter().filter_map(|pool| pool.gateway);
        steps.extend(gateways.map(|gateway| format!("{inside} route add default via {gateway}")));
        *has_way_out = true;
    }
    steps
}
