//! The little of rtnetlink(7) that listing links needs: ask, and walk through the answer.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// A netlink socket of the network namespace that the thread was in when it was made.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

pub const RTM_NEWLINK: u16 = 16;
pub const RTM_GETLINK: u16 = 18;
pub const RTM_GETNSID: u16 = 90;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const HEADER: usize = 16;

/// The size of the kernel's largest answer to a dump.
const BUFFER: usize = 64 * 1024;

impl Socket {
    /// Opens one.
    pub fn open() -> io::Result<Self> {
        // Protocol 0 is NETLINK_ROUTE.
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Self { fd, sequence: 0 })
    }

    /// Asks for everything of a kind; calls `found` with each answer's type and payload.
    pub fn dump(&mut self, kind: u16, payload: &[u8], mut found: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.send(kind, NLM_F_DUMP, payload)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let (length, _) = recv(self.fd.as_fd(), &mut buffer[..], RecvFlags::empty())?;
            for (kind, payload) in messages(&buffer[..length]) {
                match kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return Err(error(payload)),
                    kind => found(kind, payload),
                }
            }
        }
    }

    /// Asks for one thing; gives the payload of the answer.
    pub fn ask(&mut self, kind: u16, payload: &[u8]) -> io::Result<Vec<u8>> {
        self.send(kind, 0, payload)?;
        let mut buffer = vec![0; BUFFER];
        let (length, _) = recv(self.fd.as_fd(), &mut buffer[..], RecvFlags::empty())?;
        match messages(&buffer[..length]).next() {
            Some((NLMSG_ERROR, payload)) => Err(error(payload)),
            Some((_, payload)) => Ok(payload.to_vec()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn send(&mut self, kind: u16, flags: u16, payload: &[u8]) -> io::Result<()> {
        self.sequence += 1;
        let length = u32::try_from(HEADER + payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut message = Vec::with_capacity(HEADER + payload.len());
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend(0u32.to_ne_bytes());
        message.extend(payload);
        send(self.fd.as_fd(), &message, SendFlags::empty())?;
        Ok(())
    }
}

fn error(payload: &[u8]) -> io::Error {
    match payload.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)) {
        Some(errno) => io::Error::from_raw_os_error(errno.saturating_neg()),
        None => io::ErrorKind::UnexpectedEof.into(),
    }
}

/// The messages in a buffer: type and payload.
fn messages(mut buffer: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(*buffer.first_chunk()?)).ok()?;
        let kind = u16::from_ne_bytes(*buffer.get(4..)?.first_chunk()?);
        let payload = buffer.get(HEADER..length)?;
        buffer = buffer.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, payload))
    })
}

/// The attributes in a payload: type without flags, and value.
pub fn attributes(mut buffer: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const TYPE_MASK: u16 = 0x3fff;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*buffer.first_chunk()?));
        let kind = u16::from_ne_bytes(*buffer.get(2..)?.first_chunk()?);
        let value = buffer.get(4..length)?;
        buffer = buffer.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind & TYPE_MASK, value))
    })
}

/// One attribute with a number as its value.
pub fn attribute(kind: u16, value: u32) -> Vec<u8> {
    let length: u16 = 8;
    [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &value.to_ne_bytes()].concat()
}

/// A number that is the value of an attribute.
pub fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_answers_end_the_walk() {
        for broken in [&[][..], &[1, 0], &[3, 0, 1, 0], &[40, 0, 1, 0, 9]] {
            assert_eq!(attributes(broken).count(), 0);
            assert_eq!(messages(broken).count(), 0);
        }
        let bytes = [attribute(3, 7), attribute(0x8004, 8)].concat();
        let read: Vec<_> = attributes(&bytes).map(|(kind, value)| (kind, number(value).unwrap())).collect();
        assert_eq!(read, [(3, 7), (4, 8)]);
    }
}
