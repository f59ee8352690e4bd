//! Other people's rules. An accept of ours does not save a packet from a drop of theirs, so where the default of a
//! well-known firewall is to drop what is forwarded, two rules of ours at the head of its chain let through what comes
//! from or goes to a bridge of berth. What must not get through, our own table drops.
//!
//! The rules are what `iptables -I FORWARD -i berth+ -j ACCEPT` makes, so that iptables-nft can read its table still.

use namespace::netlink::{Netlink, Refusal, attributes, text};
use rustix::io::Errno;

use super::expression::{Rule, Verdict};
use super::table::{self, INET, IPV4, IPV6};
use crate::{Error, Result};

/// Where Docker, ufw and others have their rules by iptables-nft, and firewalld its own.
const CHAINS: [(u8, &str, &str); 3] =
    [(IPV4, "filter", "FORWARD"), (IPV6, "filter", "FORWARD"), (INET, "firewalld", "filter_FORWARD")];
/// By this our rules are known again.
const COMMENT: &str = "berth";
const RULE_HANDLE: u16 = 3;
const RULE_USERDATA: u16 = 7;

/// Adds our rules to others' chains where they are missing; says whether it did.
pub(super) fn let_through(netlink: &Netlink, prefixes: &[String]) -> Result<bool> {
    let mut changed = false;
    for (family, table, chain) in CHAINS {
        let failed = |refusal: Refusal| {
            Error::kernel("add rules to", format!("nftables chain {table} {chain}"), refusal)
        };
        changed |= let_through_chain(netlink, family, table, chain, prefixes).map_err(failed)?;
    }
    Ok(changed)
}

fn let_through_chain(
    netlink: &Netlink,
    family: u8,
    table_name: &str,
    chain: &str,
    prefixes: &[String],
) -> Result<bool, Refusal> {
    let there = table::request(table::GET_CHAIN, family).text(1, table_name).text(3, chain);
    match netlink.get(&there) {
        Err(refusal) if [Errno::NOENT, Errno::AFNOSUPPORT, Errno::OPNOTSUPP].contains(&refusal.errno) => {
            return Ok(false);
        }
        other => other?,
    };
    let ours = ours(netlink, family, table_name, chain)?;
    if ours.len() == prefixes.len() * 2 {
        return Ok(false);
    }
    let delete = |handle: &Vec<u8>| {
        table::request(table::DELETE_RULE, family)
            .text(1, table_name)
            .text(2, chain)
            .attribute(RULE_HANDLE, handle)
    };
    let mut requests: Vec<_> = ours.iter().map(delete).collect();
    for prefix in prefixes {
        for incoming in [true, false] {
            let rule = Rule::new(COMMENT).link_prefix(incoming, prefix).count().then(Verdict::Accept);
            requests.push(table::first_rule(family, table_name, chain, &rule));
        }
    }
    netlink.batch(&table::transaction(requests, None)).map_err(|refused| refused.refusal)?;
    Ok(true)
}

/// The handles of our rules in a chain.
fn ours(netlink: &Netlink, family: u8, table_name: &str, chain: &str) -> Result<Vec<Vec<u8>>, Refusal> {
    let rules = netlink.list(&table::request(table::GET_RULE, family).text(1, table_name).text(2, chain))?;
    let comment = table::user_comment(COMMENT);
    let handle = |rule: &Vec<u8>| {
        let all: Vec<_> = attributes(rule, 4).collect();
        let of = |wanted| all.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| *value);
        let ours = of(1).map(text).as_deref() == Some(table_name)
            && of(2).map(text).as_deref() == Some(chain)
            && of(RULE_USERDATA) == Some(&comment);
        ours.then(|| of(RULE_HANDLE).map(<[u8]>::to_vec)).flatten()
    };
    Ok(rules.iter().filter_map(handle).collect())
}
