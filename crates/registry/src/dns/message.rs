//! The part of RFC 1035 that a stub resolver needs: one question out, addresses in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The record types that hold addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordType {
    /// An IPv4 address.
    A = 1,
    /// An IPv6 address.
    Aaaa = 28,
}

/// What a server said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The addresses found; may be empty.
    pub addresses: Vec<IpAddr>,
    /// True where the answer did not fit a datagram: ask again over TCP.
    pub truncated: bool,
    /// 0 is success, 3 says that the name does not exist.
    pub code: u8,
}

const HEADER_LEN: usize = 12;
const CLASS_IN: u16 = 1;

/// Encodes a recursive query, or `None` where `name` is no host name.
pub(super) fn query(id: u16, name: &str, kind: RecordType) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(HEADER_LEN + name.len() + 6);
    message.extend_from_slice(&id.to_be_bytes());
    message.extend_from_slice(&[0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > 253 {
        return None;
    }
    for label in name.split('.') {
        let len = u8::try_from(label.len()).ok().filter(|len| (1..=63).contains(len))?;
        message.push(len);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&(kind as u16).to_be_bytes());
    message.extend_from_slice(&CLASS_IN.to_be_bytes());
    Some(message)
}

/// Decodes the answer to `query`; `None` where it answers something else or is malformed.
pub(super) fn answer(query: &[u8], message: &[u8], kind: RecordType) -> Option<Answer> {
    let question = query.get(HEADER_LEN..)?;
    let is_response = message.get(2)? & 0x80 != 0;
    let echoed = message.get(HEADER_LEN..HEADER_LEN + question.len())?;
    if message.get(..2)? != query.get(..2)? || !is_response || !echoed.eq_ignore_ascii_case(question) {
        return None;
    }
    let truncated = message[2] & 0x02 != 0;
    let code = message[3] & 0x0f;
    let records = u16_at(message, 6)?;
    let addresses = addresses(message, HEADER_LEN + question.len(), records, kind);
    match addresses {
        Some(addresses) => Some(Answer { addresses, truncated, code }),
        None if truncated => Some(Answer { addresses: Vec::new(), truncated, code }),
        None => None,
    }
}

/// The addresses among `records` resource records from `at` on. A recursive server adds the whole chain of
/// CNAMEs with what it ends in, so that every address in the answer section is the name's.
fn addresses(message: &[u8], mut at: usize, records: u16, kind: RecordType) -> Option<Vec<IpAddr>> {
    let mut found = Vec::new();
    for _ in 0..records {
        at = skip_name(message, at)?;
        let record_type = u16_at(message, at)?;
        let class = u16_at(message, at + 2)?;
        let len = usize::from(u16_at(message, at + 8)?);
        let data = message.get(at + 10..at + 10 + len)?;
        at += 10 + len;
        if record_type != kind as u16 || class != CLASS_IN {
            continue;
        }
        found.push(match kind {
            RecordType::A => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?)),
            RecordType::Aaaa => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?)),
        });
    }
    Some(found)
}

/// The offset behind the name at `at`. A compression pointer ends a name, so that no loop is possible here.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            len if len & 0xc0 == 0xc0 => return Some(at + 2),
            len if len & 0xc0 == 0 => at += 1 + usize::from(len),
            _ => return None,
        }
    }
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(query: &[u8], flags: [u8; 2], records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = query.to_vec();
        message[2..4].copy_from_slice(&flags);
        message[7] = records.len() as u8;
        for (kind, data) in records {
            message.extend_from_slice(&[0xc0, 12]);
            message.extend_from_slice(&kind.to_be_bytes());
            message.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
            message.extend_from_slice(&(data.len() as u16).to_be_bytes());
            message.extend_from_slice(data);
        }
        message
    }

    #[test]
    fn an_address_behind_a_cname_is_found() {
        let query = query(7, "registry.example.", RecordType::A).unwrap();
        let message = response(&query, [0x81, 0x80], &[(5, &[1, b'x', 0]), (1, &[192, 0, 2, 9])]);
        let found = answer(&query, &message, RecordType::A).unwrap();
        assert_eq!(found.addresses, ["192.0.2.9".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn a_truncated_answer_asks_for_tcp() {
        let query = query(7, "a.example", RecordType::Aaaa).unwrap();
        let mut message = response(&query, [0x83, 0x80], &[(28, &[0; 16])]);
        message.truncate(message.len() - 3);
        assert!(answer(&query, &message, RecordType::Aaaa).unwrap().truncated);
    }

    #[test]
    fn strangers_answers_are_ignored() {
        let asked = query(7, "a.example", RecordType::A).unwrap();
        let other_id = response(&query(8, "a.example", RecordType::A).unwrap(), [0x81, 0x80], &[]);
        let other_name = response(&query(7, "b.example", RecordType::A).unwrap(), [0x81, 0x80], &[]);
        assert_eq!(answer(&asked, &other_id, RecordType::A), None);
        assert_eq!(answer(&asked, &other_name, RecordType::A), None);
        assert_eq!(answer(&asked, &asked, RecordType::A), None);
    }

    #[test]
    fn every_cut_of_a_message_is_survived() {
        let query = query(7, "a.example", RecordType::A).unwrap();
        let message = response(&query, [0x81, 0x80], &[(1, &[192, 0, 2, 9])]);
        for len in 0..message.len() {
            assert_eq!(answer(&query, &message[..len], RecordType::A), None, "{len}");
        }
    }

    #[test]
    fn what_is_no_host_name_is_not_asked() {
        assert_eq!(query(1, "", RecordType::A), None);
        assert_eq!(query(1, "a..b", RecordType::A), None);
        assert_eq!(query(1, &"a".repeat(64), RecordType::A), None);
    }
}
