//! Which subnet a network gets: what was asked for, checked against the others, or the first that nobody uses.
//!
//! A subnet counts as used where another network has it or a route of the host leads to some of it, so that a network
//! never hides a VPN or a LAN. Default routes, and the halves of the world that VPNs use in their place, don't count.

use std::net::{IpAddr, Ipv6Addr};

use crate::address::Route;
use crate::{Error, Result, Subnet};

/// Where subnets are looked for, in this order: 22,000 of them. Not first where Docker, Podman, libvirt or home routers look.
const BLOCKS: [([u8; 4], u8); 4] =
    [([10, 201, 0, 0], 16), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16), ([10, 0, 0, 0], 8)];
/// 253 containers.
const PREFIX: u8 = 24;
/// Routes to more than this say where the way out is, not where somebody is.
const WIDEST_ROUTE: u8 = 8;

/// A subnet of another network, and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    pub subnet: Subnet,
    pub network: String,
}

/// The first IPv4 subnet that is free.
pub(crate) fn free(network: &str, used: &[Used], routes: &[Route]) -> Result<Subnet> {
    let routed = routes.iter().map(|route| route.to).filter(|to| to.prefix() >= WIDEST_ROUTE);
    let mut taken: Vec<Subnet> = routed.chain(used.iter().map(|used| used.subnet)).collect();
    taken.sort();
    let blocks =
        BLOCKS.iter().filter_map(|(address, prefix)| Subnet::around(IpAddr::from(*address), *prefix));
    blocks
        .filter_map(|block| free_in(block, &taken))
        .next()
        .ok_or_else(|| Error::NoFreeSubnet(network.to_owned()))
}

/// Goes through the block beside the taken ones, which are sorted.
fn free_in(block: Subnet, taken: &[Subnet]) -> Option<Subnet> {
    let mut offset = 0;
    for taken in taken.iter().filter(|taken| taken.overlaps(block)) {
        let candidate = Subnet::around(block.nth(offset)?, PREFIX)?;
        if candidate.last() < taken.address() {
            return Some(candidate);
        }
        if candidate.address() <= taken.last() {
            // Behind the one or the other, whichever ends later.
            offset = block.offset(taken.last().max(candidate.last()))? + 1;
        }
    }
    Subnet::around(block.nth(offset)?, PREFIX)
}

/// A unique local IPv6 subnet (RFC 4193): its number is random, so that it is nobody else's.
pub(crate) fn unique_local() -> Result<Subnet> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes[1..8], rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| Error::kernel("draw", "random number", errno))?;
    bytes[0] = 0xfd;
    let subnet = Subnet::around(Ipv6Addr::from(bytes).into(), 64);
    subnet.ok_or_else(|| Error::InvalidConfig("no unique local subnet".into()))
}

/// Refuses a subnet of which another network has some.
pub(crate) fn check(network: &str, subnet: Subnet, used: &[Used]) -> Result<()> {
    match used.iter().find(|used| used.subnet.overlaps(subnet)) {
        None => Ok(()),
        Some(used) => Err(Error::Overlap {
            network: network.to_owned(),
            subnet,
            other: used.network.clone(),
            other_subnet: used.subnet,
        }),
    }
}

/// Refuses a subnet on which one of the host's links is: its neighbours would be out of reach.
pub(crate) fn check_routes(network: &str, subnet: Subnet, routes: &[Route], own: Option<u32>) -> Result<()> {
    let blocks = |route: &&Route| {
        route.of_address
            && route.gateway.is_none()
            && Some(route.link) != own
            && route.to.prefix() >= WIDEST_ROUTE
            && route.to.overlaps(subnet)
    };
    match routes.iter().find(blocks) {
        None => Ok(()),
        Some(route) => Err(Error::RouteOverlap { network: network.to_owned(), subnet, route: route.to }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(texts: &[&str]) -> Vec<Used> {
        texts
            .iter()
            .map(|text| Used { subnet: text.parse().unwrap(), network: format!("of {text}") })
            .collect()
    }

    fn route(to: &str) -> Route {
        Route { to: to.parse().unwrap(), link: 3, metric: 0, gateway: None, of_address: true }
    }

    #[test]
    fn the_first_free_subnet_is_taken() {
        assert_eq!(free("n", &[], &[]).unwrap().to_string(), "10.201.0.0/24");
        let others = used(&["10.201.0.0/24", "10.201.2.0/23"]);
        assert_eq!(free("n", &others, &[]).unwrap().to_string(), "10.201.1.0/24");
        let others = used(&["10.201.0.0/24", "10.201.1.128/25", "10.201.2.0/23"]);
        assert_eq!(free("n", &others, &[]).unwrap().to_string(), "10.201.4.0/24");
    }

    #[test]
    fn routes_of_the_host_are_avoided_but_default_ones() {
        let routes = [route("0.0.0.0/0"), route("0.0.0.0/1"), route("128.0.0.0/1"), route("10.0.0.0/8")];
        assert_eq!(free("n", &[], &routes).unwrap().to_string(), "172.16.0.0/24");
        let routes = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/17", "192.168.128.0/24"].map(route);
        assert_eq!(free("n", &[], &routes).unwrap().to_string(), "192.168.129.0/24");
        let routes = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].map(route);
        assert!(matches!(free("n", &[], &routes), Err(Error::NoFreeSubnet(_))));
    }

    #[test]
    fn thousands_of_subnets_are_found() {
        let mut others = Vec::new();
        for _ in 0..1000 {
            let subnet = free("n", &others, &[]).unwrap();
            check("n", subnet, &others).unwrap();
            others.push(Used { subnet, network: "other".into() });
        }
    }

    #[test]
    fn an_overlap_names_both_networks() {
        let error = check("mine", "10.1.0.0/16".parse().unwrap(), &used(&["10.1.2.0/24"])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "subnet 10.1.0.0/16 of network mine overlaps with 10.1.2.0/24 of network of 10.1.2.0/24"
        );
        let error =
            check_routes("mine", "192.168.1.0/24".parse().unwrap(), &[route("192.168.0.0/16")], Some(4));
        assert!(error.unwrap_err().to_string().contains("the host's route to 192.168.0.0/16"));
        check_routes("mine", "192.168.1.0/24".parse().unwrap(), &[route("192.168.0.0/16")], Some(3)).unwrap();
    }

    #[test]
    fn ipv6_subnets_are_unique_local_ones() {
        let (one, other) = (unique_local().unwrap(), unique_local().unwrap());
        assert!(one.to_string().starts_with("fd") && one.prefix() == 64 && one != other);
    }
}
