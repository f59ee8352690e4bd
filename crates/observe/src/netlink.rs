//! Netlink refuses in a message, not by an errno.

use capability::Capability;

use crate::call::Call;
use crate::view::View;

/// linux/netlink.h
const NLMSG_ERROR: u16 = 2;
/// Headers: of a message; of an error, which is a number and the header of what it is about.
const HEADER: usize = 16;
const ERROR: usize = HEADER + 4 + HEADER;

/// A request that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Its type.
    pub kind: u16,
    /// The errno.
    pub errno: i32,
}

/// The request that a call sends.
pub fn sent(view: View, call: &Call) -> Option<u16> {
    let (address, buffer) = match call.name {
        "sendto" => (call.arguments[4], call.arguments[1]),
        "sendmsg" => message(view, call.arguments[1])?,
        _ => return None,
    };
    is_netlink(view, address).then_some(())?;
    Some(u16::from_ne_bytes(view.memory(buffer + 4, 2).try_into().ok()?))
}

/// The refusal that a call received.
pub fn received(view: View, call: &Call, length: i64) -> Option<Refused> {
    if length < ERROR as i64 {
        return None;
    }
    let (address, buffer) = match call.name {
        "recvfrom" => (call.arguments[4], call.arguments[1]),
        "recvmsg" => message(view, call.arguments[1])?,
        _ => return None,
    };
    (address == 0 || is_netlink(view, address)).then_some(())?;
    let bytes = view.memory(buffer, ERROR);
    let half = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let errno = i32::from_ne_bytes(bytes.get(HEADER..HEADER + 4)?.try_into().ok()?);
    let kind = half(HEADER + 8)?;
    (half(4)? == NLMSG_ERROR && errno < 0).then_some(Refused { kind, errno: -errno })
}

/// Address and buffer of a `struct msghdr`.
fn message(view: View, address: u64) -> Option<(u64, u64)> {
    let vector = view.word(address + 16)?;
    Some((view.word(address)?, view.word(vector)?))
}

fn is_netlink(view: View, address: u64) -> bool {
    address != 0 && view.memory(address, 2) == (libc::AF_NETLINK as u16).to_ne_bytes()
}

/// What a request needs; none that everybody may send.
pub fn needs(kind: u16) -> Option<Capability> {
    match kind {
        // RTM_NEW…, RTM_DEL…, RTM_SET…: of four, the third asks only.
        16..=127 if kind % 4 != 2 => Some(Capability::NET_ADMIN),
        1000..=1099 => Some(Capability::AUDIT_CONTROL),
        1100..=1199 | 2100..=2999 => Some(Capability::AUDIT_WRITE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changing_a_link_is_privileged_and_listing_is_not() {
        let (new_link, get_link) = (16, 18);
        assert_eq!((needs(new_link), needs(get_link)), (Some(Capability::NET_ADMIN), None));
    }

    #[test]
    fn a_refusal_is_read_from_memory() {
        let mut bytes = [0_u8; ERROR];
        bytes[4] = 2;
        bytes[HEADER..HEADER + 4].copy_from_slice(&(-1_i32).to_ne_bytes());
        bytes[HEADER + 8] = 16;
        let view = View::of(rustix::process::getpid());
        let call = Call {
            architecture: None,
            number: 0,
            name: "recvfrom",
            arguments: [3, bytes.as_ptr() as u64, 36, 0, 0, 0],
        };
        assert_eq!(received(view, &call, 36), Some(Refused { kind: 16, errno: libc::EPERM }));
        assert_eq!(received(view, &call, 10), None);
    }
}
