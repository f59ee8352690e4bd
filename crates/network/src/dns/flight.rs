//! A question on its way to the host's servers: the first is asked, after a moment the next one too, and the first that can
//! tell is believed. Each question has sockets and an id of its own, so that a forged answer must guess both.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::message::{self, Question};
use super::resolver::{Address, would_block};
use super::stream::{framed, take_message};

/// After that the next server is asked as well.
const PATIENCE: Duration = Duration::from_millis(300);
/// The servers are asked all over again once, as datagrams get lost.
const ROUNDS: usize = 2;
/// After that the client is told that nobody knows.
const DEADLINE: Duration = Duration::from_secs(5);
const LARGEST: usize = 64 << 10;

/// Who asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Client {
    Datagram(Address),
    /// The token of its connection.
    Stream(u64),
}

/// How far a question is.
#[derive(Debug)]
pub(super) enum Progress {
    Waiting,
    Answered(Vec<u8>),
    Failed,
}

/// A conversation with one server.
#[derive(Debug)]
enum Line {
    Datagram(UdpSocket),
    Stream { socket: TcpStream, to_say: Vec<u8>, heard: Vec<u8> },
}

/// A question that is asked elsewhere.
#[derive(Debug)]
pub(super) struct Flight {
    pub question: Question,
    pub client: Client,
    message: Vec<u8>,
    id: u16,
    servers: Vec<Address>,
    asked: usize,
    lines: Vec<Line>,
    last_failure: Option<Vec<u8>>,
    next: Instant,
    deadline: Instant,
}

/// Watches a descriptor on behalf of the flight; whether that works.
type Watch<'a> = &'a mut dyn FnMut(BorrowedFd<'_>, EventFlags) -> bool;

impl Flight {
    /// Nobody is asked yet.
    pub fn new(question: Question, message: &[u8], client: Client, servers: Vec<Address>) -> Self {
        let mut id = [0; 2];
        // Without randomness the port's is left.
        let _ = rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty());
        let id = u16::from_ne_bytes(id);
        let mut message = message.to_vec();
        message::set_id(&mut message, id);
        let now = Instant::now();
        Self {
            question,
            client,
            message,
            id,
            servers,
            asked: 0,
            lines: Vec::new(),
            last_failure: None,
            next: now,
            deadline: now + DEADLINE,
        }
    }

    /// When it is to go on by itself.
    pub fn next(&self) -> Instant {
        self.next
    }

    pub fn is_datagram(&self) -> bool {
        matches!(self.client, Client::Datagram(_))
    }

    /// Asks the next server, or gives up.
    pub fn ask_next(&mut self, watch: Watch<'_>) -> Progress {
        let now = Instant::now();
        while now < self.deadline && self.asked < self.servers.len() * ROUNDS {
            let server = self.servers[self.asked % self.servers.len()];
            self.asked += 1;
            if let Some(line) = self.open(server)
                && watch(line.as_fd(), EventFlags::IN | EventFlags::OUT | EventFlags::ET)
            {
                self.lines.push(line);
                self.next = (now + PATIENCE).min(self.deadline);
                return Progress::Waiting;
            }
        }
        if now < self.deadline && !self.lines.is_empty() {
            self.next = self.deadline;
            return Progress::Waiting;
        }
        self.give_up()
    }

    /// The words of a server that could not tell, if there is one.
    fn give_up(&mut self) -> Progress {
        self.last_failure.take().map_or(Progress::Failed, Progress::Answered)
    }

    fn open(&self, server: Address) -> Option<Line> {
        if self.is_datagram() {
            let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            let socket = UdpSocket::bind((any, 0)).ok()?;
            socket.set_nonblocking(true).ok()?;
            socket.connect(server).ok()?;
            socket.send(&self.message).ok()?;
            return Some(Line::Datagram(socket));
        }
        let socket = connect(server).ok()?;
        Some(Line::Stream { socket, to_say: framed(&self.message), heard: Vec::new() })
    }

    /// Reads what servers have said.
    pub fn hear(&mut self, watch: Watch<'_>) -> Progress {
        let mut lines = std::mem::take(&mut self.lines);
        let mut answer = None;
        lines.retain_mut(|line| {
            if answer.is_some() {
                return false;
            }
            match line.hear() {
                Ok(Some(message)) if !self.question.is_answered_by(self.id, &message) => true,
                Ok(Some(mut message)) => {
                    let failed = message::is_failure(&message);
                    message::set_id(&mut message, self.question.id);
                    *(if failed { &mut self.last_failure } else { &mut answer }) = Some(message);
                    false
                }
                Ok(None) => true,
                Err(_) => false,
            }
        });
        self.lines = lines;
        match answer {
            Some(answer) => Progress::Answered(answer),
            // Nobody is left who might tell: the next one is asked now.
            None if self.lines.is_empty() => self.ask_next(watch),
            None => Progress::Waiting,
        }
    }
}

impl Line {
    fn hear(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        match self {
            Self::Datagram(socket) => {
                let mut buffer = vec![0; LARGEST];
                match socket.recv(&mut buffer) {
                    Ok(length) => {
                        buffer.truncate(length);
                        Ok(Some(buffer))
                    }
                    Err(error) if would_block(&error) => Ok(None),
                    Err(error) => Err(error),
                }
            }
            Self::Stream { socket, to_say, heard } => {
                while !to_say.is_empty() {
                    match socket.write(to_say) {
                        Ok(length) => drop(to_say.drain(..length)),
                        Err(error) if would_block(&error) || error.raw_os_error() == Some(libc::ENOTCONN) => {
                            break;
                        }
                        Err(error) => return Err(error),
                    }
                }
                let mut buffer = [0; 4096];
                loop {
                    if let Some(message) = take_message(heard) {
                        return Ok(Some(message));
                    }
                    match socket.read(&mut buffer) {
                        Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                        Ok(length) => heard.extend(&buffer[..length]),
                        Err(error) if would_block(&error) || error.raw_os_error() == Some(libc::ENOTCONN) => {
                            return Ok(None);
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Datagram(socket) => socket.as_fd(),
            Self::Stream { socket, .. } => socket.as_fd(),
        }
    }
}

/// Begins to connect, without waiting for it.
fn connect(server: Address) -> rustix::io::Result<TcpStream> {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
        Err(errno) => Err(errno),
    }
}
