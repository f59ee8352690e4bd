//! rtnetlink(7), as much of it as moving a network device takes: requests with attributes, answers with bounds.
//!
//! The kernel works a request off while it is being sent, so an answer is there, or on its way, when send returns.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use sys::process::NamespaceFlags;

use crate::failure::{Failure, OrFail, Result};

/// struct nlmsghdr: length, type, flags, sequence number, port.
const HEADER: usize = 16;
/// The kernel fills at most 32 KiB at a time (netlink_dump in net/netlink/af_netlink.c).
const BUFFER: usize = 64 << 10;
/// As often is a list asked for that changed while it was told.
const ATTEMPTS: usize = 16;
/// The text in an extended acknowledgement (include/uapi/linux/netlink.h).
const NLMSGERR_ATTR_MSG: u16 = 1;

/// A request: type, the family's fixed header, attributes.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    kind: u16,
    body: Vec<u8>,
}

impl Request {
    pub fn new(kind: u16, header: &[u8]) -> Self {
        Self { kind, body: header.to_vec() }
    }

    /// Adds an attribute. Those of a request are names, addresses and numbers: far below the 64 KiB that fit.
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.body.resize(aligned(self.body.len()), 0);
        let length = (4 + value.len()) as u16;
        self.body.extend(length.to_ne_bytes());
        self.body.extend(kind.to_ne_bytes());
        self.body.extend(value);
        self
    }

    /// Adds a text, which ends with a NUL.
    pub fn text(self, kind: u16, value: &str) -> Self {
        self.attribute(kind, &[value.as_bytes(), b"\0"].concat())
    }

    fn encode(&self, flags: i32, sequence: u32) -> Vec<u8> {
        let length = (HEADER + self.body.len()) as u32;
        let mut message = Vec::with_capacity(length as usize);
        message.extend(length.to_ne_bytes());
        message.extend(self.kind.to_ne_bytes());
        message.extend((flags as u16).to_ne_bytes());
        message.extend(sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(&self.body);
        message
    }
}

/// Why a request was not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub errno: Errno,
    /// The kernel's own words, where it has some.
    pub words: String,
}

impl Refusal {
    /// Names what was tried.
    pub fn of(self, operation: &str, object: impl std::fmt::Display) -> Failure {
        Failure::new(operation, object, self.errno).hint(self.words)
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self { errno, words: String::new() }
    }
}

/// A socket to the kernel; it stays in the network namespace in which it was opened.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: Cell<u32>,
}

impl Netlink {
    /// In the caller's network namespace.
    pub fn open() -> Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)
            .or_fail("open", "rtnetlink socket")?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0)).or_fail("bind", "rtnetlink socket")?;
        sys::net::extended_acknowledgement(&socket).or_fail("set up", "rtnetlink socket")?;
        Ok(Self { socket, sequence: Cell::new(0) })
    }

    /// In another network namespace, which the caller visits for as long as it takes to open the socket.
    pub fn open_in(namespace: BorrowedFd<'_>) -> Result<Self> {
        let home = own_namespace()?;
        sys::process::setns(namespace, NamespaceFlags::NET).or_fail("join", "network namespace")?;
        let socket = Self::open();
        sys::process::setns(home.as_fd(), NamespaceFlags::NET).or_fail("return to", "network namespace")?;
        socket
    }

    /// Has the kernel do something.
    pub fn act(&self, request: &Request) -> Result<(), Refusal> {
        self.talk(request, libc::NLM_F_ACK, &mut |_| {})
    }

    /// Asks for one object.
    pub fn get(&self, request: &Request) -> Result<Vec<u8>, Refusal> {
        let mut answer = None;
        self.talk(request, libc::NLM_F_ACK, &mut |body| answer = Some(body.to_vec()))?;
        answer.ok_or_else(|| Errno::PROTO.into())
    }

    /// Asks for all objects of a kind.
    pub fn list(&self, request: &Request) -> Result<Vec<Vec<u8>>, Refusal> {
        for _ in 0..ATTEMPTS {
            let mut answers = Vec::new();
            match self.talk(request, libc::NLM_F_DUMP, &mut |body| answers.push(body.to_vec())) {
                // Something was added or removed meanwhile, and the list may lack what was always there.
                Err(refusal) if refusal.errno == Errno::INTR => {}
                other => return other.map(|()| answers),
            }
        }
        Err(Refusal { errno: Errno::INTR, words: "the list never stops changing".into() })
    }

    /// Sends a request, and gives each answer to `take` up to the acknowledgement or the list's end.
    fn talk(&self, request: &Request, flags: i32, take: &mut dyn FnMut(&[u8])) -> Result<(), Refusal> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let message = request.encode(libc::NLM_F_REQUEST | flags, sequence);
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.socket, &message, SendFlags::empty(), &kernel)?;
        let mut buffer = vec![0; BUFFER];
        let mut interrupted = false;
        loop {
            let (_, length, from) = rustix::net::recvfrom(&self.socket, &mut *buffer, RecvFlags::TRUNC)?;
            // Any process may send to this socket: only the kernel's port is 0.
            if from.and_then(|from| SocketAddrNetlink::try_from(from).ok()).is_none_or(|from| from.pid() != 0)
            {
                continue;
            }
            let packet = buffer.get(..length).ok_or(Errno::MSGSIZE)?;
            for message in Messages(packet).filter(|message| message.sequence == sequence) {
                interrupted |= message.flags & libc::NLM_F_DUMP_INTR as u16 != 0;
                match i32::from(message.kind) {
                    libc::NLMSG_DONE if interrupted => return Err(Errno::INTR.into()),
                    libc::NLMSG_DONE | libc::NLMSG_ERROR => return message.verdict(),
                    _ => take(message.body),
                }
            }
        }
    }
}

/// The caller's network namespace.
pub(crate) fn own_namespace() -> Result<OwnedFd> {
    let path = "/proc/thread-self/ns/net";
    rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).or_fail("open", path)
}

/// The attributes behind a fixed header of `header` bytes, by type.
pub(crate) fn attributes(body: &[u8], header: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = body.get(aligned(header)..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
        let value = rest.get(4..length)?;
        rest = rest.get(aligned(length)..).unwrap_or_default();
        // The two highest bits say how the value is written (NLA_TYPE_MASK).
        Some((kind & 0x3fff, value))
    })
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

impl Message<'_> {
    /// Of NLMSG_ERROR, which with errno 0 is an acknowledgement, and of NLMSG_DONE.
    fn verdict(&self) -> Result<(), Refusal> {
        let code = self.body.first_chunk().map(|code| i32::from_ne_bytes(*code)).ok_or(Errno::PROTO)?;
        if code >= 0 {
            return Ok(());
        }
        // An error repeats the request: its header alone where it is capped.
        let echo = match self.body.get(4..).and_then(<[u8]>::first_chunk) {
            _ if self.kind == libc::NLMSG_DONE as u16 => 0,
            Some(length) if self.flags & libc::NLM_F_CAPPED as u16 == 0 => {
                u32::from_ne_bytes(*length) as usize
            }
            _ => HEADER,
        };
        let words = (self.flags & libc::NLM_F_ACK_TLVS as u16 != 0)
            .then(|| attributes(self.body, 4 + echo).find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG))
            .flatten()
            .map(|(_, text)| String::from_utf8_lossy(text).trim_end_matches('\0').to_owned());
        Err(Refusal { errno: Errno::from_raw_os_error(-code), words: words.unwrap_or_default() })
    }
}

/// The messages of a packet; ends where one claims to be longer than what is left.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = u32::from_ne_bytes(*self.0.first_chunk()?) as usize;
        let message = self.0.get(..length)?;
        let (header, body) = message.split_first_chunk::<HEADER>()?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some(Message {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            flags: u16::from_ne_bytes([header[6], header[7]]),
            sequence: u32::from_ne_bytes([header[8], header[9], header[10], header[11]]),
            body,
        })
    }
}

/// Messages and attributes begin at multiples of four.
fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}
