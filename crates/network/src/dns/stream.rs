//! DNS over a connection: messages with their length in front, several of them on one connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::resolver::would_block;

/// A connection on which nothing happens ends after that.
const IDLE: Duration = Duration::from_secs(10);
/// More than that is not kept of what a client says, or does not take.
const MOST: usize = 128 << 10;

/// A client's connection.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    heard: Vec<u8>,
    to_say: Vec<u8>,
    /// Replies that are still on their way.
    expected: usize,
    /// The client says no more.
    is_over: bool,
    deadline: Instant,
}

impl Stream {
    /// A new one, whose socket does not block.
    pub fn new(socket: TcpStream) -> Self {
        let deadline = Instant::now() + IDLE;
        Self { socket, heard: Vec::new(), to_say: Vec::new(), expected: 0, is_over: false, deadline }
    }

    /// When it ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Reads and writes what goes without waiting; whether the connection goes on.
    pub fn exchange(&mut self) -> bool {
        self.read() && self.write() && !(self.is_over && self.expected == 0 && self.to_say.is_empty())
    }

    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        while !self.is_over && self.heard.len() < MOST {
            match self.socket.read(&mut buffer) {
                Ok(0) => self.is_over = true,
                Ok(length) => {
                    self.deadline = Instant::now() + IDLE;
                    self.heard.extend(&buffer[..length]);
                }
                Err(error) if would_block(&error) => return true,
                Err(_) => return false,
            }
        }
        true
    }

    fn write(&mut self) -> bool {
        while !self.to_say.is_empty() {
            match self.socket.write(&self.to_say) {
                Ok(0) => return false,
                Ok(length) => drop(self.to_say.drain(..length)),
                Err(error) if would_block(&error) => return self.to_say.len() <= MOST,
                Err(_) => return false,
            }
        }
        true
    }

    /// The next whole message that was heard.
    pub fn next_message(&mut self) -> Option<Vec<u8>> {
        take_message(&mut self.heard)
    }

    /// Notes that a reply comes later.
    pub fn expect_reply(&mut self) {
        self.expected += 1;
    }

    /// Has a message be said.
    pub fn send(&mut self, message: &[u8]) {
        self.expected = self.expected.saturating_sub(1);
        self.to_say.extend(framed(message));
    }
}

/// A message with its length in front.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len().min(usize::from(u16::MAX)) as u16).to_be_bytes()[..], message].concat()
}

/// The first whole message of those that were heard.
pub(super) fn take_message(heard: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_be_bytes(*heard.first_chunk()?));
    let message = heard.get(2..2 + length)?.to_vec();
    heard.drain(..2 + length);
    Some(message)
}
