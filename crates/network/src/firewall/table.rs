//! Tables, chains, sets and elements of nf_tables, as requests; and a whole ruleset as one transaction.

use namespace::netlink::Request;

use super::expression::Rule;

// include/uapi/linux/netfilter/nfnetlink.h, nf_tables.h
const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const BATCH_GENERATION: u16 = 1;
pub(super) const NEW_TABLE: u16 = SUBSYSTEM;
pub(super) const GET_TABLE: u16 = SUBSYSTEM | 1;
pub(super) const DELETE_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
pub(super) const GET_CHAIN: u16 = SUBSYSTEM | 4;
const NEW_RULE: u16 = SUBSYSTEM | 6;
pub(super) const GET_RULE: u16 = SUBSYSTEM | 7;
pub(super) const DELETE_RULE: u16 = SUBSYSTEM | 8;
const NEW_SET: u16 = SUBSYSTEM | 9;
const NEW_ELEMENTS: u16 = SUBSYSTEM | 12;
const DELETE_ELEMENTS: u16 = SUBSYSTEM | 14;
pub(super) const GET_GENERATION: u16 = SUBSYSTEM | 16;

/// Families of tables (NFPROTO_*).
pub(super) const INET: u8 = 1;
pub(super) const IPV4: u8 = 2;
pub(super) const IPV6: u8 = 10;

const FLAG_INTERVAL: u32 = 4;
const FLAG_MAP: u32 = 8;
const FLAG_TIMEOUT: u32 = 0x10;
const FLAG_BY_RULES: u32 = 0x20;
const FLAG_CONCATENATED: u32 = 0x80;
/// So many entries of rules are kept at a time: whoever invents addresses fills no memory.
const MOST_HEARD: u32 = 65_536;
const ELEMENT_INTERVAL_END: u32 = 1;
/// As many elements go into one message, whose list has at most 64 KiB; an element has at most 120 bytes.
const ELEMENTS_AT_ONCE: usize = 400;

/// struct nfgenmsg: family, version, resource.
pub(super) fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

pub(super) fn request(kind: u16, family: u8) -> Request {
    Request::new(kind, &header(family, 0))
}

/// A place where packets pass by (NF_INET_*).
#[derive(Clone, Copy, Debug)]
pub(super) enum Hook {
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

/// Puts a transaction's marks around requests; with a generation it fails where the rules are of another by now.
pub(super) fn transaction(requests: Vec<Request>, generation: Option<u32>) -> Vec<Request> {
    let begin = Request::new(BATCH_BEGIN, &header(0, SUBSYSTEM >> 8));
    let begin =
        generation.into_iter().fold(begin, |begin, generation| begin.big(BATCH_GENERATION, generation));
    let end = Request::new(BATCH_END, &header(0, SUBSYSTEM >> 8));
    std::iter::once(begin).chain(requests).chain(std::iter::once(end)).collect()
}

pub(super) fn new_table(family: u8, name: &str, comment: &str) -> Request {
    let comment = user_comment(comment);
    request(NEW_TABLE, family).flags(libc::NLM_F_CREATE).text(1, name).attribute(6, &comment)
}

pub(super) fn delete_table(family: u8, name: &str) -> Request {
    request(DELETE_TABLE, family).text(1, name)
}

/// A chain that is jumped to.
pub(super) fn chain(family: u8, table: &str, name: &str) -> Request {
    request(NEW_CHAIN, family).flags(libc::NLM_F_CREATE).text(1, table).text(3, name)
}

/// A chain that packets come by at a hook.
pub(super) fn base_chain(
    family: u8,
    table: &str,
    name: &str,
    kind: &str,
    hook: Hook,
    priority: i32,
) -> Request {
    let chain = chain(family, table, name)
        .nested(4, |data| data.big(1, hook as u32).attribute(2, &priority.to_be_bytes()));
    chain.big(5, 1).text(7, kind)
}

/// A rule, at the end of its chain.
pub(super) fn rule(family: u8, table: &str, chain: &str, rule: &Rule) -> Request {
    add_rule(family, table, chain, rule).flags(libc::NLM_F_APPEND)
}

/// A rule, at the head of its chain.
pub(super) fn first_rule(family: u8, table: &str, chain: &str, rule: &Rule) -> Request {
    add_rule(family, table, chain, rule)
}

fn add_rule(family: u8, table: &str, chain: &str, rule: &Rule) -> Request {
    let request = request(NEW_RULE, family).flags(libc::NLM_F_CREATE).text(1, table).text(2, chain);
    rule.write(request, 4).attribute(7, &user_comment(rule.comment))
}

/// What nft(8) shows as a comment: type 0, length, text with its NUL.
pub(super) fn user_comment(text: &str) -> Vec<u8> {
    let text = text.as_bytes().get(..120).unwrap_or(text.as_bytes());
    [&[0, text.len() as u8 + 1], text, &[0]].concat()
}

/// What a set's keys, or a map's data, consist of: a number by which nft(8) knows how to show it, and a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Link,
    Ipv4,
    Ipv6,
    Protocol,
    Port,
}

impl Field {
    fn number(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Link => 41,
        }
    }

    fn length(self) -> u32 {
        match self {
            Self::Ipv4 | Self::Protocol | Self::Port => 4,
            Self::Ipv6 | Self::Link => 16,
        }
    }

    /// As the kernel's concatenations by interval need to know it: without the padding.
    fn exact_length(self) -> u32 {
        match self {
            Self::Protocol => 1,
            Self::Port => 2,
            other => other.length(),
        }
    }
}

/// A set or, with data, a map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set {
    pub name: &'static str,
    pub key: &'static [Field],
    pub data: &'static [Field],
    pub interval: bool,
    /// For how many milliseconds a rule's own entries stay; none, where rules add no entries.
    pub heard_for: Option<u64>,
}

impl Set {
    /// A request for a new one.
    pub fn create(&self, family: u8, table: &str, id: u32) -> Request {
        let kind = |fields: &[Field]| fields.iter().fold(0, |kind, field| kind << 6 | field.number());
        let length = |fields: &[Field]| fields.iter().map(|field| field.length()).sum();
        let concatenated = self.interval && self.key.len() > 1;
        let flags = [
            (self.interval, FLAG_INTERVAL),
            (!self.data.is_empty(), FLAG_MAP),
            (concatenated, FLAG_CONCATENATED),
            (self.heard_for.is_some(), FLAG_TIMEOUT | FLAG_BY_RULES),
        ];
        let flags = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum();
        let mut request =
            request(NEW_SET, family).flags(libc::NLM_F_CREATE).text(1, table).text(2, self.name);
        request = request.big(3, flags).big(4, kind(self.key)).big(5, length(self.key));
        if !self.data.is_empty() {
            request = request.big(6, kind(self.data)).big(7, length(self.data));
        }
        if concatenated {
            request = request.nested(9, |description| {
                description.nested(2, |fields| {
                    self.key.iter().fold(fields, |fields, field| {
                        fields.nested(1, |data| data.big(1, field.exact_length()))
                    })
                })
            });
        }
        if let Some(milliseconds) = self.heard_for {
            let limited = request.nested(9, |description| description.big(1, MOST_HEARD));
            request = limited.attribute(11, &milliseconds.to_be_bytes());
        }
        if self.key == [Field::Link] {
            // For nft(8): that the key is text and no number (type 0, length, BYTEORDER_HOST_ENDIAN).
            let host_endian = [&[0, 4][..], &1u32.to_ne_bytes()].concat();
            request = request.attribute(13, &host_endian);
        }
        request.big(10, id)
    }
}

/// An element of a set, with the set's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub set: &'static str,
    pub key: Vec<u8>,
    /// The last key of an interval of concatenated ones.
    pub last: Option<Vec<u8>>,
    /// Whether it marks where an interval of plain keys has ended.
    pub is_end: bool,
    pub data: Option<Vec<u8>>,
}

impl Element {
    fn write(&self, list: Request) -> Request {
        let value = |bytes: &[u8]| {
            let bytes = bytes.to_vec();
            move |data: Request| data.attribute(1, &bytes)
        };
        list.nested(1, |element| {
            let mut element = element.nested(1, value(&self.key));
            if let Some(last) = &self.last {
                element = element.nested(10, value(last));
            }
            if self.is_end {
                element = element.big(3, ELEMENT_INTERVAL_END);
            }
            if let Some(data) = &self.data {
                element = element.nested(2, value(data));
            }
            element
        })
    }
}

/// Requests that add elements, or take them away.
pub(super) fn change(family: u8, table: &str, elements: &[Element], add: bool) -> Vec<Request> {
    let mut requests = Vec::new();
    let of_one_set = elements.chunk_by(|one, other| one.set == other.set);
    for chunk in of_one_set.flat_map(|elements| elements.chunks(ELEMENTS_AT_ONCE)) {
        let kind = if add { NEW_ELEMENTS } else { DELETE_ELEMENTS };
        let request = request(kind, family).flags(if add { libc::NLM_F_CREATE } else { 0 });
        let request = request.text(1, table).text(2, chunk[0].set);
        requests.push(request.nested(3, |list| chunk.iter().fold(list, |list, element| element.write(list))));
    }
    requests
}
