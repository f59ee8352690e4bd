//! Inside a container: what is for the resolver's address goes to the port that the resolver has, so that the container
//! can have port 53 for itself. Two rules for each protocol write the port into the packets, without tracking of
//! connections, which would cost every other connection of the container something too.

use std::net::Ipv4Addr;

use namespace::netlink::{Netlink, Request};
use rustix::io::Errno;

use super::expression::Rule;
use super::table::{self, Hook, IPV4};
use crate::{Error, Result};

/// The table in the container.
const TABLE: &str = "berth_resolver";
/// Where names are asked for.
const DNS: u16 = 53;

/// Leads port 53 of `address` to the given ports, for UDP and TCP. The caller is in the container's network namespace.
pub(crate) fn redirect(address: Ipv4Addr, udp: u16, tcp: u16) -> Result<()> {
    let failed = |refusal| Error::kernel("redirect the resolver's port by", "nf_tables", refusal);
    let netlink = Netlink::open_netfilter().map_err(failed)?;
    match netlink.batch(&table::transaction(rules(address, udp, tcp), None)) {
        // An earlier resolver of the same container was killed. To delete is slow: the socket's end waits for it.
        Err(refused) if refused.refusal.errno == Errno::EXIST => {
            let delete = table::delete_table(IPV4, TABLE);
            let requests = std::iter::once(delete).chain(rules(address, udp, tcp)).collect();
            netlink.batch(&table::transaction(requests, None)).map_err(|refused| failed(refused.refusal))
        }
        Err(refused) if refused.refusal.errno == Errno::OPNOTSUPP => {
            Err(Error::NotInKernel { what: "nf_tables".into(), whom: "the resolver of names".into() })
        }
        other => other.map_err(|refused| failed(refused.refusal)),
    }
}

fn rules(address: Ipv4Addr, udp: u16, tcp: u16) -> Vec<Request> {
    let mut requests = vec![
        table::new_table(IPV4, TABLE, "names of berth's networks").flags(libc::NLM_F_EXCL),
        table::base_chain(IPV4, TABLE, "output", "filter", Hook::Output, -300),
    ];
    for (protocol, port) in [(libc::IPPROTO_UDP as u8, udp), (libc::IPPROTO_TCP as u8, tcp)] {
        let octets = address.octets();
        let there =
            Rule::new("questions").ipv4_port(false, octets, protocol, DNS).write_port(false, protocol, port);
        let back =
            Rule::new("answers").ipv4_port(true, octets, protocol, port).write_port(true, protocol, DNS);
        requests.extend([there, back].iter().map(|rule| table::rule(IPV4, TABLE, "output", rule)));
    }
    requests
}
