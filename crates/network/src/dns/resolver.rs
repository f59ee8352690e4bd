//! The resolver of one container: sockets on 127.0.0.11 in the container's network namespace, held by a process outside of
//! it, the container's monitor, whose event loop it lives in by one descriptor.
//!
//! ```text
//! container            resolver (monitor's process, host's namespace)
//!   | question, UDP/TCP    |
//!   +--------------------> | known in the container's networks? the answer, from the networks' files
//!   | <--------------------+
//!   |                      | else: the first of the host's servers; after 300 ms the next one too, and so on
//!   |                      +-------------------------> server
//!   | <--------------------+ <------------------------+ the first that can tell
//! ```
//! There is nothing to be told: names are looked up on disk at each question, and so is, by one look at its file's inode,
//! whether the container is in other networks now. A resolver that is killed takes nothing along, and others do not notice.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use namespace::netlink;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use super::flight::{Client, Flight, Progress};
use super::message::{self, Code, Data, Question};
use super::servers::{self, Servers};
use super::stream::Stream;
use super::zone::Zone;
use crate::endpoint::Attachment;
use crate::firewall::loopback;
use crate::{Error, Networks, Result, disk};

/// Where a container asks for names: Docker's address.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// So many questions are asked elsewhere at a time; more are refused.
const MOST_FLIGHTS: usize = 64;
/// So many connections are open at a time; more are closed at once.
const MOST_STREAMS: usize = 16;
/// The largest datagram that is taken.
const DATAGRAM: usize = 4096;
/// So many datagrams are taken before others have their turn.
const TURN: usize = 32;

const UDP: u64 = 0;
const LISTENER: u64 = 1;
const TIMER: u64 = 2;
const FIRST: u64 = 16;

/// Inode and time of change: a file that is replaced has others.
type Version = (u64, i64, i64);

/// A container's resolver.
#[derive(Debug)]
pub struct Resolver {
    epoll: OwnedFd,
    timer: OwnedFd,
    udp: UdpSocket,
    listener: TcpListener,
    run: PathBuf,
    /// What the container is connected with, on disk, and which version of that file `zone` was made from.
    attachment: PathBuf,
    seen: Option<Version>,
    zone: Zone,
    servers: Servers,
    /// Whether the container leads out: else nobody is asked on its behalf, or questions would be a way out
    /// (CVE-2024-29018).
    leads_out: bool,
    next: u64,
    flights: BTreeMap<u64, Flight>,
    streams: BTreeMap<u64, Stream>,
    /// Which flight or stream a descriptor in the epoll belongs to.
    turn: usize,
}

impl Resolver {
    /// Opens the resolver of a container, where it needs one: where a network of its resolves names, or all of the
    /// host's servers are on the host's loopback, which a container does not reach.
    ///
    /// # Errors
    /// Where a socket can't be had, or the kernel has no nf_tables.
    pub fn open(
        networks: &Networks,
        attachment: &Attachment,
        namespace: BorrowedFd<'_>,
    ) -> Result<Option<Self>> {
        if !Self::is_needed(networks, attachment) {
            return Ok(None);
        }
        let failed = |error| Error::kernel("open", "resolver in the container", namespace_refusal(error));
        let open = || -> Result<(UdpSocket, TcpListener)> {
            let udp = UdpSocket::bind((RESOLVER, 0)).map_err(failed)?;
            let listener = TcpListener::bind((RESOLVER, 0)).map_err(failed)?;
            let ports =
                (udp.local_addr().map_err(failed)?.port(), listener.local_addr().map_err(failed)?.port());
            loopback::redirect(RESOLVER, ports.0, ports.1)?;
            Ok((udp, listener))
        };
        let entered = netlink::visit(namespace, open)
            .map_err(|refusal| Error::kernel("enter", "network namespace of the container", refusal))?;
        let (udp, listener) = entered?;
        Self::with(networks, attachment, udp.into(), listener.into()).map(Some)
    }

    /// Whether a container needs one.
    #[must_use]
    pub fn is_needed(networks: &Networks, attachment: &Attachment) -> bool {
        let host = || servers::of_host(servers::RESOLV_CONF.as_ref());
        let connected = attachment.endpoints.iter().any(|endpoint| endpoint.host_interface.is_some());
        !Zone::new(networks.run(), attachment).is_empty()
            || connected && attachment.dns.is_empty() && host().iter().all(|server| server.ip().is_loopback())
    }

    /// Goes on with the sockets of an earlier one ([`sockets`](Self::sockets)), which another program image had.
    ///
    /// # Errors
    /// Where a descriptor can't be had.
    pub fn with(
        networks: &Networks,
        attachment: &Attachment,
        udp: OwnedFd,
        listener: OwnedFd,
    ) -> Result<Self> {
        let failed = |error: std::io::Error| Error::kernel("set up", "resolver", namespace_refusal(error));
        let (udp, listener) = (UdpSocket::from(udp), TcpListener::from(listener));
        udp.set_nonblocking(true).and_then(|()| listener.set_nonblocking(true)).map_err(failed)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags);
        let timer = timer.map_err(|errno| failed(errno.into()))?;
        let resolver = Self {
            epoll,
            timer,
            udp,
            listener,
            run: networks.run().to_owned(),
            attachment: networks.attachment_path(&attachment.container),
            seen: None,
            zone: Zone::new(networks.run(), attachment),
            servers: Servers::new(&attachment.dns),
            leads_out: attachment.leads_out(),
            next: FIRST,
            flights: BTreeMap::new(),
            streams: BTreeMap::new(),
            turn: 0,
        };
        let watched = [
            (resolver.udp.as_fd(), UDP),
            (resolver.listener.as_fd(), LISTENER),
            (resolver.timer.as_fd(), TIMER),
        ];
        for (fd, token) in watched {
            resolver.watch(fd, token, EventFlags::IN).map_err(failed)?;
        }
        Ok(resolver)
    }

    /// The sockets for UDP and TCP, to go on with in another program image.
    #[must_use]
    pub fn sockets(&self) -> [BorrowedFd<'_>; 2] {
        [self.udp.as_fd(), self.listener.as_fd()]
    }

    fn watch(&self, fd: BorrowedFd<'_>, token: u64, flags: EventFlags) -> std::io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token), flags)?)
    }

    /// Does what there is to do, without waiting. To be called when [`as_fd`](AsFd::as_fd) is readable.
    pub fn serve(&mut self) {
        let mut events = Vec::with_capacity(TURN);
        let no_wait = Timespec { tv_sec: 0, tv_nsec: 0 };
        if epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&no_wait)).is_err() {
            return;
        }
        for event in &events {
            match event.data.u64() {
                UDP => self.serve_datagrams(),
                LISTENER => self.accept(),
                TIMER => drop(rustix::io::read(&self.timer, &mut [0; 8])),
                token if self.streams.contains_key(&token) => self.serve_stream(token),
                token => self.advance(token, false),
            }
        }
        self.expire();
    }

    fn serve_datagrams(&mut self) {
        let mut buffer = [0; DATAGRAM];
        for _ in 0..TURN {
            let Ok((length, peer)) = self.udp.recv_from(&mut buffer) else { return };
            if let Some(reply) = self.ask(&buffer[..length], Client::Datagram(peer)) {
                // Who does not take it asks again.
                let _ = self.udp.send_to(&reply, peer);
            }
        }
    }

    /// Knows the networks that the container is in now. Of a file that can't be read nothing new is known.
    fn refresh(&mut self) {
        let Ok(stat) = rustix::fs::stat(&self.attachment) else { return };
        let version = (stat.st_ino, stat.st_ctime, stat.st_ctime_nsec as i64);
        if self.seen == Some(version) {
            return;
        }
        if let Ok(Some(attachment)) = disk::read_json::<Attachment>(&self.attachment) {
            self.zone = Zone::new(&self.run, &attachment);
            self.leads_out = attachment.leads_out();
            self.seen = Some(version);
        }
    }

    /// The reply to a question, if it is known at once.
    fn ask(&mut self, message: &[u8], client: Client) -> Option<Vec<u8>> {
        self.refresh();
        let question = match message::parse(message) {
            Ok(question) => question,
            Err(reply) => return reply,
        };
        let is_datagram = matches!(client, Client::Datagram(_));
        if let Some((code, mut data)) = self.zone.answer(&question) {
            if let Data::Addresses(addresses) = &mut data
                && !addresses.is_empty()
            {
                // Those who share a name take turns.
                self.turn = self.turn.wrapping_add(1);
                let first = self.turn % addresses.len();
                addresses.rotate_left(first);
            }
            return Some(question.reply(code, &data, is_datagram));
        }
        if !self.leads_out || self.flights.len() >= MOST_FLIGHTS {
            return Some(failure(&question, is_datagram));
        }
        let servers = self.servers.get().to_vec();
        let token = self.token();
        let flight = Flight::new(question, message, client, servers);
        self.flights.insert(token, flight);
        self.advance(token, true);
        None
    }

    fn token(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Has a question that is asked elsewhere go on.
    fn advance(&mut self, token: u64, is_new: bool) {
        let Some(mut flight) = self.flights.remove(&token) else { return };
        let epoll = &self.epoll;
        let mut watch = |fd: BorrowedFd<'_>, flags: EventFlags| {
            epoll::add(epoll, fd, EventData::new_u64(token), flags).is_ok()
        };
        let progress = if is_new { flight.ask_next(&mut watch) } else { flight.hear(&mut watch) };
        match progress {
            Progress::Waiting => drop(self.flights.insert(token, flight)),
            Progress::Answered(reply) => self.deliver(&flight, &reply),
            Progress::Failed => self.deliver(&flight, &failure(&flight.question, flight.is_datagram())),
        }
    }

    fn deliver(&mut self, flight: &Flight, reply: &[u8]) {
        match flight.client {
            Client::Datagram(peer) => drop(self.udp.send_to(reply, peer)),
            Client::Stream(token) => {
                if let Some(stream) = self.streams.get_mut(&token) {
                    stream.send(reply);
                    self.serve_stream(token);
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            if self.streams.len() >= MOST_STREAMS || socket.set_nonblocking(true).is_err() {
                continue;
            }
            let token = self.token();
            // Told at each change, for there is not always something to write.
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET | EventFlags::RDHUP;
            if self.watch(socket.as_fd(), token, flags).is_ok() {
                self.streams.insert(token, Stream::new(socket));
            }
        }
    }

    fn serve_stream(&mut self, token: u64) {
        let Some(mut stream) = self.streams.remove(&token) else { return };
        let mut open = stream.exchange();
        while let Some(message) = stream.next_message() {
            match self.ask(&message, Client::Stream(token)) {
                Some(reply) => stream.send(&reply),
                None => stream.expect_reply(),
            }
            open &= stream.exchange();
        }
        if open {
            self.streams.insert(token, stream);
        }
    }

    /// What has waited for too long is asked elsewhere, or given up; the timer is set for the next.
    fn expire(&mut self) {
        let now = Instant::now();
        self.streams.retain(|_, stream| stream.deadline() > now);
        let due: Vec<u64> =
            self.flights.iter().filter(|(_, flight)| flight.next() <= now).map(|(token, _)| *token).collect();
        for token in due {
            self.advance(token, true);
        }
        let flights = self.flights.values().map(Flight::next);
        let next = flights.chain(self.streams.values().map(Stream::deadline)).min();
        // Zero would mean never.
        let wait = next.map(|next| next.saturating_duration_since(now).max(Duration::from_millis(1)));
        let value = timespec(wait.unwrap_or_default());
        let time = Itimerspec { it_interval: timespec(Duration::ZERO), it_value: value };
        let _ = rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &time);
    }
}

impl AsFd for Resolver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: duration.subsec_nanos().into() }
}

fn failure(question: &Question, is_datagram: bool) -> Vec<u8> {
    question.reply(Code::ServerFailure, &Data::Addresses(Vec::new()), is_datagram)
}

fn namespace_refusal(error: std::io::Error) -> netlink::Refusal {
    error.into()
}

/// Whether an operation would have to wait.
pub(super) fn would_block(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// The address of a server or a client.
pub(super) type Address = SocketAddr;
