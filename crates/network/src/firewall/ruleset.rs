//! The rules of table `inet berth`. They are always the same: what networks and containers there are stands in sets and
//! maps, so that a container comes and goes by a few elements, whether it publishes one port or ten thousand.
//!
//! ```text
//! input        filter 300         asked about a gated port, the host's rules let somebody in: heard
//! raw          prerouting -300    a container asks for the host's 127.0.0.1: dropped (CVE-2020-8558)
//! prerouting   nat -100           for an address of the host → ports
//! output       nat -100           the same for what the host itself sends, to 127.0.0.1 too
//! ports                           maps of published ports: by address, by number, by range
//! forward      filter 0           between networks, into and out of internal ones, to unpublished ports: dropped
//! postrouting  nat 100            masquerading; a container that asks for its own published port
//! ```
//! A gated port (`--publish-policy host-firewall`) is led to its container only for those whom the host's input rules let in.
//! They are asked by a first packet that is not led anywhere: if it comes as far as `input`, its sender is heard for a while,
//! and the packet is dropped; it is sent again.
//!
//! Accepting here ends this table's say alone; others may drop all the same. Dropping is final.

use namespace::netlink::Request;

use super::expression::{Rule, Verdict};
use super::table::{self, Field, Hook, INET, Set};

/// The table.
pub(super) const TABLE: &str = "berth";
/// What tells one layout of the rules from another: a table of an older berth is written anew.
const LAYOUT: &str = "networks of berth, layout 3; `berth network repair` writes it anew";

/// What the rules depend on beside networks and containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variant {
    /// Whether the host may reach published ports by ::1. With br_netfilter an answer has its address translated back
    /// before IPv6 sees it, which takes nothing for ::1 that comes by a link.
    pub loopback6: bool,
}

impl Variant {
    /// As the table notes it.
    pub fn comment(self) -> String {
        let more = if self.loopback6 { "; published on ::1" } else { "" };
        format!("{LAYOUT}{more}")
    }
}

const NOTHING: &[Field] = &[];
const PAIR: &[Field] = &[Field::Link, Field::Link];

const fn set(name: &'static str, key: &'static [Field], interval: bool) -> Set {
    Set { name, key, data: NOTHING, interval, heard_for: None }
}

const fn map(name: &'static str, key: &'static [Field], data: &'static [Field], interval: bool) -> Set {
    Set { name, key, data, interval, heard_for: None }
}

/// Senders that the host's rules have let in.
const fn heard(name: &'static str, key: &'static [Field]) -> Set {
    Set { name, key, data: NOTHING, interval: false, heard_for: Some(HEARD_FOR) }
}

/// Five minutes: so long after the host's rules have changed a sender is let in whom they would not let in any more.
const HEARD_FOR: u64 = 5 * 60 * 1000;

use Field::{Ipv4, Ipv6, Link, Port, Protocol};

/// All sets and maps.
pub(super) const SETS: &[Set] = &[
    set("bridges", &[Link], false),
    set("same", PAIR, false),
    set("apart", PAIR, false),
    set("internal", &[Link], false),
    set("guarded4", &[Link], false),
    set("guarded6", &[Link], false),
    set("trusted", PAIR, false),
    set("own4", &[Link, Ipv4], true),
    set("own6", &[Link, Ipv6], true),
    set("masquerade4", &[Ipv4], true),
    set("masquerade6", &[Ipv6], true),
    map("source4", &[Ipv4], &[Ipv4], true),
    map("source6", &[Ipv6], &[Ipv6], true),
    set("open4", &[Ipv4, Protocol, Port], true),
    set("open6", &[Ipv6, Protocol, Port], true),
    set("gated4", &[Ipv4, Protocol, Port], true),
    set("gated6", &[Ipv6, Protocol, Port], true),
    heard("heard4", &[Ipv4, Protocol, Port]),
    heard("heard6", &[Ipv6, Protocol, Port]),
    map("at4", &[Ipv4, Protocol, Port], &[Ipv4, Port], false),
    map("at6", &[Ipv6, Protocol, Port], &[Ipv6, Port], false),
    map("any4", &[Protocol, Port], &[Ipv4, Port], false),
    map("any6", &[Protocol, Port], &[Ipv6, Port], false),
    map("range4", &[Ipv4, Protocol, Port], &[Ipv4], true),
    map("range6", &[Ipv6, Protocol, Port], &[Ipv6], true),
];

/// A chain with its rules; without a place it is jumped to.
struct Chain {
    name: &'static str,
    /// Type, hook and priority.
    place: Option<(&'static str, Hook, i32)>,
    rules: Vec<Rule>,
}

fn chains(variant: Variant) -> Vec<Chain> {
    let at = |name, kind, hook, priority, rules| Chain { name, place: Some((kind, hook, priority)), rules };
    vec![
        Chain { name: "ports", place: None, rules: ports() },
        at("raw", "filter", Hook::Prerouting, -300, raw()),
        at("input", "filter", Hook::Input, 300, input()),
        at("prerouting", "nat", Hook::Prerouting, -100, prerouting()),
        at("output", "nat", Hook::Output, -100, output(variant)),
        at("forward", "filter", Hook::Forward, 0, forward()),
        at("postrouting", "nat", Hook::Postrouting, 100, postrouting()),
    ]
}

fn ports() -> Vec<Rule> {
    let rules = |ipv6: bool, [at, any, range]: [&str; 3]| {
        [
            Rule::new("published on an address").translate_to(ipv6, at, true, true),
            Rule::new("published on all").translate_to(ipv6, any, false, true),
            Rule::new("published by range").translate_to(ipv6, range, true, false),
        ]
    };
    rules(false, ["at4", "any4", "range4"])
        .into_iter()
        .chain(rules(true, ["at6", "any6", "range6"]))
        .collect()
}

fn raw() -> Vec<Rule> {
    let rule = |ipv6| {
        let rule = Rule::new("the host's loopback is not the containers'").coming_by("bridges");
        rule.for_loopback(ipv6).then(Verdict::Drop)
    };
    vec![rule(false), rule(true)]
}

/// What comes over the wire for a loopback address is nobody's: without this it would be translated before the kernel
/// refuses it, and a port published on 127.0.0.1 would be open to the neighbours.
fn prerouting() -> Vec<Rule> {
    let lost = |ipv6| Rule::new("loopback is not on the wire").for_loopback(ipv6).then(Verdict::Return);
    let unheard = |ipv6, gated, heard| {
        Rule::new("the host's input rules are asked first").unheard(ipv6, gated, heard).then(Verdict::Return)
    };
    vec![
        lost(false),
        lost(true),
        unheard(false, "gated4", "heard4"),
        unheard(true, "gated6", "heard6"),
        to_ports(),
    ]
}

/// After all others' rules. What is dropped is sent again, and led to the container then.
fn input() -> Vec<Rule> {
    let let_in =
        |ipv6, gated, heard| Rule::new("the host lets it in").hear(ipv6, gated, heard).then(Verdict::Drop);
    vec![let_in(false, "gated4", "heard4"), let_in(true, "gated6", "heard6")]
}

/// Where answers would not reach ::1, who tries is refused at once, and takes 127.0.0.1.
fn output(variant: Variant) -> Vec<Rule> {
    let no_way = Rule::new("br_netfilter bars answers to ::1").for_loopback(true).then(Verdict::Return);
    let no_way = (!variant.loopback6).then_some(no_way);
    no_way.into_iter().chain([to_ports()]).collect()
}

fn to_ports() -> Rule {
    Rule::new("for the host").for_host().then(Verdict::Jump("ports"))
}

fn forward() -> Vec<Rule> {
    let open =
        |ipv6, set| Rule::new("published in a routed network").for_open_port(ipv6, set).then(Verdict::Accept);
    let guarded = |ipv6, set| Rule::new("not published").family(ipv6).leaving_by(set).then(Verdict::Drop);
    vec![
        Rule::new("not ours").not_coming_by("bridges").not_leaving_by("bridges").then(Verdict::Accept),
        Rule::new("answers").known().then(Verdict::Accept),
        // What a bridge carries comes by here only with br_netfilter; without, its ports are told to be apart.
        Rule::new("containers are apart").between_links("apart").not_translated().then(Verdict::Drop),
        Rule::new("within a network").between_links("same").then(Verdict::Accept),
        Rule::new("internal networks end here").coming_by("internal").then(Verdict::Drop),
        Rule::new("internal networks end here").leaving_by("internal").then(Verdict::Drop),
        Rule::new("published").translated().then(Verdict::Accept),
        Rule::new("trusted by the network").between_links("trusted").then(Verdict::Accept),
        open(false, "open4"),
        open(true, "open6"),
        Rule::new("networks are apart").coming_by("bridges").leaving_by("bridges").then(Verdict::Drop),
        guarded(false, "guarded4"),
        guarded(true, "guarded6"),
    ]
}

fn postrouting() -> Vec<Rule> {
    let host = |ipv6| {
        Rule::new("the host by its loopback").leaving_by("bridges").sent_by_loopback(ipv6).masquerade()
    };
    let hairpin = |ipv6, set| Rule::new("back into its own network").translated().own(ipv6, set).masquerade();
    let source = |ipv6, map| Rule::new("leaves with a given address").come_from(ipv6, map);
    let leaves = |ipv6, set| {
        Rule::new("leaves with the host's address").sent_by(ipv6, set).not_for_groups(ipv6).masquerade()
    };
    vec![
        host(false),
        host(true),
        hairpin(false, "own4"),
        hairpin(true, "own6"),
        Rule::new("clients keep their addresses").leaving_by("bridges").then(Verdict::Return),
        source(false, "source4"),
        source(true, "source6"),
        leaves(false, "masquerade4"),
        leaves(true, "masquerade6"),
    ]
}

/// How many rules there are: what is left of them after somebody's flush is fewer.
pub(super) fn number_of_rules(variant: Variant) -> usize {
    chains(variant).iter().map(|chain| chain.rules.len()).sum()
}

/// The whole table, empty sets and all, in place of one that is there.
pub(super) fn create(name: &str, variant: Variant) -> Vec<Request> {
    let comment = variant.comment();
    let mut requests = vec![
        // Made, so that there is one to delete.
        table::new_table(INET, name, &comment),
        table::delete_table(INET, name),
        table::new_table(INET, name, &comment),
    ];
    requests.extend(SETS.iter().zip(1..).map(|(set, id)| set.create(INET, name, id)));
    let chains = chains(variant);
    for chain in &chains {
        requests.push(match chain.place {
            None => table::chain(INET, name, chain.name),
            Some((kind, hook, priority)) => table::base_chain(INET, name, chain.name, kind, hook, priority),
        });
    }
    for chain in &chains {
        requests.extend(chain.rules.iter().map(|rule| table::rule(INET, name, chain.name, rule)));
    }
    requests
}
