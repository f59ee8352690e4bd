//! Messages of DNS (RFC 1035, 6891), as much as a resolver for containers needs: one question in, addresses or a name out.
//!
//! What comes in is hostile. Every offset is checked, nothing is followed backwards, and nothing is copied that was not
//! looked at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const A: u16 = 1;
pub(super) const PTR: u16 = 12;
pub(super) const AAAA: u16 = 28;
const OPT: u16 = 41;
const IN: u16 = 1;
const HEADER: usize = 12;
/// What fits a datagram whose sender says nothing else, and what is safe where it says more (DNS flag day 2020).
const PLAIN_SIZE: usize = 512;
const LARGEST_SIZE: usize = 1232;
/// So long an answer may be kept: containers come and go.
const TTL: u32 = 5;

const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const AUTHORITATIVE: u16 = 0x0400;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const RECURSION_AVAILABLE: u16 = 0x0080;

/// How an answer turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    NoError = 0,
    FormatError = 1,
    ServerFailure = 2,
    NoSuchName = 3,
    NotImplemented = 4,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub id: u16,
    flags: u16,
    /// In lower case, without the last dot; `None` where a label has bytes that no host's name has.
    pub name: Option<String>,
    pub kind: u16,
    /// Whether it is about the Internet.
    pub is_internet: bool,
    /// The question's own bytes.
    bytes: Vec<u8>,
    /// How large a datagram the sender takes, where it speaks EDNS.
    edns: Option<usize>,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data {
    Addresses(Vec<IpAddr>),
    Name(String),
}

/// Reads a question. What is none at all, an answer say, is `Err(None)`: nobody waits for a reply to it.
pub(super) fn parse(message: &[u8]) -> Result<Question, Option<Vec<u8>>> {
    let header = message.first_chunk::<HEADER>().ok_or(None)?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (id, flags) = (word(0), word(2));
    if flags & RESPONSE != 0 {
        return Err(None);
    }
    let refuse = |code: Code| Err(Some(bare(id, flags, code)));
    if flags & OPCODE != 0 {
        return refuse(Code::NotImplemented);
    }
    let Some((name, end)) = (word(4) == 1).then(|| read_name(message, HEADER)).flatten() else {
        return refuse(Code::FormatError);
    };
    let (Some(kind), Some(class)) = (word_at(message, end), word_at(message, end + 2)) else {
        return refuse(Code::FormatError);
    };
    let records = usize::from(word(6)) + usize::from(word(8)) + usize::from(word(10));
    let Some(edns) = find_edns(message, end + 4, records) else { return refuse(Code::FormatError) };
    let bytes = message.get(HEADER..end + 4).unwrap_or_default().to_vec();
    Ok(Question { id, flags, name, kind, is_internet: class == IN, bytes, edns })
}

/// A reply without a question, for what could not be read.
fn bare(id: u16, flags: u16, code: Code) -> Vec<u8> {
    let flags = RESPONSE | flags & (OPCODE | RECURSION_DESIRED) | RECURSION_AVAILABLE | code as u16;
    [id, flags, 0, 0, 0, 0].iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// The name that begins at `at`, and where it ends. In a question it can't point to an earlier one.
fn read_name(message: &[u8], mut at: usize) -> Option<(Option<String>, usize)> {
    let start = at;
    let mut name = Some(String::new());
    loop {
        let length = usize::from(*message.get(at)?);
        if length == 0 {
            return (at - start < 255).then_some((name, at + 1));
        }
        if length > 63 {
            return None;
        }
        let label = message.get(at + 1..at + 1 + length)?;
        let plain = label.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'.');
        name = name.filter(|_| plain).map(|mut name| {
            if !name.is_empty() {
                name.push('.');
            }
            name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
            name
        });
        at += 1 + length;
    }
}

/// The size in the record of EDNS among those behind the question, if there is one; `None` for broken records.
fn find_edns(message: &[u8], mut at: usize, records: usize) -> Option<Option<usize>> {
    let mut size = None;
    for _ in 0..records {
        at = skip_name(message, at)?;
        let (kind, class) = (word_at(message, at)?, word_at(message, at + 2)?);
        let length = usize::from(word_at(message, at + 8)?);
        message.get(at + 10..at + 10 + length)?;
        at += 10 + length;
        if kind == OPT {
            size = Some(usize::from(class));
        }
    }
    Some(size)
}

/// Behind the name at `at`. A pointer ends it, so that no loop is possible.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match usize::from(*message.get(at)?) {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length if length < 64 => at += 1 + length,
            _ => return None,
        }
    }
}

fn word_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?))
}

impl Question {
    /// A reply with as much of `data` as is asked for, for a datagram or, without a limit, a stream.
    pub fn reply(&self, code: Code, data: &Data, is_datagram: bool) -> Vec<u8> {
        let records = self.records(data);
        let limit = match self.edns {
            _ if !is_datagram => usize::from(u16::MAX),
            Some(size) => size.clamp(PLAIN_SIZE, LARGEST_SIZE),
            None => PLAIN_SIZE,
        };
        let message = self.compose(code, &records, false);
        if message.len() <= limit { message } else { self.compose(code, &[], true) }
    }

    fn compose(&self, code: Code, records: &[Vec<u8>], truncated: bool) -> Vec<u8> {
        let mut flags =
            RESPONSE | AUTHORITATIVE | RECURSION_AVAILABLE | self.flags & RECURSION_DESIRED | code as u16;
        if truncated {
            flags |= TRUNCATED;
        }
        let counts = [1, records.len() as u16, 0, u16::from(self.edns.is_some())];
        let words = [self.id, flags].into_iter().chain(counts);
        let mut message: Vec<u8> = words.flat_map(u16::to_be_bytes).collect();
        message.extend(&self.bytes);
        message.extend(records.iter().flatten());
        if self.edns.is_some() {
            // The root's name, the kind, our size; no flags, no options.
            message.push(0);
            message.extend([OPT, LARGEST_SIZE as u16, 0, 0, 0].iter().flat_map(|word| word.to_be_bytes()));
        }
        message
    }

    fn records(&self, data: &Data) -> Vec<Vec<u8>> {
        match data {
            Data::Addresses(addresses) => {
                let wanted = addresses.iter().filter_map(|address| match (self.kind, address) {
                    (A, IpAddr::V4(address)) => Some(address.octets().to_vec()),
                    (AAAA, IpAddr::V6(address)) => Some(address.octets().to_vec()),
                    _ => None,
                });
                wanted.map(|octets| self.record(&octets)).collect()
            }
            Data::Name(name) => {
                let labels = name.split('.').filter(|label| (1..64).contains(&label.len()));
                let mut encoded: Vec<u8> =
                    labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
                encoded.push(0);
                vec![self.record(&encoded)]
            }
        }
    }

    /// A record for the name of the question, to which it points.
    fn record(&self, data: &[u8]) -> Vec<u8> {
        let mut record = vec![0xc0, HEADER as u8];
        record.extend(self.kind.to_be_bytes());
        record.extend(IN.to_be_bytes());
        record.extend(TTL.to_be_bytes());
        record.extend((data.len() as u16).to_be_bytes());
        record.extend(data);
        record
    }

    /// Whether a message of an upstream server is the answer to this question, asked with `id`.
    pub fn is_answered_by(&self, id: u16, message: &[u8]) -> bool {
        let is_response = word_at(message, 2).is_some_and(|flags| flags & RESPONSE != 0);
        let echoed = message.get(HEADER..HEADER + self.bytes.len());
        // A server that could not read the question need not repeat it.
        let empty = word_at(message, 4) == Some(0);
        word_at(message, 0) == Some(id)
            && is_response
            && (empty || echoed.is_some_and(|echoed| echoed.eq_ignore_ascii_case(&self.bytes)))
    }

    /// The address that is asked for by its name in in-addr.arpa or ip6.arpa.
    pub fn reversed(&self) -> Option<IpAddr> {
        let name = self.name.as_deref().filter(|_| self.kind == PTR)?;
        if let Some(digits) = name.strip_suffix(".in-addr.arpa") {
            let mut octets: Vec<u8> =
                digits.split('.').map(|octet| octet.parse().ok()).collect::<Option<_>>()?;
            octets.reverse();
            return Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).into());
        }
        let digits: Vec<u8> = name
            .strip_suffix(".ip6.arpa")?
            .split('.')
            .map(|digit| (digit.len() == 1).then(|| u8::from_str_radix(digit, 16).ok()).flatten())
            .collect::<Option<_>>()?;
        let number = (digits.len() == 32)
            .then(|| digits.iter().rev().fold(0, |n: u128, d| n << 4 | u128::from(*d)))?;
        Some(Ipv6Addr::from(number).into())
    }
}

/// Whether an answer was cut short to fit a datagram.
#[cfg(any(test, fuzzing))]
pub(super) fn is_truncated(message: &[u8]) -> bool {
    word_at(message, 2).is_some_and(|flags| flags & TRUNCATED != 0)
}

/// Whether a server says that it can't tell, so that another may be asked.
pub(super) fn is_failure(message: &[u8]) -> bool {
    word_at(message, 2).is_some_and(|flags| matches!(flags & 0xf, 2 | 5))
}

/// Puts another id into a message.
pub(super) fn set_id(message: &mut [u8], id: u16) {
    if let Some(place) = message.first_chunk_mut() {
        *place = id.to_be_bytes();
    }
}

/// The addresses of a kind in an answer: those behind a CNAME are the name's as well.
pub(super) fn addresses(message: &[u8], kind: u16) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut read = || -> Option<()> {
        let mut at = skip_name(message, HEADER)? + 4;
        for _ in 0..word_at(message, 6)? {
            at = skip_name(message, at)?;
            let (of, length) = (word_at(message, at)?, usize::from(word_at(message, at + 8)?));
            let data = message.get(at + 10..at + 10 + length)?;
            at += 10 + length;
            let four = <[u8; 4]>::try_from(data).map(IpAddr::from);
            let six = <[u8; 16]>::try_from(data).map(IpAddr::from);
            found.extend((of == kind).then(|| if kind == A { four.ok() } else { six.ok() }).flatten());
        }
        Some(())
    };
    // What is broken ends with what was read before.
    let _ = read();
    found
}

/// A question in bytes: for the trace, and for tests.
pub(super) fn ask(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut message: Vec<u8> =
        [id, RECURSION_DESIRED, 1, 0, 0, 0].iter().flat_map(|word: &u16| word.to_be_bytes()).collect();
    for label in name.trim_end_matches('.').split('.').filter(|label| (1..64).contains(&label.len())) {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend(IN.to_be_bytes());
    message
}

/// What is true of any message as a question, and of any other as the answer to it.
///
/// # Panics
/// Where it is not.
#[cfg(any(test, fuzzing))]
pub fn hold(message: &[u8], other: &[u8]) {
    for (kind, is_ipv4) in [(A, true), (AAAA, false)] {
        assert!(addresses(message, kind).iter().all(|address| address.is_ipv4() == is_ipv4));
    }
    let question = match parse(message) {
        Ok(question) => question,
        Err(reply) => return assert!(reply.is_none_or(|reply| reply.len() == HEADER)),
    };
    let name = Data::Name(String::from_utf8_lossy(other).into());
    let many = Data::Addresses((0..=u8::MAX).map(|last| IpAddr::from([10, 0, 0, last])).collect());
    for data in [name, many] {
        let reply = question.reply(Code::NoError, &data, true);
        assert!(reply.len() <= LARGEST_SIZE && question.is_answered_by(question.id, &reply));
        assert_eq!(parse(&reply), Err(None));
        let whole = question.reply(Code::NoError, &data, false);
        assert!(whole.len() <= usize::from(u16::MAX) && !is_truncated(&whole));
        let mut at = skip_name(&whole, HEADER).map(|end| end + 4);
        for _ in 0..word_at(&whole, 6).unwrap_or(0) + word_at(&whole, 10).unwrap_or(0) {
            at = at
                .and_then(|at| skip_name(&whole, at))
                .and_then(|at| Some(at + 10 + usize::from(word_at(&whole, at + 8)?)));
        }
        assert_eq!(at, Some(whole.len()), "records end where the message does");
    }
    question.reversed();
    question.is_answered_by(question.id, other);
    is_failure(other);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with_edns(mut message: Vec<u8>, size: u16) -> Vec<u8> {
        message[11] = 1;
        message.push(0);
        message.extend([OPT, size, 0, 0, 0].iter().flat_map(|word| word.to_be_bytes()));
        message
    }

    fn addresses(count: u8) -> Data {
        Data::Addresses((0..count).map(|last| IpAddr::from([10, 0, 0, last])).collect())
    }

    #[test]
    fn a_question_is_read_and_answered() {
        let question = parse(&ask(7, "Web.Example.", A)).unwrap();
        assert_eq!((question.id, question.name.as_deref(), question.kind), (7, Some("web.example"), A));
        let both = Data::Addresses(vec![IpAddr::from([10, 0, 0, 2]), IpAddr::from([0xfd; 16])]);
        let reply = question.reply(Code::NoError, &both, true);
        assert!(question.is_answered_by(7, &reply) && !question.is_answered_by(8, &reply));
        assert!(reply.ends_with(&[0, 4, 10, 0, 0, 2]));
        let six = parse(&ask(7, "web.example", AAAA)).unwrap().reply(Code::NoError, &both, true);
        assert!(six.ends_with(&[0xfd; 16]));
    }

    #[test]
    fn what_does_not_fit_is_cut_short() {
        let question = parse(&ask(1, "web", A)).unwrap();
        assert!(!is_truncated(&question.reply(Code::NoError, &addresses(20), true)));
        let reply = question.reply(Code::NoError, &addresses(40), true);
        assert!(is_truncated(&reply) && reply.len() < PLAIN_SIZE);
        assert!(!is_truncated(&question.reply(Code::NoError, &addresses(40), false)));
        let question = parse(&with_edns(ask(1, "web", A), 4096)).unwrap();
        let reply = question.reply(Code::NoError, &addresses(40), true);
        assert!(!is_truncated(&reply) && reply[11] == 1);
    }

    #[test]
    fn addresses_are_read_backwards() {
        let reversed =
            |name: &str| parse(&ask(1, name, PTR)).unwrap().reversed().map(|address| address.to_string());
        assert_eq!(reversed("4.3.2.1.in-addr.arpa").as_deref(), Some("1.2.3.4"));
        let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
        assert_eq!(reversed(six).as_deref(), Some("fd00::1"));
        for name in ["web", "3.2.1.in-addr.arpa", "256.3.2.1.in-addr.arpa", "1.ip6.arpa", "in-addr.arpa"] {
            assert_eq!(reversed(name), None, "{name}");
        }
    }

    #[test]
    fn what_can_not_be_read_is_refused_or_ignored() {
        let good = ask(1, "web", A);
        let code = |message: &[u8]| parse(message).unwrap_err().map(|reply| reply[3] & 15);
        let edit = |at: usize, byte: u8| {
            let mut message = good.clone();
            message[at] = byte;
            message
        };
        assert_eq!(code(&good[..11]), None);
        assert_eq!(code(&edit(2, 0x81)), None);
        assert_eq!(code(&edit(2, 0x10)), Some(Code::NotImplemented as u8));
        assert_eq!(code(&edit(5, 2)), Some(Code::FormatError as u8));
        assert_eq!(code(&edit(12, 0xc0)), Some(Code::FormatError as u8));
        assert_eq!(code(&edit(11, 9)), Some(Code::FormatError as u8));
        assert_eq!(code(&good[..good.len() - 1]), Some(Code::FormatError as u8));
    }

    proptest! {
        #[test]
        fn nothing_breaks_the_reader(message: Vec<u8>, data: Vec<u8>) {
            for message in [message.clone(), [ask(1, "a.b", A), message].concat()] {
                hold(&message, &data);
            }
        }
    }
}
