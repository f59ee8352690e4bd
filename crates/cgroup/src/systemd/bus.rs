//! A connection to a message bus: one thread, one question at a time.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::{Duration, Instant};

use super::value::{Reader, Value, Writer};
use crate::error::words;

/// How long systemd may take over one question, and over one job.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
/// The specification's limit of a message.
const MESSAGE_MAX: usize = 128 << 20;

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// Why a conversation over D-Bus failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// No address of a bus is known.
    #[error(
        "no message bus: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR leads to one; log in anew, or install dbus-user-session"
    )]
    NoAddress,
    /// Connecting failed.
    #[error("connect to {address}: {}", words(cause))]
    Connect {
        /// Address of the bus.
        address: String,
        /// The cause.
        cause: io::Error,
    },
    /// The bus does not accept us.
    #[error("authenticate to the message bus: {0:?}")]
    Rejected(String),
    /// The connection broke, or an answer took too long.
    #[error("talk to the message bus: {}", words(.0))]
    Io(io::Error),
    /// The peer sent what is no D-Bus message.
    #[error("malformed message from the message bus: {0}")]
    Malformed(&'static str),
    /// The method answered with an error.
    #[error("{method}: {message} ({name})")]
    Call {
        /// The method called.
        method: String,
        /// Name of the D-Bus error.
        name: String,
        /// Text of the error.
        message: String,
    },
}

impl BusError {
    /// Whether the method answered with the error `name`.
    pub(crate) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Call { name: other, .. } if other == name)
    }
}

impl From<io::Error> for BusError {
    fn from(cause: io::Error) -> Self {
        Self::Io(cause)
    }
}

/// What is called.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub destination: &'static str,
    pub path: &'static str,
    pub interface: &'static str,
}

/// A received message.
#[derive(Debug)]
pub(crate) struct Message {
    kind: u8,
    reply_to: u32,
    pub member: String,
    error: String,
    pub body: Vec<Value>,
}

pub(crate) struct Bus {
    stream: BufReader<UnixStream>,
    serial: u32,
    /// Signals that arrived while an answer was awaited.
    signals: Vec<Message>,
}

const DAEMON: Target = Target {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};

impl Bus {
    /// Connects to the first reachable one of the addresses, which `;` separates.
    pub fn connect(addresses: &str) -> Result<Self, BusError> {
        let mut failure = BusError::NoAddress;
        for address in addresses.split(';').filter(|address| !address.is_empty()) {
            match dial(address) {
                Ok(stream) => {
                    let mut bus = Self::authenticate(stream)?;
                    bus.call(DAEMON, "Hello", &[])?;
                    return Ok(bus);
                }
                Err(cause) => failure = BusError::Connect { address: address.to_owned(), cause },
            }
        }
        Err(failure)
    }

    /// EXTERNAL without naming a user: the socket's credentials tell, in every user namespace.
    fn authenticate(stream: UnixStream) -> Result<Self, BusError> {
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut bus = Self { stream: BufReader::new(stream), serial: 0, signals: Vec::new() };
        bus.send(b"\0AUTH EXTERNAL\r\nDATA\r\n")?;
        for expected in ["DATA", "OK "] {
            let mut line = String::new();
            (&mut bus.stream).take(4096).read_line(&mut line)?;
            if !line.starts_with(expected) {
                return Err(BusError::Rejected(line.trim_end().to_owned()));
            }
        }
        bus.send(b"BEGIN\r\n")?;
        Ok(bus)
    }

    /// Asks the daemon for the signals that match `rule`.
    pub fn subscribe(&mut self, rule: &str) -> Result<(), BusError> {
        self.call(DAEMON, "AddMatch", &[Value::text(rule)]).map(drop)
    }

    /// Calls a method and waits for its answer.
    pub fn call(
        &mut self,
        target: Target,
        method: &str,
        arguments: &[Value],
    ) -> Result<Vec<Value>, BusError> {
        self.serial += 1;
        self.send(&encode(self.serial, target, method, arguments))?;
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let message = self.receive(deadline)?;
            match message.kind {
                METHOD_RETURN if message.reply_to == self.serial => return Ok(message.body),
                ERROR if message.reply_to == self.serial => {
                    let text = message.body.first().and_then(Value::as_text).unwrap_or_default();
                    return Err(BusError::Call {
                        method: method.to_owned(),
                        name: message.error,
                        message: text.to_owned(),
                    });
                }
                SIGNAL => self.signals.push(message),
                _ => {}
            }
        }
    }

    /// Waits for the first signal that `wanted` takes.
    pub fn signal<T>(
        &mut self,
        deadline: Instant,
        mut wanted: impl FnMut(&Message) -> Option<T>,
    ) -> Result<T, BusError> {
        if let Some(found) = std::mem::take(&mut self.signals).iter().find_map(&mut wanted) {
            return Ok(found);
        }
        loop {
            let message = self.receive(deadline)?;
            if message.kind == SIGNAL
                && let Some(found) = wanted(&message)
            {
                return Ok(found);
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    fn receive(&mut self, deadline: Instant) -> Result<Message, BusError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
        self.stream.get_ref().set_read_timeout(Some(left))?;
        let mut head = [0; 16];
        self.stream.read_exact(&mut head)?;
        let rest = remaining_length(&head)?;
        let mut message = head.to_vec();
        message.resize(head.len() + rest, 0);
        self.stream.read_exact(&mut message[head.len()..])?;
        decode(&message).ok_or(BusError::Malformed("its fields do not fit its length"))
    }
}

/// Opens a socket at an address like `unix:path=/run/dbus/system_bus_socket,guid=…`.
fn dial(address: &str) -> io::Result<UnixStream> {
    let unsupported = || io::Error::new(io::ErrorKind::Unsupported, "only unix: addresses are supported");
    let parameters = address.strip_prefix("unix:").ok_or_else(unsupported)?;
    let value = |key: &str| {
        let find = |parameter: &str| Some(unescape(parameter.strip_prefix(key)?.strip_prefix('=')?));
        parameters.split(',').find_map(find)
    };
    match (value("path"), value("abstract")) {
        (Some(path), _) => {
            UnixStream::connect_addr(&SocketAddr::from_pathname(std::ffi::OsString::from_vec(path))?)
        }
        (None, Some(name)) => UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?),
        _ => Err(unsupported()),
    }
}

/// Values of an address have `%` and two hexadecimal digits for what is special.
fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        plain.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    plain
}

// Codes of header fields.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

fn encode(serial: u32, target: Target, method: &str, arguments: &[Value]) -> Vec<u8> {
    let mut body = Writer::default();
    arguments.iter().for_each(|argument| body.value(argument));
    let field = |code, value: Value| Value::Struct(vec![Value::Byte(code), value.variant()]);
    let mut fields = vec![
        field(PATH, Value::Path(target.path.to_owned())),
        field(INTERFACE, Value::text(target.interface)),
        field(MEMBER, Value::text(method)),
        field(DESTINATION, Value::text(target.destination)),
    ];
    if !arguments.is_empty() {
        let signature = arguments.iter().map(Value::signature).collect();
        fields.push(field(SIGNATURE, Value::Signature(signature)));
    }
    // Byte order, type, flags, protocol version.
    let mut message = Writer(vec![b'l', METHOD_CALL, 0, 1]);
    message.u32(body.0.len() as u32);
    message.u32(serial);
    message.value(&Value::Array("(yv)".to_owned(), fields));
    message.align(8);
    message.0.extend(body.0);
    message.0
}

/// How many bytes follow the first sixteen, which end with the length of the header fields.
fn remaining_length(head: &[u8; 16]) -> Result<usize, BusError> {
    let big_endian = match head[0] {
        b'l' => false,
        b'B' => true,
        _ => return Err(BusError::Malformed("unknown byte order")),
    };
    let mut reader = Reader::new(head, 4, big_endian);
    let mut number = || reader.u32().unwrap_or(u32::MAX) as usize;
    let (body, _serial, fields) = (number(), number(), number());
    let length = fields.next_multiple_of(8).saturating_add(body);
    if length > MESSAGE_MAX { Err(BusError::Malformed("longer than 128 MiB")) } else { Ok(length) }
}

fn decode(bytes: &[u8]) -> Option<Message> {
    let big_endian = bytes[0] == b'B';
    let mut message = Message {
        kind: bytes[1],
        reply_to: 0,
        member: String::new(),
        error: String::new(),
        body: Vec::new(),
    };
    let mut signature = String::new();
    let mut reader = Reader::new(bytes, 12, big_endian);
    let Value::Array(_, fields) = reader.values("a(yv)")?.pop()? else { return None };
    for field in fields {
        let Value::Struct(parts) = field else { return None };
        let [Value::Byte(code), Value::Variant(value)] = &parts[..] else { return None };
        match (*code, &**value) {
            (MEMBER, Value::Text(text)) => message.member.clone_from(text),
            (ERROR_NAME, Value::Text(text)) => message.error.clone_from(text),
            (REPLY_SERIAL, Value::U32(serial)) => message.reply_to = *serial,
            (SIGNATURE, Value::Signature(text)) => signature.clone_from(text),
            _ => {}
        }
    }
    reader.align(8)?;
    message.body = reader.values(&signature)?;
    (reader.position() == bytes.len()).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_unescaped() {
        assert_eq!(unescape("/run/a%20b%2"), b"/run/a b%2");
        assert!(dial("tcp:host=x").is_err() && dial("unix:tmpdir=/tmp").is_err());
    }

    #[test]
    fn a_call_has_the_specifications_bytes() {
        let bytes = encode(1, DAEMON, "Hello", &[]);
        assert_eq!(bytes[..16], [b'l', 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 109, 0, 0, 0]);
        assert_eq!(bytes[16..28], [1, 1, b'o', 0, 21, 0, 0, 0, b'/', b'o', b'r', b'g']);
        assert_eq!(bytes.len() % 8, 0);
    }

    #[test]
    fn messages_of_any_length_are_bounded() {
        let mut head = [0; 16];
        head[0] = b'l';
        head[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(remaining_length(&head).is_err());
        head[0] = b'?';
        assert!(remaining_length(&head).is_err());
    }

    #[test]
    fn an_answer_is_decoded() {
        let field = |code, value: Value| Value::Struct(vec![Value::Byte(code), value.variant()]);
        let fields = vec![
            field(REPLY_SERIAL, Value::U32(9)),
            field(SIGNATURE, Value::Signature("su".to_owned())),
            field(ERROR_NAME, Value::text("org.x.Y")),
        ];
        let mut writer = Writer(vec![b'l', ERROR, 0, 1]);
        writer.u32(12);
        writer.u32(3);
        writer.value(&Value::Array("(yv)".to_owned(), fields));
        writer.align(8);
        let start = writer.0.len();
        writer.value(&Value::text("no"));
        writer.value(&Value::U32(4));
        assert_eq!(writer.0.len() - start, 12);
        let message = decode(&writer.0).unwrap();
        assert_eq!((message.kind, message.reply_to, message.error.as_str()), (ERROR, 9, "org.x.Y"));
        assert_eq!(message.body, [Value::text("no"), Value::U32(4)]);
    }
}
