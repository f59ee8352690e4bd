//! The monitor's side of the protocol: clients, and what waits for each.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use runtime::Result;
use runtime::failure::OrFail;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use super::SOCKET;
use super::wire::{self, FrameKind, HEADER, Incoming, Status, Wants};
use crate::stdio::{Size, Stream};

/// A client for which more waits is left behind.
const MOST_WAITING: usize = 1 << 20;
/// While more waits for the client in the foreground, the payload waits.
const FOREGROUND_WAITING: usize = 256 << 10;

/// What a client said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Bytes for stdin.
    Stdin(Vec<u8>),
    /// Nothing more comes to stdin from the client that had it.
    StdinEnds,
    /// The terminal's size.
    Resize(Size),
}

/// All clients, and the socket that others come by.
#[derive(Debug)]
pub(crate) struct Hub {
    listener: OwnedFd,
    clients: Vec<Peer>,
}

#[derive(Debug)]
struct Peer {
    socket: OwnedFd,
    /// The payload waits for it.
    foreground: bool,
    wants: Option<Wants>,
    incoming: Incoming,
    /// Whole frames, of the first of which `sent` bytes are gone already.
    outgoing: VecDeque<Vec<u8>>,
    sent: usize,
    waiting: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Served,
    /// It gets what waits, and nothing more.
    Leaving,
    Gone,
}

/// Makes the socket that clients come by, in the place of one that a killed monitor left.
pub(crate) fn listen(dir: &Path) -> Result<OwnedFd> {
    let object = || format!("{}/{SOCKET}", dir.display());
    let at = || -> rustix::io::Result<OwnedFd> {
        let (held, address) = address(dir)?;
        match rustix::fs::unlinkat(&held, SOCKET, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // Nobody but the owner may connect, from the first instant on (unix(7): bind applies the umask).
        let umask = rustix::process::umask(Mode::from_raw_mode(0o177));
        let bound = rustix::net::bind(&socket, &address);
        rustix::process::umask(umask);
        bound?;
        rustix::net::listen(&socket, 64)?;
        Ok(socket)
    };
    at().or_fail("listen at", object())
}

/// The socket's address. A path has at most 107 bytes there, so it goes through a descriptor of the directory, which
/// must be open meanwhile.
pub(super) fn address(dir: &Path) -> rustix::io::Result<(OwnedFd, SocketAddrUnix)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let held = rustix::fs::open(dir, flags, Mode::empty())?;
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{SOCKET}", held.as_raw_fd()))?;
    Ok((held, address))
}

impl Hub {
    /// Nobody is attached yet.
    pub fn new(listener: OwnedFd) -> Self {
        Self { listener, clients: Vec::new() }
    }

    /// Where clients come in.
    pub fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Serves the client that started the container, and waits shortly for what it wants.
    pub fn add_foreground(&mut self, socket: OwnedFd) -> Result<()> {
        rustix::io::ioctl_fionbio(&socket, true).or_fail("unblock", "the client's socket")?;
        self.clients.push(Peer::new(socket, true));
        Ok(())
    }

    /// Whether nobody is attached.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Whether somebody sees the payload's output.
    pub fn sees_output(&self) -> bool {
        self.clients
            .iter()
            .any(|peer| peer.state == State::Served && peer.wants.is_some_and(|w| w.stdout || w.stderr))
    }

    /// Whether the payload is to wait for the client in the foreground.
    pub fn is_full(&self) -> bool {
        self.clients.iter().any(|peer| peer.foreground && peer.waiting > FOREGROUND_WAITING)
    }

    /// Whether all have got what waits for them, or only such as are too slow to be waited for longer.
    pub fn is_flushed(&self, patient: bool) -> bool {
        self.clients.iter().all(|peer| !peer.foreground && !patient || peer.waiting == 0)
    }

    /// What to wait for. Who writes to a full stdin is not listened to.
    pub fn add_to<'a>(&'a self, fds: &mut Vec<PollFd<'a>>, stdin_is_full: bool) {
        fds.push(PollFd::new(&self.listener, PollFlags::IN));
        for peer in &self.clients {
            let mut events = PollFlags::empty();
            let writes = peer.wants.is_some_and(|wants| wants.stdin);
            events.set(PollFlags::IN, !(stdin_is_full && writes));
            events.set(PollFlags::OUT, peer.waiting > 0);
            fds.push(PollFd::from_borrowed_fd(peer.socket.as_fd(), events));
        }
    }

    /// Goes with what [`add_to`](Self::add_to) waited for: sends, receives, accepts. `started` is told to who comes while
    /// the payload runs.
    pub fn serve(
        &mut self,
        events: &[PollFlags],
        started: Option<&Status>,
        scratch: &mut [u8],
        said: &mut Vec<Said>,
    ) {
        let Some((incoming, peers)) = events.split_first() else { return };
        for (peer, events) in self.clients.iter_mut().zip(peers) {
            if events.contains(PollFlags::OUT) {
                peer.send();
            }
            if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                peer.receive(started, scratch, said);
            }
        }
        if incoming.contains(PollFlags::IN) {
            self.accept();
        }
        self.clear();
    }

    /// Receives what the first client wants, which it said before it made us; for at most a second.
    pub fn hear_first(&mut self, scratch: &mut [u8], said: &mut Vec<Said>) {
        let Some(peer) = self.clients.first_mut() else { return };
        let second = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
        while peer.wants.is_none() && peer.state == State::Served {
            let mut fds = [PollFd::from_borrowed_fd(peer.socket.as_fd(), PollFlags::IN)];
            match rustix::event::poll(&mut fds, Some(&second)) {
                Ok(0) => return,
                Err(Errno::INTR) => {}
                _ => peer.receive(None, scratch, said),
            }
        }
        self.clear();
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while let Ok(socket) = rustix::net::accept_with(&self.listener, flags) {
            self.clients.push(Peer::new(socket, false));
        }
    }

    /// Forgets who is gone, or has got the last that it was to get.
    fn clear(&mut self) {
        self.clients.retain(|peer| match peer.state {
            State::Served => true,
            State::Leaving => peer.waiting > 0,
            State::Gone => false,
        });
    }

    /// Passes output on to all who see it.
    pub fn output(&mut self, stream: Stream, bytes: &[u8]) {
        for peer in &mut self.clients {
            if peer.state == State::Served && peer.wants.is_some_and(|wants| wants.sees(stream)) {
                peer.output(stream, bytes);
            }
        }
        self.clear();
    }

    /// Tells all how it stands. Who has not said yet what it wants hears of the start when it does.
    pub fn tell(&mut self, status: &Status) {
        let is_start = matches!(status, Status::Started { .. });
        for peer in self.clients.iter_mut().filter(|peer| peer.state == State::Served) {
            if peer.wants.is_some() || !is_start {
                peer.tell(status);
            }
        }
        self.clear();
    }

    /// Serves nobody any more who is attached now, once each has got what waits.
    pub fn dismiss(&mut self) {
        for peer in self.clients.iter_mut().filter(|peer| peer.state == State::Served) {
            peer.state = State::Leaving;
        }
        self.clear();
    }
}

impl Peer {
    fn new(socket: OwnedFd, foreground: bool) -> Self {
        Self {
            socket,
            foreground,
            wants: None,
            incoming: Incoming::default(),
            outgoing: VecDeque::new(),
            sent: 0,
            waiting: 0,
            state: State::Served,
        }
    }

    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        if !self.foreground && self.waiting + bytes.len() > MOST_WAITING {
            return self.leave_behind();
        }
        let header = wire::header(FrameKind::from(stream), bytes.len());
        let mut done = 0;
        if self.waiting == 0 {
            let parts = [IoSlice::new(&header), IoSlice::new(bytes)];
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::sendmsg(&self.socket, &parts, &mut SendAncillaryBuffer::default(), flags) {
                Ok(n) => done = n,
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => return self.state = State::Gone,
            }
        }
        if done < HEADER + bytes.len() {
            let mut frame = Vec::with_capacity(HEADER + bytes.len());
            frame.extend(header);
            frame.extend(bytes);
            self.queue(frame);
            // Where something was sent, nothing waited: the frame is the first.
            self.sent += done;
            self.waiting -= done;
        }
    }

    /// It gets what it has begun to get, and the word that it was left behind.
    fn leave_behind(&mut self) {
        self.outgoing.truncate(usize::from(self.sent > 0));
        self.waiting = self.outgoing.iter().map(Vec::len).sum::<usize>() - self.sent;
        self.tell(&Status::Dropped {});
        self.state = State::Leaving;
    }

    fn tell(&mut self, status: &Status) {
        self.queue(wire::document(FrameKind::Status, status));
        self.send();
    }

    fn queue(&mut self, frame: Vec<u8>) {
        self.waiting += frame.len();
        self.outgoing.push_back(frame);
    }

    fn send(&mut self) {
        while let Some(frame) = self.outgoing.front() {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::send(&self.socket, &frame[self.sent..], flags) {
                Ok(n) => {
                    self.sent += n;
                    self.waiting -= n;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.waiting = 0;
                    self.outgoing.clear();
                    return self.state = State::Gone;
                }
            }
            if self.sent == frame.len() {
                self.outgoing.pop_front();
                self.sent = 0;
            }
        }
        self.outgoing = VecDeque::new();
    }

    fn receive(&mut self, started: Option<&Status>, scratch: &mut [u8], said: &mut Vec<Said>) {
        match rustix::net::recv(&self.socket, &mut *scratch, RecvFlags::DONTWAIT) {
            Ok((n, _)) if n > 0 => self.incoming.add(&scratch[..n]),
            Err(Errno::AGAIN | Errno::INTR) => return,
            Ok(_) | Err(_) => return self.leave(said),
        }
        loop {
            match self.incoming.next() {
                Ok(Some((FrameKind::Wants, payload))) if self.wants.is_none() => {
                    self.wants = Some(serde_json::from_slice(payload).unwrap_or_default());
                    if let Some(started) = started {
                        self.tell(started);
                    }
                }
                Ok(Some((FrameKind::Stdin, payload))) if self.wants.is_some_and(|wants| wants.stdin) => {
                    said.push(if payload.is_empty() {
                        Said::StdinEnds
                    } else {
                        Said::Stdin(payload.to_vec())
                    });
                }
                Ok(Some((FrameKind::Resize, payload))) => said.extend(wire::size(payload).map(Said::Resize)),
                Ok(Some(_)) => {}
                Ok(None) => break,
                // It speaks something else.
                Err(_) => return self.leave(said),
            }
        }
        self.incoming.shrink();
    }

    fn leave(&mut self, said: &mut Vec<Said>) {
        if self.state != State::Gone && self.wants.is_some_and(|wants| wants.stdin) {
            said.push(Said::StdinEnds);
        }
        self.state = State::Gone;
    }
}
