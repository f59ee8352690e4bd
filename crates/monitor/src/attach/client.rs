//! A client's side of the protocol, blocking: our own stdin, stdout and terminal against a container's.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use runtime::failure::OrFail;
use runtime::{Failure, Result};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::keys::{DetachKeys, Watch};
use super::relay::write_all;
use super::server::address;
use super::terminal::RawMode;
use super::wire::{self, Exited, Failed, FrameKind, Incoming, Status, Wants};
use crate::stdio::{Size, Stream};

/// How much is read at a time.
const CHUNK: usize = 64 << 10;

/// Signals that this process holds back, from before the container exists, so that none is lost.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Holds all signals back, to the end of this process. A program that it executes should begin with
    /// [`sys::process::reset_signals`].
    ///
    /// # Errors
    /// Those of signalfd(2).
    pub fn hold() -> Result<Self> {
        sys::process::all_signals_as_fd().map(Self).or_fail("hold back", "signals")
    }

    /// What to wait for before [`take`](Self::take).
    pub fn wanted(&self) -> PollFd<'_> {
        PollFd::new(&self.0, PollFlags::IN)
    }

    /// The next signal that waits.
    pub fn take(&self) -> Option<i32> {
        sys::process::next_signal(self.0.as_fd()).ok()
    }
}

/// How a client goes with a container.
pub struct Session<'a> {
    /// What it wants.
    pub wants: Wants,
    /// The container has a terminal: ours is raw meanwhile, and its size goes along.
    pub tty: bool,
    /// The keys that detach from a terminal; none where stdin is not typed.
    pub detach_keys: Option<DetachKeys>,
    /// Where signals go (`--sig-proxy`). Without it SIGINT, SIGTERM, SIGHUP and SIGQUIT end the session.
    pub forward: Option<&'a mut dyn FnMut(i32)>,
    /// Called when the payload runs, with its pid.
    pub started: &'a mut dyn FnMut(i32),
}

/// How a session has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The payload has ended.
    Exited(Exited),
    /// It could not be started.
    Failed(Failed),
    /// The keys were typed: the container goes on.
    Detached,
    /// This signal came, and was not to be forwarded; SIGPIPE where nobody reads our output any more.
    Interrupted(i32),
    /// We were too slow, and have missed some output: the container goes on.
    Dropped,
    /// The monitor is gone without a word.
    Lost,
}

/// A connection to a monitor.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    incoming: Incoming,
    has_said: bool,
}

impl Client {
    /// A client, and the monitor's end of its socket, for [`attend`](crate::attend()).
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub fn pair() -> Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .or_fail("make", "a socket pair")?;
        Ok((Self::new(ours), theirs))
    }

    /// A client of the monitor whose [`runtime_dir`](crate::Config::runtime_dir) this is.
    ///
    /// # Errors
    /// `ENOENT` and `ECONNREFUSED` where there is no monitor.
    pub fn connect(runtime_dir: &Path) -> Result<Self> {
        let connect = || -> rustix::io::Result<OwnedFd> {
            let flags = SocketFlags::CLOEXEC;
            let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            let (_held, address) = address(runtime_dir)?;
            rustix::net::connect(&socket, &address)?;
            Ok(socket)
        };
        connect().map(Self::new).or_fail("attach through", runtime_dir.join(super::SOCKET).display())
    }

    fn new(socket: OwnedFd) -> Self {
        Self { socket, incoming: Incoming::default(), has_said: false }
    }

    /// Says what this client wants, and our terminal's size where the container has one, so that it begins with that.
    /// [`run`](Self::run) does it otherwise; a client that makes its own monitor should before that.
    ///
    /// # Errors
    /// Those of send(2).
    pub fn want(&mut self, wants: Wants, tty: bool) -> Result<()> {
        self.has_said = true;
        let mut frames = wire::document(FrameKind::Wants, &wants);
        frames.extend(Size::of(rustix::stdio::stdin()).filter(|_| tty).map(wire::resize).unwrap_or_default());
        rustix::net::send(&self.socket, &frames, SendFlags::NOSIGNAL)
            .map(drop)
            .or_fail("attach to", "the monitor")
    }

    /// Waits until the payload runs, and gives its pid; for who wants nothing else.
    ///
    /// # Errors
    /// The ending, where it is not running.
    pub fn wait_started(mut self) -> Result<std::result::Result<i32, Ending>> {
        let mut buffer = vec![0; 4096];
        loop {
            while let Some((kind, payload)) = self.incoming.next().or_fail("understand", "the monitor")? {
                if kind != FrameKind::Status {
                    continue;
                }
                match status(payload)? {
                    Status::Started { pid } => return Ok(Ok(pid)),
                    other => return Ok(Err(ending(other))),
                }
            }
            match rustix::net::recv(&self.socket, &mut buffer, RecvFlags::empty()) {
                Ok((0, _)) => return Ok(Err(Ending::Lost)),
                Ok((n, _)) => self.incoming.add(&buffer[..n]),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).or_fail("hear from", "the monitor"),
            }
        }
    }

    /// Goes with the container until it ends, or the session does.
    ///
    /// # Errors
    /// Where our own side does not work.
    pub fn run<'a>(mut self, session: Session<'a>, signals: &'a Signals) -> Result<Ending> {
        if !self.has_said {
            self.want(session.wants, session.tty)?;
        }
        let raw = (session.tty && session.wants.stdin).then(RawMode::enter).transpose()?;
        let watch = session.detach_keys.clone().filter(|_| session.tty).map(Watch::new);
        let stdin_open = session.wants.stdin;
        let mut attached = Attached {
            client: self,
            session,
            signals,
            watch,
            stdin_open,
            to_send: Vec::new(),
            is_started: false,
            buffer: vec![0; CHUNK],
        };
        let ending = attached.run();
        drop(raw);
        ending
    }
}

fn status(payload: &[u8]) -> Result<Status> {
    serde_json::from_slice(payload).map_err(|error| Failure::because("understand", "the monitor", error))
}

fn ending(status: Status) -> Ending {
    match status {
        Status::Exited(exited) => Ending::Exited(exited),
        Status::Failed(failed) => Ending::Failed(failed),
        Status::Dropped {} => Ending::Dropped,
        // Who asks for the ending has seen the start.
        Status::Started { .. } => Ending::Lost,
    }
}

/// A session that goes on.
struct Attached<'a> {
    client: Client,
    session: Session<'a>,
    signals: &'a Signals,
    watch: Option<Watch>,
    stdin_open: bool,
    /// Frames that the monitor did not take yet: no more is read from stdin meanwhile.
    to_send: Vec<u8>,
    is_started: bool,
    buffer: Vec<u8>,
}

impl Attached<'_> {
    fn run(&mut self) -> Result<Ending> {
        loop {
            let [signals, socket, stdin] = self.wait()?;
            if let Some(ending) = self.take_signals(signals) {
                return Ok(ending);
            }
            if socket && let Some(ending) = self.receive()? {
                return Ok(ending);
            }
            if stdin && self.read_stdin() {
                self.send();
                return Ok(Ending::Detached);
            }
            self.send();
        }
    }

    fn wait(&self) -> Result<[bool; 3]> {
        let mut events = PollFlags::IN;
        events.set(PollFlags::OUT, !self.to_send.is_empty());
        let mut fds =
            vec![PollFd::new(&self.client.socket, events), PollFd::new(&self.signals.0, PollFlags::IN)];
        if self.stdin_open && self.to_send.is_empty() {
            fds.push(PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN));
        }
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).or_fail("wait for", "the container"),
        }
        let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        let received = fds[0].revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
        Ok([ready(1), received, ready(2)])
    }

    fn take_signals(&mut self, ready: bool) -> Option<Ending> {
        // Nobody is there before the start to take what is to be forwarded: it waits.
        if !ready || (self.session.forward.is_some() && !self.is_started) {
            return None;
        }
        while let Ok(signal) = sys::process::next_signal(self.signals.0.as_fd()) {
            match signal {
                libc::SIGWINCH if self.session.tty => {
                    let size = Size::of(rustix::stdio::stdin());
                    self.to_send.extend(size.map(wire::resize).unwrap_or_default());
                }
                libc::SIGCHLD | libc::SIGURG | libc::SIGPIPE | libc::SIGWINCH => {}
                signal => match &mut self.session.forward {
                    Some(forward) => forward(signal),
                    None if matches!(signal, libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT) => {
                        return Some(Ending::Interrupted(signal));
                    }
                    None => {}
                },
            }
        }
        None
    }

    fn receive(&mut self) -> Result<Option<Ending>> {
        match rustix::net::recv(&self.client.socket, &mut self.buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) | Err(Errno::CONNRESET) => return Ok(Some(Ending::Lost)),
            Ok((n, _)) => self.client.incoming.add(&self.buffer[..n]),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(errno) => return Err(errno).or_fail("hear from", "the monitor"),
        }
        loop {
            let frame = self.client.incoming.next().or_fail("understand", "the monitor")?;
            let Some((kind, payload)) = frame else { return Ok(None) };
            let stream = match kind {
                FrameKind::Stdout => Stream::Stdout,
                FrameKind::Stderr => Stream::Stderr,
                FrameKind::Status => match status(payload)? {
                    Status::Started { pid } => {
                        self.is_started = true;
                        (self.session.started)(pid);
                        continue;
                    }
                    other => return Ok(Some(ending(other))),
                },
                _ => continue,
            };
            let own = match stream {
                Stream::Stdout => rustix::stdio::stdout(),
                Stream::Stderr => rustix::stdio::stderr(),
            };
            match write_all(own, payload) {
                Ok(()) => {}
                Err(Errno::PIPE) => return Ok(Some(Ending::Interrupted(libc::SIGPIPE))),
                Err(errno) => return Err(errno).or_fail("write to", stream.as_str()),
            }
        }
    }

    /// True when the keys were typed that detach.
    fn read_stdin(&mut self) -> bool {
        let n = match rustix::io::read(rustix::stdio::stdin(), &mut self.buffer) {
            Ok(n) => n,
            Err(Errno::AGAIN | Errno::INTR) => return false,
            // EIO: it is a terminal that we are not in the foreground of.
            Err(_) => 0,
        };
        if n == 0 {
            self.stdin_open = false;
            self.to_send.extend(wire::header(FrameKind::Stdin, 0));
            return false;
        }
        let mut typed = Vec::new();
        let detached = match &mut self.watch {
            Some(watch) => watch.pass(&self.buffer[..n], &mut typed),
            None => {
                typed.extend(&self.buffer[..n]);
                false
            }
        };
        if !typed.is_empty() {
            self.to_send.extend(wire::frame(FrameKind::Stdin, &typed));
        }
        detached
    }

    fn send(&mut self) {
        while !self.to_send.is_empty() {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::send(&self.client.socket, &self.to_send, flags) {
                Ok(n) => drop(self.to_send.drain(..n)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // It is gone: what it said last is still to be read.
                Err(_) => {
                    self.to_send.clear();
                    self.stdin_open = false;
                }
            }
        }
    }
}
