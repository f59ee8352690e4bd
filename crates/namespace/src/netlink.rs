//! netlink(7): requests with attributes, alone or many in one send, and answers with bounds.
//!
//! The kernel works requests off while they are being sent, so that all answers but those of a long list are there when
//! send returns. That is what [`Netlink::batch`] lives on: many requests, one acknowledgement, and an error of any of them.

use std::cell::Cell;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use sys::process::NamespaceFlags;

/// struct nlmsghdr: length, type, flags, sequence number, port.
const HEADER: usize = 16;
/// The kernel fills at most 32 KiB at a time (netlink_dump in net/netlink/af_netlink.c).
const BUFFER: usize = 64 << 10;
/// As much goes into one send without a larger buffer; the default of net.core.wmem_default is 208 KiB.
const SEND_BUFFER: usize = 128 << 10;
/// As often is a list asked for that changed while it was told.
const ATTEMPTS: usize = 16;
/// The text in an extended acknowledgement (include/uapi/linux/netlink.h).
const NLMSGERR_ATTR_MSG: u16 = 1;
/// Acknowledgements and errors without the request that they answer.
const SMALL_BUFFER: usize = 8 << 10;
/// An attribute that consists of attributes.
const NLA_F_NESTED: u16 = 1 << 15;
/// The mark of a batch's end (include/uapi/linux/netfilter/nfnetlink.h).
const NFNL_MSG_BATCH_END: u16 = 17;

/// A request: type, the family's fixed header, attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

impl Request {
    /// A request of a type, with the fixed header of its family.
    #[must_use]
    pub fn new(kind: u16, header: &[u8]) -> Self {
        Self { kind, flags: 0, body: header.to_vec() }
    }

    /// Adds flags of its own: NLM_F_CREATE, NLM_F_EXCL, …
    #[must_use]
    pub fn flags(mut self, flags: i32) -> Self {
        self.flags |= flags as u16;
        self
    }

    /// Adds an attribute. Those of a request are names, addresses and numbers: far below the 64 KiB that fit.
    #[must_use]
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.body.resize(aligned(self.body.len()), 0);
        let length = (4 + value.len()) as u16;
        self.body.extend(length.to_ne_bytes());
        self.body.extend(kind.to_ne_bytes());
        self.body.extend(value);
        self
    }

    /// Adds a text, which ends with a NUL.
    #[must_use]
    pub fn text(self, kind: u16, value: &str) -> Self {
        self.attribute(kind, &[value.as_bytes(), b"\0"].concat())
    }

    /// Adds a number in the machine's order, as rtnetlink has them.
    #[must_use]
    pub fn number(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Adds a number in the network's order, as nfnetlink has them.
    #[must_use]
    pub fn big(self, kind: u16, value: u32) -> Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Adds an attribute that consists of those which `fill` adds.
    #[must_use]
    pub fn nested(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        self.body.resize(aligned(self.body.len()), 0);
        let start = self.body.len();
        self.body.extend([0, 0]);
        self.body.extend((kind | NLA_F_NESTED).to_ne_bytes());
        self = fill(self);
        let length = (self.body.len() - start) as u16;
        self.body[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// Adds bytes that are no attribute: the fixed header inside a nested one (`struct ifinfomsg` of a veth's peer).
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.body.extend(bytes);
        self
    }

    /// Fixed header and attributes, as they are so far.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    fn encode(&self, message: &mut Vec<u8>, flags: i32, sequence: u32) {
        message.resize(aligned(message.len()), 0);
        let length = (HEADER + self.body.len()) as u32;
        message.extend(length.to_ne_bytes());
        message.extend(self.kind.to_ne_bytes());
        message.extend((flags as u16 | self.flags).to_ne_bytes());
        message.extend(sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(&self.body);
    }
}

/// Why a request was not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kernel's number for it.
    pub errno: Errno,
    /// The kernel's own words, where it has some.
    pub words: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = std::io::Error::from(self.errno);
        match self.words.as_str() {
            "" => error.fmt(formatter),
            words => write!(formatter, "{error} ({words})"),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self { errno, words: String::new() }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Errno::from_io_error(&error).unwrap_or(Errno::IO).into()
    }
}

/// Which request of a batch was not granted, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRefusal {
    /// Its place in the batch, from 0 on.
    pub index: usize,
    /// Why.
    pub refusal: Refusal,
}

/// A socket to the kernel; it stays in the network namespace in which it was opened.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: Cell<u32>,
}

impl Netlink {
    /// rtnetlink(7), in the caller's network namespace.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2).
    pub fn open() -> Result<Self, Refusal> {
        Self::open_protocol(None)
    }

    /// nfnetlink, which speaks of netfilter, in the caller's network namespace.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2); EPROTONOSUPPORT where the kernel has no netfilter.
    pub fn open_netfilter() -> Result<Self, Refusal> {
        Self::open_protocol(Some(rustix::net::netlink::NETFILTER))
    }

    fn open_protocol(protocol: Option<Protocol>) -> Result<Self, Refusal> {
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        sys::net::extended_acknowledgement(&socket)?;
        Ok(Self { socket, sequence: Cell::new(0) })
    }

    /// In another network namespace, which the caller visits for as long as it takes to open the socket.
    ///
    /// # Errors
    /// Those of [`visit`] and [`Netlink::open`].
    pub fn open_in(namespace: BorrowedFd<'_>) -> Result<Self, Refusal> {
        visit(namespace, Self::open)?
    }

    /// Has the kernel do something.
    ///
    /// # Errors
    /// What the kernel refuses with.
    pub fn act(&self, request: &Request) -> Result<(), Refusal> {
        self.talk(request, libc::NLM_F_ACK, &mut |_| {})
    }

    /// Asks for one object.
    ///
    /// # Errors
    /// What the kernel refuses with.
    pub fn get(&self, request: &Request) -> Result<Vec<u8>, Refusal> {
        let mut answer = None;
        self.talk(request, libc::NLM_F_ACK, &mut |body| answer = Some(body.to_vec()))?;
        answer.ok_or_else(|| Errno::PROTO.into())
    }

    /// Asks for all objects of a kind.
    ///
    /// # Errors
    /// What the kernel refuses with.
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

    /// Has the kernel do several things in their order, in one send. Where one fails, rtnetlink does the others all the
    /// same; nfnetlink takes all or nothing between its marks of a batch.
    ///
    /// # Errors
    /// The first that was refused.
    pub fn batch(&self, requests: &[Request]) -> Result<(), BatchRefusal> {
        let whole = |refusal| BatchRefusal { index: 0, refusal };
        let first = self.sequence.get().wrapping_add(1);
        self.sequence.set(self.sequence.get().wrapping_add(requests.len() as u32));
        // Errors come without being asked for. Of what went well one is told, so that there is always an answer; the
        // last may be the mark of a batch's end, which no kernel before 6.10 acknowledges.
        let told = requests.iter().rposition(|request| request.kind != NFNL_MSG_BATCH_END).unwrap_or(0);
        let mut message =
            Vec::with_capacity(requests.iter().map(|request| HEADER + request.body.len() + 4).sum());
        for (index, request) in requests.iter().enumerate() {
            let ack = if index == told { libc::NLM_F_ACK } else { 0 };
            request.encode(&mut message, libc::NLM_F_REQUEST | ack, first.wrapping_add(index as u32));
        }
        self.send(&message).map_err(whole)?;
        let mut buffer = vec![0; SMALL_BUFFER];
        let mut refused: Option<BatchRefusal> = None;
        loop {
            let packet = match self.receive(&mut buffer, RecvFlags::DONTWAIT) {
                Err(refusal) if refusal.errno == Errno::AGAIN => break,
                other => other.map_err(whole)?,
            };
            for message in Messages(packet).filter(|message| i32::from(message.kind) == libc::NLMSG_ERROR) {
                let index = message.sequence.wrapping_sub(first) as usize;
                let earlier = refused.as_ref().is_none_or(|refused| index < refused.index);
                if let (Err(refusal), true, true) = (message.verdict(), index < requests.len(), earlier) {
                    refused = Some(BatchRefusal { index, refusal });
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Sends a request, and gives each answer to `take` up to the acknowledgement or the list's end.
    fn talk(&self, request: &Request, flags: i32, take: &mut dyn FnMut(&[u8])) -> Result<(), Refusal> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let mut message = Vec::new();
        request.encode(&mut message, libc::NLM_F_REQUEST | flags, sequence);
        self.send(&message)?;
        let mut buffer = vec![0; BUFFER];
        let mut interrupted = false;
        loop {
            let packet = self.receive(&mut buffer, RecvFlags::empty())?;
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

    fn send(&self, message: &[u8]) -> Result<(), Refusal> {
        if message.len() > SEND_BUFFER {
            // The kernel doubles the number; what it keeps for itself is less than that. Without the privilege to go
            // beyond the host's limit, the send says that it is too long.
            let _ = sockopt::set_socket_send_buffer_size_force(&self.socket, message.len());
        }
        rustix::net::sendto(&self.socket, message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        Ok(())
    }

    /// The next packet from the kernel.
    fn receive<'a>(&self, buffer: &'a mut [u8], flags: RecvFlags) -> Result<&'a [u8], Refusal> {
        loop {
            let (_, length, from) =
                rustix::net::recvfrom(&self.socket, &mut *buffer, flags | RecvFlags::TRUNC)?;
            // Any process may send to this socket: only the kernel's port is 0.
            let from = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
            if from.is_some_and(|from| from.pid() == 0) {
                return buffer.get(..length).ok_or_else(|| Errno::MSGSIZE.into());
            }
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Does something inside another network namespace, which the calling thread enters and leaves. Threads of the process
/// stay where they are; a single-threaded one needs no other precaution.
///
/// # Errors
/// Those of setns(2).
pub fn visit<T>(namespace: BorrowedFd<'_>, work: impl FnOnce() -> T) -> Result<T, Refusal> {
    let home = own_namespace()?;
    sys::process::setns(namespace, NamespaceFlags::NET)?;
    let answer = work();
    // A thread that can't go home must not go on where it is.
    sys::process::setns(home.as_fd(), NamespaceFlags::NET)?;
    Ok(answer)
}

/// The caller's network namespace.
///
/// # Errors
/// Those of open(2).
pub fn own_namespace() -> Result<OwnedFd, Refusal> {
    let path = "/proc/thread-self/ns/net";
    Ok(rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// The attributes behind a fixed header of `header` bytes, by type.
pub fn attributes(body: &[u8], header: usize) -> impl Iterator<Item = (u16, &[u8])> {
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

/// A number that is the value of an attribute, in the machine's order.
#[must_use]
pub fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// A text that is the value of an attribute.
#[must_use]
pub fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(b"\0").unwrap_or(value)).into_owned()
}

/// Messages and attributes begin at multiples of four.
fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_answers_end_the_walk() {
        for broken in [&[][..], &[1, 0], &[3, 0, 1, 0], &[40, 0, 1, 0, 9]] {
            assert_eq!(attributes(broken, 0).count(), 0);
            assert_eq!(Messages(broken).count(), 0);
        }
    }

    #[test]
    fn attributes_are_read_as_they_were_written() {
        let request = Request::new(1, &[]).number(3, 7).nested(4, |inner| inner.text(1, "ab").big(2, 9));
        let read: Vec<_> = attributes(&request.body, 0).collect();
        assert_eq!((read[0].0, number(read[0].1)), (3, Some(7)));
        let inner: Vec<_> = attributes(read[1].1, 0).collect();
        assert_eq!((inner[0].0, text(inner[0].1).as_str()), (1, "ab"));
        assert_eq!(inner[1], (2, &[0, 0, 0, 9][..]));
    }

    #[test]
    fn of_a_batch_the_first_refusal_is_told_and_the_rest_is_done() {
        let thread = std::thread::spawn(|| {
            sys::process::unshare(NamespaceFlags::NET).unwrap();
            let netlink = Netlink::open().unwrap();
            let link = |name: &str| {
                let request =
                    Request::new(libc::RTM_NEWLINK, &[0; 16]).flags(libc::NLM_F_CREATE | libc::NLM_F_EXCL);
                request
                    .text(libc::IFLA_IFNAME, name)
                    .nested(libc::IFLA_LINKINFO, |info| info.text(1, "bridge"))
            };
            let refused = netlink.batch(&[link("b0"), link("b0"), link("lo"), link("b1")]).unwrap_err();
            assert_eq!((refused.index, refused.refusal.errno), (1, Errno::EXIST));
            for name in ["b0", "b1"] {
                netlink
                    .get(&Request::new(libc::RTM_GETLINK, &[0; 16]).text(libc::IFLA_IFNAME, name))
                    .unwrap();
            }
            netlink.batch(&[link("b2")]).unwrap();
        });
        thread.join().unwrap();
    }
}
