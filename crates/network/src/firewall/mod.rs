//! The host's rules for berth's networks: a table of nf_tables of our own, written over netlink.
//!
//! Every change of any table gives the host's rules a new generation. The one that was last known to be right is noted in
//! `RUN/network/firewall`; as long as the kernel says the same, nobody has touched anything, and nothing need be looked
//! at. Otherwise the table is looked at, and written anew from what is on disk if something of it is missing: so what
//! somebody flushed is back with the next command.
//!
//! A table is written for a generation: where another came in between (a container published a port meanwhile), the
//! kernel refuses, and what is on disk is read again.

mod elements;
mod expression;
mod foreign;
pub(crate) mod loopback;
mod ruleset;
mod table;

use std::sync::Mutex;

use namespace::netlink::{BatchRefusal, Netlink, Refusal, Request, attributes, text};
use rustix::io::Errno;

use self::ruleset::Variant;
use self::table::{Element, INET};
use crate::endpoint::Attachment;
use crate::network::Network;
use crate::settings::GatewayMode;
use crate::{Error, Networks, Result, bridge, disk};

/// So often is the table written for a generation that passes by meanwhile.
const ATTEMPTS: u32 = 200;
/// NFTA_GEN_ID, NFTA_TABLE_USERDATA.
const GENERATION_ID: u16 = 1;
const TABLE_USERDATA: u16 = 6;
/// "Interrupted system call should be restarted": no errno of user space, but nfnetlink's for another generation.
const ERESTART: i32 = 85;

/// A socket to nf_tables in the host's network namespace.
struct Firewall {
    netlink: Netlink,
    namespace: u64,
    /// The name of our table.
    table: String,
}

/// The socket that was used last. It stays open: its end waits until the kernel has freed what was deleted by whomever,
/// which is a grace period of RCU, 10 ms and more. So that is left to the end of the process.
static LAST: Mutex<Option<Firewall>> = Mutex::new(None);

/// Does something by a socket to nf_tables, which is opened at its first use.
fn with_firewall<T>(table: String, work: impl FnOnce(&Firewall) -> Result<T>) -> Result<T> {
    let last = || LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let own = own_namespace()?;
    let kept = last().take().filter(|firewall| firewall.namespace == own);
    let mut firewall = kept.map_or_else(|| Firewall::open(own), Ok)?;
    firewall.table = table;
    let outcome = work(&firewall);
    *last() = Some(firewall);
    outcome
}

/// The inode of the caller's network namespace, which tells it from others.
fn own_namespace() -> Result<u64> {
    let path = "/proc/thread-self/ns/net";
    let stat = rustix::fs::stat(path).map_err(|errno| Error::file("look up", path.as_ref(), errno))?;
    Ok(stat.st_ino)
}

impl Firewall {
    fn open(namespace: u64) -> Result<Self> {
        let netlink = Netlink::open_netfilter().map_err(no_nf_tables)?;
        Ok(Self { netlink, namespace, table: String::new() })
    }

    /// The generation that the rules of the host are of.
    fn generation(&self) -> Result<u32> {
        let answer = self.netlink.get(&table::request(table::GET_GENERATION, 0)).map_err(no_nf_tables)?;
        let found = attributes(&answer, 4).find(|(kind, _)| *kind == GENERATION_ID);
        let id = found.and_then(|(_, value)| value.first_chunk()).map(|bytes| u32::from_be_bytes(*bytes));
        id.ok_or_else(|| no_nf_tables(Errno::PROTO.into()))
    }

    /// Has all or nothing done.
    fn commit(&self, requests: Vec<Request>, generation: Option<u32>) -> Result<(), BatchRefusal> {
        self.netlink.batch(&table::transaction(requests, generation))
    }

    /// Whether our table is there, of this layout, with all of its rules.
    fn is_whole(&self) -> Result<bool, Refusal> {
        let answer = match self.netlink.get(&table::request(table::GET_TABLE, INET).text(1, &self.table)) {
            Err(refusal) if refusal.errno == Errno::NOENT => return Ok(false),
            other => other?,
        };
        let variant = variant();
        let written = attributes(&answer, 4).find(|(kind, _)| *kind == TABLE_USERDATA);
        if written.is_none_or(|(_, value)| value != table::user_comment(&variant.comment())) {
            return Ok(false);
        }
        let rules = self.netlink.list(&table::request(table::GET_RULE, INET).text(1, &self.table))?;
        // Kernels before 4.20 tell of all tables' rules.
        let ours = rules
            .iter()
            .filter(|rule| attributes(rule, 4).any(|(kind, value)| kind == 1 && text(value) == self.table));
        Ok(ours.count() >= ruleset::number_of_rules(variant))
    }
}

/// What is so on this host.
fn variant() -> Variant {
    Variant { loopback6: !bridge::filters_bridged_packets(true) }
}

fn no_nf_tables(refusal: Refusal) -> Error {
    match refusal.errno {
        Errno::PERM | Errno::ACCESS => Error::kernel("read generation of", "nf_tables", refusal),
        _ => Error::NotInKernel {
            what: "nf_tables (CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT, CONFIG_NFT_MASQ, CONFIG_NFT_FIB_INET)"
                .into(),
            whom: "a network that is translated or publishes ports".into(),
        },
    }
}

impl Networks {
    /// The name of the table: `berth`, and for networks beside others with their tag.
    fn table(&self) -> String {
        format!("{}{}", ruleset::TABLE, self.tag())
    }

    /// Has the rules know a network.
    pub(crate) fn firewall_add_network(&self, network: &Network) -> Result<()> {
        self.put_elements(elements::of_network(network)?)
    }

    /// Has the rules forget a network.
    pub(crate) fn firewall_remove_network(&self, network: &Network) -> Result<()> {
        self.take_elements(elements::of_network(network)?)
    }

    /// Has the rules be right for a container of these networks, whose ports are published.
    pub(crate) fn firewall_attach(&self, networks: &[&Network], attachment: &Attachment) -> Result<()> {
        if !networks.iter().any(|network| network.driver.has_bridge()) {
            return Ok(());
        }
        self.put_elements(elements::of_attachment(attachment, routed(networks, attachment)?))
    }

    /// Has the published ports of a container lead nowhere any more.
    pub(crate) fn firewall_detach(&self, attachment: &Attachment) -> Result<()> {
        if attachment.ports.is_empty() {
            return Ok(());
        }
        let networks = self.networks_of(attachment)?;
        let networks: Vec<&Network> = networks.iter().collect();
        self.take_elements(elements::of_attachment(attachment, routed(&networks, attachment)?))
    }

    pub(crate) fn networks_of(&self, attachment: &Attachment) -> Result<Vec<Network>> {
        let find = |id: &str| match self.find(id) {
            Err(Error::NoSuchNetwork(_)) => Ok(None),
            other => other.map(Some),
        };
        let found: Result<Vec<_>> =
            attachment.endpoints.iter().map(|endpoint| find(&endpoint.network_id)).collect();
        Ok(found?.into_iter().flatten().collect())
    }

    fn put_elements(&self, elements: Vec<Element>) -> Result<()> {
        with_firewall(self.table(), |firewall| self.put_by(firewall, &elements))
    }

    fn put_by(&self, firewall: &Firewall, elements: &[Element]) -> Result<()> {
        if let Some(left) = self.left_networks()? {
            self.write_anew(firewall)?;
            return left.end();
        }
        let before = firewall.generation()?;
        if self.known_generation() != Some(before) && self.look_over(firewall, before)? {
            // Written from disk, where these elements stand already.
            return Ok(());
        }
        if elements.is_empty() {
            return Ok(());
        }
        match firewall.commit(table::change(INET, &firewall.table, elements, true), None) {
            Ok(()) => self.note_generation(firewall, before),
            // Something of the table went away just now, or another life of the container left elements behind.
            Err(_) => self.write_anew(firewall),
        }
    }

    fn take_elements(&self, elements: Vec<Element>) -> Result<()> {
        if elements.is_empty() {
            return Ok(());
        }
        with_firewall(self.table(), |firewall| self.take_by(firewall, &elements))
    }

    fn take_by(&self, firewall: &Firewall, elements: &[Element]) -> Result<()> {
        let before = firewall.generation()?;
        match firewall.commit(table::change(INET, &firewall.table, elements, false), None) {
            Ok(()) => self.note_generation(firewall, before),
            // All are away with the table.
            Err(refused) if refused.refusal.errno == Errno::NOENT && !firewall.is_whole().unwrap_or(true) => {
                Ok(())
            }
            Err(refused) if refused.refusal.errno == Errno::NOENT => self.take_one_by_one(firewall, elements),
            Err(refused) => {
                Err(Error::kernel("remove elements from", "nftables table inet berth", refused.refusal))
            }
        }
    }

    /// Some of them are away already.
    fn take_one_by_one(&self, firewall: &Firewall, elements: &[Element]) -> Result<()> {
        for element in elements {
            let one = std::slice::from_ref(element);
            match firewall.commit(table::change(INET, &firewall.table, one, false), None) {
                Err(refused) if refused.refusal.errno != Errno::NOENT => {
                    return Err(Error::kernel(
                        "remove elements from",
                        "nftables table inet berth",
                        refused.refusal,
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Looks at everything after somebody changed something; says whether the table was written anew.
    fn look_over(&self, firewall: &Firewall, generation: u32) -> Result<bool> {
        let look = |refusal| Error::kernel("read", "nftables table inet berth", refusal);
        if !firewall.is_whole().map_err(look)? {
            self.write_anew(firewall)?;
            return Ok(true);
        }
        if !foreign::let_through(&firewall.netlink, &self.link_prefixes()?)? {
            self.write_generation(generation)?;
        }
        Ok(false)
    }

    /// Writes the whole table from what is on disk, in one transaction.
    fn write_anew(&self, firewall: &Firewall) -> Result<()> {
        let failed =
            |refused: BatchRefusal| Error::kernel("write", "nftables table inet berth", refused.refusal);
        for _ in 0..ATTEMPTS {
            let generation = firewall.generation()?;
            let mut requests = ruleset::create(&firewall.table, variant());
            requests.extend(table::change(INET, &firewall.table, &self.all_elements()?, true));
            match firewall.commit(requests, Some(generation)) {
                Err(refused) if refused.refusal.errno.raw_os_error() == ERESTART => {}
                Err(refused)
                    if refused.refusal.errno == Errno::OPNOTSUPP || refused.refusal.errno == Errno::NOENT =>
                {
                    return Err(no_nf_tables(refused.refusal));
                }
                other => {
                    other.map_err(failed)?;
                    foreign::let_through(&firewall.netlink, &self.link_prefixes()?)?;
                    return Ok(());
                }
            }
        }
        Err(Error::kernel(
            "write",
            "nftables table inet berth: the host's rules never stop changing",
            Errno::AGAIN,
        ))
    }

    /// What all networks and containers on disk put into the sets.
    fn all_elements(&self) -> Result<Vec<Element>> {
        let networks = self.list()?;
        let mut all = Vec::new();
        for network in &networks {
            all.extend(elements::of_network(network)?);
        }
        for attachment in self.attachments()? {
            let has = |network: &&Network| {
                attachment.endpoints.iter().any(|endpoint| endpoint.network_id == network.id)
            };
            let own: Vec<&Network> = networks.iter().filter(has).collect();
            all.extend(elements::of_attachment(&attachment, routed(&own, &attachment)?));
        }
        all.sort_by_key(|element| element.set);
        Ok(all)
    }

    /// How the names of berth's bridges begin.
    fn link_prefixes(&self) -> Result<Vec<String>> {
        let mut prefixes = vec!["berth".to_owned()];
        for network in self.list()?.iter().filter(|network| network.driver.has_bridge()) {
            let bridge = network.settings()?.bridge;
            if !bridge.starts_with("berth") {
                // With its NUL, so that it is the whole name.
                prefixes.push(format!("{bridge}\0"));
            }
        }
        Ok(prefixes)
    }

    fn known_generation(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.run().join("firewall")).ok()?;
        let (generation, namespace) = text.split_once(' ')?;
        // That of an ordinary user's bridges comes and goes.
        (namespace.parse::<u64>().ok()? == own_namespace().ok()?).then(|| generation.parse().ok())?
    }

    /// Notes the generation after a change of ours, where it was the only one.
    fn note_generation(&self, firewall: &Firewall, before: u32) -> Result<()> {
        let now = firewall.generation()?;
        if self.known_generation() == Some(before) && now == before.wrapping_add(1) {
            self.write_generation(now)?;
        }
        Ok(())
    }

    fn write_generation(&self, generation: u32) -> Result<()> {
        disk::replace(&self.run().join("firewall"), format!("{generation} {}", own_namespace()?).as_bytes())
    }

    /// Looks whether the rules are as they were last written, where any were since the host's start, and makes them whole.
    ///
    /// # Errors
    /// Where they can't be read or written.
    pub fn mend(&self) -> Result<()> {
        if self.known_generation().is_none() { Ok(()) } else { self.put_elements(Vec::new()) }
    }

    /// Looks at everything, and makes what is missing.
    pub(crate) fn repair_firewall(&self) -> Result<()> {
        with_firewall(self.table(), |firewall| self.write_anew(firewall))
    }
}

/// For which families the network that a container's ports are published by does not translate.
fn routed(networks: &[&Network], attachment: &Attachment) -> Result<[bool; 2]> {
    let mut routed = [false; 2];
    for ipv6 in [false, true] {
        let way = attachment.way_out(ipv6);
        let network = networks.iter().find(|network| way.is_some_and(|way| way.network_id == network.id));
        if let Some(network) = network {
            routed[usize::from(ipv6)] = network.settings()?.gateway_mode(ipv6) == GatewayMode::Routed;
        }
    }
    Ok(routed)
}
