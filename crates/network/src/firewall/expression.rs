//! Rules of nf_tables, as the kernel's virtual machine takes them: expressions that load, compare, look up and decide.

use namespace::netlink::Request;

// include/uapi/linux/netfilter/nf_tables.h
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;
const NFT_FIB_RESULT_ADDRTYPE: u32 = 3;
const NFTA_FIB_F_DADDR: u32 = 2;
const NFT_NAT_SNAT: u32 = 0;
const NFT_NAT_DNAT: u32 = 1;
const NFT_LOOKUP_F_INV: u32 = 1;
const DYNSET_ADD: u32 = 0;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const CMP_EQUAL: u32 = 0;
const CMP_OTHER: u32 = 1;
const CSUM_INET: u32 = 1;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const RTN_LOCAL: u32 = 2;
/// ESTABLISHED and RELATED, as nft has them.
const STATE_KNOWN: u32 = 2 | 4;
/// IPS_DST_NAT.
const STATUS_DNAT: u32 = 1 << 5;
/// The first of the 16 registers of four bytes.
const REGISTER_0: u32 = 8;

/// What a rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    Drop,
    Return,
    Jump(&'static str),
}

/// A rule that is being written: each method adds an expression, and what they all find true leads to the last, a
/// decision. Registers are counted in words of four bytes from 0 on.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    expressions: Vec<(&'static str, Request)>,
    pub comment: &'static str,
}

fn data() -> Request {
    Request::new(0, &[])
}

fn value(request: Request, kind: u16, bytes: &[u8]) -> Request {
    request.nested(kind, |data| data.attribute(NFTA_DATA_VALUE, bytes))
}

impl Rule {
    /// An empty one.
    pub fn new(comment: &'static str) -> Self {
        Self { expressions: Vec::new(), comment }
    }

    fn add(mut self, name: &'static str, data: Request) -> Self {
        self.expressions.push((name, data));
        self
    }

    fn meta(self, key: u32, register: u32) -> Self {
        self.add("meta", data().big(1, REGISTER_0 + register).big(2, key))
    }

    fn compare(self, register: u32, operation: u32, bytes: &[u8]) -> Self {
        let compared = data().big(1, REGISTER_0 + register).big(2, operation);
        self.add("cmp", value(compared, 3, bytes))
    }

    fn payload(self, base: u32, offset: u32, length: u32, register: u32) -> Self {
        let load = data().big(1, REGISTER_0 + register).big(2, base);
        self.add("payload", load.big(3, offset).big(4, length))
    }

    /// Keeps the bits of `mask` in register 0.
    fn mask(self, mask: &[u8]) -> Self {
        let length = mask.len() as u32;
        let masked = data().big(1, REGISTER_0).big(2, REGISTER_0).big(3, length);
        self.add("bitwise", value(value(masked, 4, mask), 5, &vec![0; mask.len()]))
    }

    fn look_up(self, set: &str, flags: u32) -> Self {
        self.add("lookup", data().text(1, set).big(2, REGISTER_0).big(5, flags))
    }

    /// Only packets of a family go on.
    pub fn family(self, ipv6: bool) -> Self {
        let family = if ipv6 { libc::AF_INET6 } else { libc::AF_INET } as u8;
        self.meta(META_NFPROTO, 0).compare(0, CMP_EQUAL, &[family])
    }

    /// Only what comes in by one of the links in a set.
    pub fn coming_by(self, set: &str) -> Self {
        self.meta(META_IIFNAME, 0).look_up(set, 0)
    }

    /// Only what comes in by none of them.
    pub fn not_coming_by(self, set: &str) -> Self {
        self.meta(META_IIFNAME, 0).look_up(set, NFT_LOOKUP_F_INV)
    }

    /// Only what leaves by one of the links in a set.
    pub fn leaving_by(self, set: &str) -> Self {
        self.meta(META_OIFNAME, 0).look_up(set, 0)
    }

    /// Only what leaves by none of them.
    pub fn not_leaving_by(self, set: &str) -> Self {
        self.meta(META_OIFNAME, 0).look_up(set, NFT_LOOKUP_F_INV)
    }

    /// Only what goes from one link to another, in a set of pairs.
    pub fn between_links(self, set: &str) -> Self {
        self.meta(META_IIFNAME, 0).meta(META_OIFNAME, 4).look_up(set, 0)
    }

    /// Only what comes in by a link whose name begins so, or leaves by it.
    pub fn link_prefix(self, incoming: bool, prefix: &str) -> Self {
        self.meta(if incoming { META_IIFNAME } else { META_OIFNAME }, 0).compare(
            0,
            CMP_EQUAL,
            prefix.as_bytes(),
        )
    }

    /// Only what comes from an address in a set.
    pub fn sent_by(self, ipv6: bool, set: &str) -> Self {
        self.family(ipv6).source(ipv6, 0).look_up(set, 0)
    }

    /// Only what leaves by a link and comes from an address, in a set of pairs.
    pub fn own(self, ipv6: bool, set: &str) -> Self {
        self.family(ipv6).meta(META_OIFNAME, 0).source(ipv6, 4).look_up(set, 0)
    }

    fn source(self, ipv6: bool, register: u32) -> Self {
        if ipv6 {
            self.payload(NETWORK_HEADER, 8, 16, register)
        } else {
            self.payload(NETWORK_HEADER, 12, 4, register)
        }
    }

    fn destination(self, ipv6: bool, register: u32) -> Self {
        if ipv6 {
            self.payload(NETWORK_HEADER, 24, 16, register)
        } else {
            self.payload(NETWORK_HEADER, 16, 4, register)
        }
    }

    /// Only what is for a loopback address.
    pub fn for_loopback(self, ipv6: bool) -> Self {
        let rule = self.family(ipv6).destination(ipv6, 0);
        if ipv6 {
            rule.compare(0, CMP_EQUAL, &LOOPBACK6)
        } else {
            rule.mask(&[255, 0, 0, 0]).compare(0, CMP_EQUAL, &[127, 0, 0, 0])
        }
    }

    /// Only what comes from a loopback address.
    pub fn sent_by_loopback(self, ipv6: bool) -> Self {
        let rule = self.family(ipv6).source(ipv6, 0);
        if ipv6 {
            rule.compare(0, CMP_EQUAL, &LOOPBACK6)
        } else {
            rule.mask(&[255, 0, 0, 0]).compare(0, CMP_EQUAL, &[127, 0, 0, 0])
        }
    }

    /// Only what is for one receiver: 224.0.0.0/4 and ff00::/8 are groups.
    pub fn not_for_groups(self, ipv6: bool) -> Self {
        if ipv6 {
            self.payload(NETWORK_HEADER, 24, 1, 0).compare(0, CMP_OTHER, &[255])
        } else {
            self.destination(false, 0).mask(&[240, 0, 0, 0]).compare(0, CMP_OTHER, &[224, 0, 0, 0])
        }
    }

    /// Only what is for an address of the host.
    pub fn for_host(self) -> Self {
        let fib = data().big(1, REGISTER_0).big(2, NFT_FIB_RESULT_ADDRTYPE).big(3, NFTA_FIB_F_DADDR);
        self.add("fib", fib).compare(0, CMP_EQUAL, &RTN_LOCAL.to_ne_bytes())
    }

    /// Only packets of connections that are known.
    pub fn known(self) -> Self {
        self.connection(CT_STATE, STATE_KNOWN, CMP_OTHER)
    }

    /// Only packets of connections whose destination was translated.
    pub fn translated(self) -> Self {
        self.connection(CT_STATUS, STATUS_DNAT, CMP_OTHER)
    }

    /// Only packets of connections whose destination was not.
    pub fn not_translated(self) -> Self {
        self.connection(CT_STATUS, STATUS_DNAT, CMP_EQUAL)
    }

    /// Compares bits with zero.
    fn connection(self, key: u32, bits: u32, operation: u32) -> Self {
        let rule = self.add("ct", data().big(1, REGISTER_0).big(2, key));
        rule.mask(&bits.to_ne_bytes()).compare(0, operation, &[0; 4])
    }

    /// Only what is for an address, protocol and port in a set.
    pub fn for_open_port(self, ipv6: bool, set: &str) -> Self {
        let words = if ipv6 { 4 } else { 1 };
        self.family(ipv6).destination(ipv6, 0).port(words).look_up(set, 0)
    }

    /// Only what is for an address, protocol and port in `gated`, from whom no entry in `heard` says that the host's rules
    /// let it in: by address, protocol and port.
    pub fn unheard(self, ipv6: bool, gated: &str, heard: &str) -> Self {
        let words = if ipv6 { 4 } else { 1 };
        let rule = self.for_open_port(ipv6, gated);
        rule.source(ipv6, 0).port(words).look_up(heard, NFT_LOOKUP_F_INV)
    }

    /// Enters into `heard` whoever sends to an address, protocol and port in `gated`.
    pub fn hear(self, ipv6: bool, gated: &str, heard: &str) -> Self {
        let words = if ipv6 { 4 } else { 1 };
        let rule = self.for_open_port(ipv6, gated).source(ipv6, 0).port(words);
        rule.add("dynset", data().text(1, heard).big(3, DYNSET_ADD).big(4, REGISTER_0))
    }

    /// Protocol and port of the destination, from a register on.
    fn port(self, register: u32) -> Self {
        self.meta(META_L4PROTO, register).payload(TRANSPORT_HEADER, 2, 2, register + 1)
    }

    /// Leads to where a map says, by protocol and port, and by address where `at` is set. Without `with_port` the port
    /// stays.
    pub fn translate_to(self, ipv6: bool, map: &str, at: bool, with_port: bool) -> Self {
        let words = if ipv6 { 4 } else { 1 };
        let rule = self.family(ipv6);
        let rule = if at { rule.destination(ipv6, 0).port(words) } else { rule.port(0) };
        let rule = rule.add("lookup", data().text(1, map).big(2, REGISTER_0).big(3, REGISTER_0));
        let family = if ipv6 { libc::AF_INET6 } else { libc::AF_INET } as u32;
        let nat = data().big(1, NFT_NAT_DNAT).big(2, family).big(3, REGISTER_0);
        rule.add("nat", if with_port { nat.big(5, REGISTER_0 + words) } else { nat })
    }

    /// Has what comes from the addresses of a map come from those that it says.
    pub fn come_from(self, ipv6: bool, map: &str) -> Self {
        let rule = self.family(ipv6).source(ipv6, 0);
        let rule = rule.add("lookup", data().text(1, map).big(2, REGISTER_0).big(3, REGISTER_0));
        let family = if ipv6 { libc::AF_INET6 } else { libc::AF_INET } as u32;
        rule.add("nat", data().big(1, NFT_NAT_SNAT).big(2, family).big(3, REGISTER_0))
    }

    /// Has it come from the host's address on the link that it leaves by.
    pub fn masquerade(self) -> Self {
        self.add("masq", data())
    }

    /// Counts.
    pub fn count(self) -> Self {
        self.add("counter", data())
    }

    /// Only what a UDP or TCP port of an IPv4 address gets, or sends where `sent` is set.
    pub fn ipv4_port(self, sent: bool, address: [u8; 4], protocol: u8, port: u16) -> Self {
        let rule = self.family(false);
        let rule = if sent { rule.source(false, 0) } else { rule.destination(false, 0) };
        let rule =
            rule.compare(0, CMP_EQUAL, &address).meta(META_L4PROTO, 0).compare(0, CMP_EQUAL, &[protocol]);
        rule.payload(TRANSPORT_HEADER, if sent { 0 } else { 2 }, 2, 0).compare(
            0,
            CMP_EQUAL,
            &port.to_be_bytes(),
        )
    }

    /// Writes another port into the packet: its source's where `sent` is set, else its destination's. No connection is
    /// tracked for it.
    pub fn write_port(self, sent: bool, protocol: u8, port: u16) -> Self {
        let load = value(data().big(1, REGISTER_0), 2, &port.to_be_bytes());
        let checksum = if i32::from(protocol) == libc::IPPROTO_UDP { 6 } else { 16 };
        let store =
            data().big(5, REGISTER_0).big(2, TRANSPORT_HEADER).big(3, if sent { 0 } else { 2 }).big(4, 2);
        self.add("immediate", load).add("payload", store.big(6, CSUM_INET).big(7, checksum))
    }

    /// Decides.
    pub fn then(self, verdict: Verdict) -> Self {
        let (code, chain) = match verdict {
            Verdict::Drop => (0, None),
            Verdict::Accept => (1, None),
            Verdict::Jump(chain) => (-3, Some(chain)),
            Verdict::Return => (-5, None),
        };
        let decision = data().big(1, 0).nested(2, |data| {
            data.nested(NFTA_DATA_VERDICT, |verdict| {
                let verdict = verdict.attribute(NFTA_VERDICT_CODE, &i32::to_be_bytes(code));
                chain.into_iter().fold(verdict, |verdict, chain| verdict.text(NFTA_VERDICT_CHAIN, chain))
            })
        });
        self.add("immediate", decision)
    }

    /// Writes the expressions into an attribute.
    pub fn write(&self, request: Request, kind: u16) -> Request {
        request.nested(kind, |list| {
            self.expressions.iter().fold(list, |list, (name, data)| {
                list.nested(NFTA_LIST_ELEM, |element| {
                    element.text(NFTA_EXPR_NAME, name).nested(NFTA_EXPR_DATA, |inner| inner.raw(data.body()))
                })
            })
        })
    }
}

const LOOPBACK6: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
