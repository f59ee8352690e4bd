//! The driver `journald`: datagrams to the host's journal, with Docker's fields, and reading through `journalctl`.
//!
//! A datagram is lines of `NAME=value`, or `NAME\n` + length as u64 LE + value + `\n` where the value may hold newlines. What is
//! too large for one goes into a sealed memfd whose descriptor is sent instead (systemd's "Native Journal Protocol").

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use runtime::failure::OrFail;
use runtime::{Failure, Result};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType,
};
use serde::Deserialize;
use serde_json::Value;

use super::lines::Line;
use super::printer::{Chunk, Flow, Printer};
use super::reader::{Query, Sink};
use super::{Config, Mode, tag};
use crate::stdio::Stream;

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// Docker's priorities: informational and error (syslog(3)).
const PRIORITIES: [&str; 2] = ["6", "3"];

/// A connection to the journal.
#[derive(Debug)]
pub(crate) struct Journal {
    socket: OwnedFd,
    /// The fields that are the same for all entries.
    fields: Vec<u8>,
    lines: [Line; 2],
    /// In mode non-blocking: what waits for the journal, and how large it may become.
    waiting: Option<(VecDeque<Vec<u8>>, usize)>,
    most: usize,
}

impl Journal {
    /// Connects to the journal at `path`.
    pub fn open(path: &Path, config: &Config, lines: [Line; 2]) -> io::Result<Self> {
        let non_blocking = config.mode == Mode::NonBlocking;
        let mut flags = SocketFlags::CLOEXEC;
        flags.set(SocketFlags::NONBLOCK, non_blocking);
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        let mut fields = Vec::new();
        let short = tag::short(&config.id);
        let tag = config.tag.as_deref().unwrap_or(short);
        for (name, value) in [
            ("CONTAINER_ID", short),
            ("CONTAINER_ID_FULL", &config.id),
            ("CONTAINER_NAME", &config.name),
            ("CONTAINER_TAG", tag),
            ("IMAGE_NAME", &config.image),
            ("SYSLOG_IDENTIFIER", tag),
        ] {
            field(name, value.as_bytes(), &mut fields);
        }
        for (name, value) in config.attrs.iter().filter(|(name, _)| *name != "tag") {
            field(&field_name(name), value.as_bytes(), &mut fields);
        }
        let waiting = non_blocking.then(|| (VecDeque::new(), 0));
        Ok(Self { socket, fields, lines, waiting, most: config.max_buffer_size as usize })
    }

    /// Adds a chunk.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let mut line = std::mem::take(&mut self.lines[stream.index()]);
        let sent = line.add(bytes, |line| self.send(stream, line));
        self.lines[stream.index()] = line;
        sent
    }

    /// The payload has ended: what it wrote last is a line.
    pub fn end_lines(&mut self) -> io::Result<()> {
        for stream in Stream::BOTH {
            let mut line = std::mem::take(&mut self.lines[stream.index()]);
            line.end(|line| self.send(stream, line))?;
        }
        Ok(())
    }

    /// Lines that have begun.
    pub fn lines(&self) -> [Line; 2] {
        self.lines.clone()
    }

    fn send(&mut self, stream: Stream, line: &[u8]) -> io::Result<()> {
        let mut entry = self.fields.clone();
        field("PRIORITY", PRIORITIES[stream.index()].as_bytes(), &mut entry);
        field("MESSAGE", line.strip_suffix(b"\n").unwrap_or(line), &mut entry);
        let Some((waiting, size)) = &mut self.waiting else { return deliver(&self.socket, &entry) };
        // Docker drops the newest, too, when the buffer is full.
        if *size + entry.len() <= self.most {
            *size += entry.len();
            waiting.push_back(entry);
        }
        self.pass_on()
    }

    /// Sends what waits, as far as the journal takes it.
    pub fn pass_on(&mut self) -> io::Result<()> {
        let Some((waiting, size)) = &mut self.waiting else { return Ok(()) };
        while let Some(entry) = waiting.front() {
            match deliver(&self.socket, entry) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                result => {
                    *size -= entry.len();
                    waiting.pop_front();
                    result?;
                }
            }
        }
        Ok(())
    }

    /// The descriptor that can be written once the journal takes more, where something waits.
    pub fn blocked(&self) -> Option<rustix::fd::BorrowedFd<'_>> {
        let (waiting, _) = self.waiting.as_ref()?;
        (!waiting.is_empty()).then(|| self.socket.as_fd())
    }
}

/// A name that the journal takes: upper case, digits and underscores, and no underscore first.
fn field_name(name: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(clean).collect::<String>().trim_start_matches('_').to_owned()
}

fn field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    if name.is_empty() {
        return;
    }
    out.extend(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend((value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend(value);
    out.push(b'\n');
}

fn deliver(socket: &OwnedFd, entry: &[u8]) -> io::Result<()> {
    match rustix::net::send(socket, entry, SendFlags::NOSIGNAL) {
        Ok(_) => Ok(()),
        Err(Errno::MSGSIZE | Errno::NOBUFS) => deliver_as_file(socket, entry),
        Err(errno) => Err(errno.into()),
    }
}

fn deliver_as_file(socket: &OwnedFd, entry: &[u8]) -> io::Result<()> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut memfd = File::from(rustix::fs::memfd_create("journal", flags)?);
    memfd.write_all(entry)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&memfd, seals)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [memfd.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::net::sendmsg(socket, &[IoSlice::new(b"")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Prints a container's entries.
pub(super) fn read(id: &str, query: &Query<'_>, sink: &mut dyn Sink) -> Result<()> {
    let mut child = journalctl(id, query).spawn().map_err(|error| {
        let failure = Failure::new("run", "journalctl", error);
        failure.hint("logs of driver journald are read by journalctl, which this host lacks")
    })?;
    let read = pass(&mut child, query, sink);
    // It follows for ever.
    let _ = child.kill();
    let _ = child.wait();
    read.or_fail("read", "the journal")
}

fn journalctl(id: &str, query: &Query<'_>) -> Command {
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--output=json", "--all"]);
    command.arg(format!("CONTAINER_ID_FULL={id}"));
    command.arg(query.tail.map_or("--lines=all".to_owned(), |lines| format!("--lines={lines}")));
    if query.follow.is_some() {
        command.arg("--follow");
    }
    let seconds = |time: i64| format!("@{}", time.div_euclid(1_000_000_000));
    command.args(query.since.map(|since| format!("--since={}", seconds(since))));
    command.args(query.until.map(|until| format!("--until={}", seconds(until + 999_999_999))));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

fn pass(child: &mut Child, query: &Query<'_>, sink: &mut dyn Sink) -> io::Result<()> {
    let Some(stdout) = child.stdout.take() else { return Ok(()) };
    let mut lines = BufReader::new(stdout);
    let mut printer = Printer::new(query, String::new(), 0);
    let mut line = Vec::new();
    loop {
        if let (Some(ended), true) = (query.follow, lines.buffer().is_empty()) {
            let mut fds =
                [PollFd::new(lines.get_ref(), PollFlags::IN), PollFd::from_borrowed_fd(ended, PollFlags::IN)];
            rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, None))?;
            if fds[0].revents().is_empty() {
                return Ok(());
            }
        }
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let Some(entry) = entry(&line) else { continue };
        let chunk = Chunk {
            stream: entry.stream,
            time: entry.time,
            continues: Some(false),
            bytes: &entry.message,
            details: Some(""),
        };
        if printer.print(&chunk, sink)? == Flow::Done {
            return Ok(());
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    stream: Stream,
    time: i64,
    message: Vec<u8>,
}

/// An entry as `journalctl --output=json` prints it; a message that is no text is an array of its bytes.
fn entry(line: &[u8]) -> Option<Entry> {
    #[derive(Deserialize)]
    struct Fields {
        #[serde(rename = "MESSAGE")]
        message: Value,
        #[serde(rename = "PRIORITY")]
        priority: String,
        #[serde(rename = "__REALTIME_TIMESTAMP")]
        time: String,
    }
    let fields: Fields = serde_json::from_slice(line).ok()?;
    let mut message = match fields.message {
        Value::String(text) => text.into_bytes(),
        Value::Array(bytes) => bytes.iter().filter_map(|byte| u8::try_from(byte.as_u64()?).ok()).collect(),
        _ => return None,
    };
    message.push(b'\n');
    let stream = if fields.priority == PRIORITIES[1] { Stream::Stderr } else { Stream::Stdout };
    let micros: i64 = fields.time.parse().ok()?;
    Some(Entry { stream, time: micros * 1000, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_newlines_have_a_length() {
        let mut out = Vec::new();
        field("A", b"1", &mut out);
        field("B", b"1\n2", &mut out);
        assert_eq!(out, b"A=1\nB\n\x03\0\0\0\0\0\0\x001\n2\n");
    }

    /// A journal that nobody reads from unless the test does.
    fn journal(mode: Mode, most: u64) -> (std::os::unix::net::UnixDatagram, Journal, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut config = crate::log::model::config(dir.path(), crate::log::Driver::Journald);
        (config.mode, config.max_buffer_size) = (mode, most);
        config.attrs.insert("com.example/tier".to_owned(), "web".to_owned());
        let journal = Journal::open(&path, &config, Default::default()).unwrap();
        (socket, journal, dir)
    }

    fn received(socket: &std::os::unix::net::UnixDatagram) -> Option<String> {
        let mut buffer = vec![0; 1 << 17];
        let n = socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..n].to_vec()).unwrap())
    }

    #[test]
    fn an_entry_has_dockers_fields() {
        let (socket, mut journal, _dir) = journal(Mode::Blocking, 0);
        journal.write(Stream::Stderr, b"first\nbegun").unwrap();
        let entry = received(&socket).unwrap();
        for field in [
            "CONTAINER_ID=c0ffee\n",
            "CONTAINER_NAME=box\n",
            "CONTAINER_TAG=c0ffee\n",
            "COM_EXAMPLE_TIER=web\n",
            "PRIORITY=3\n",
            "MESSAGE=first\n",
        ] {
            assert!(entry.contains(field), "{field} in {entry}");
        }
        assert_eq!(received(&socket), None);
        journal.end_lines().unwrap();
        assert!(received(&socket).unwrap().contains("MESSAGE=begun\n"));
    }

    #[test]
    fn a_large_entry_goes_as_a_file() {
        let (socket, mut journal, _dir) = journal(Mode::Blocking, 0);
        journal.write(Stream::Stdout, &[b"x".repeat(900_000), b"\n".to_vec()].concat()).unwrap();
        let socket = OwnedFd::from(socket);
        let mut text = String::new();
        let mut file = File::from(crate::stdio::receive_fd(&socket).unwrap());
        io::Seek::rewind(&mut file).unwrap();
        io::Read::read_to_string(&mut file, &mut text).unwrap();
        assert!(text.contains(&format!("MESSAGE={}\n", "x".repeat(900_000))));
    }

    #[test]
    fn a_journal_that_is_slow_makes_nobody_wait_in_mode_non_blocking() {
        let (socket, mut journal, _dir) = journal(Mode::NonBlocking, 100_000);
        for n in 0..10_000 {
            journal.write(Stream::Stdout, format!("line {n}\n").as_bytes()).unwrap();
        }
        assert!(journal.blocked().is_some());
        let mut lines = Vec::new();
        while let Some(entry) = received(&socket) {
            let message =
                entry.lines().find_map(|line| line.strip_prefix("MESSAGE=line ")).map(str::to_owned);
            lines.push(message.unwrap().parse::<usize>().unwrap());
            journal.pass_on().unwrap();
        }
        assert!(journal.blocked().is_none());
        let first: Vec<usize> = (0..lines.len()).collect();
        assert!(
            lines == first && lines.len() < 10_000,
            "the newest were dropped, not {} oldest",
            lines.len()
        );
    }

    #[test]
    fn names_are_made_fit_for_the_journal() {
        assert_eq!(field_name("com.example/tier"), "COM_EXAMPLE_TIER");
        assert_eq!(field_name("_x"), "X");
    }

    #[test]
    fn entries_are_read_as_text_and_as_bytes() {
        let text = br#"{"MESSAGE":"hi","PRIORITY":"3","__REALTIME_TIMESTAMP":"1500000"}"#;
        let expected = Entry { stream: Stream::Stderr, time: 1_500_000_000, message: b"hi\n".to_vec() };
        assert_eq!(entry(text), Some(expected));
        let bytes = br#"{"MESSAGE":[255,1],"PRIORITY":"6","__REALTIME_TIMESTAMP":"1"}"#;
        assert_eq!(entry(bytes).unwrap().message, [255, 1, b'\n']);
        assert_eq!(entry(b"-- no entries --"), None);
    }
}
