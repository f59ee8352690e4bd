//! The frames: see the module above.

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::stdio::{Size, Stream};

/// Length of a frame's header.
pub const HEADER: usize = 8;

/// The longest frame that is taken from the other side.
pub(crate) const LONGEST: usize = 1 << 20;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// Bytes for stdin; none is its end.
    Stdin = 0,
    /// Bytes of stdout, or of the terminal.
    Stdout = 1,
    /// Bytes of stderr.
    Stderr = 2,
    /// A [`Status`].
    Status = 3,
    /// The terminal's size.
    Resize = 4,
    /// A client's [`Wants`].
    Wants = 5,
}

impl From<Stream> for FrameKind {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Stdout => Self::Stdout,
            Stream::Stderr => Self::Stderr,
        }
    }
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Stdin, Self::Stdout, Self::Stderr, Self::Status, Self::Resize, Self::Wants]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// What a client wants of the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wants {
    /// To write to it.
    pub stdin: bool,
    /// To see its stdout.
    pub stdout: bool,
    /// To see its stderr.
    pub stderr: bool,
}

impl Wants {
    /// Whether the client is to get bytes of `stream`.
    pub fn sees(self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }
}

/// What a monitor says of the payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It runs.
    Started {
        /// Its first process.
        pid: i32,
    },
    /// It could not be started.
    Failed(Failed),
    /// It has ended.
    Exited(Exited),
    /// The client was too slow: it has missed some output, and gets no more.
    Dropped {},
}

/// Why a payload could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failed {
    /// One sentence.
    pub message: String,
    /// 125, 126 or 127: the exit code of `run`.
    pub code: u8,
}

/// How a payload has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// Its exit code; 128 and the signal where one ended it.
    pub code: u8,
    /// The signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signal: Option<i32>,
    /// Whether the kernel killed one of its processes for want of memory.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub oom: bool,
    /// Nanoseconds since 1970.
    pub at: i64,
}

/// A frame's header.
pub fn header(kind: FrameKind, length: usize) -> [u8; HEADER] {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [kind as u8, 0, 0, 0, length[0], length[1], length[2], length[3]]
}

/// A whole frame.
pub(crate) fn frame(kind: FrameKind, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER + payload.len());
    frame.extend(header(kind, payload.len()));
    frame.extend(payload);
    frame
}

/// A whole frame with a document.
pub(crate) fn document(kind: FrameKind, content: &impl Serialize) -> Vec<u8> {
    // Of plain structs: nothing in them can fail to become JSON.
    frame(kind, &serde_json::to_vec(content).unwrap_or_default())
}

/// The frame that says a terminal's size.
pub(crate) fn resize(size: Size) -> Vec<u8> {
    let ([a, b], [c, d]) = (size.rows.to_be_bytes(), size.cols.to_be_bytes());
    frame(FrameKind::Resize, &[a, b, c, d])
}

/// The size in a frame.
pub(crate) fn size(payload: &[u8]) -> Option<Size> {
    let [a, b, c, d] = *payload else { return None };
    Some(Size { rows: u16::from_be_bytes([a, b]), cols: u16::from_be_bytes([c, d]) })
}

/// Bytes as they come, until they are frames.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    bytes: Vec<u8>,
    taken: usize,
}

impl Incoming {
    /// Adds what was read.
    pub fn add(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// `EPROTO` where these bytes are no frames.
    pub fn next(&mut self) -> Result<Option<(FrameKind, &[u8])>, Errno> {
        let Some((header, rest)) = self.bytes[self.taken..].split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let kind = FrameKind::from_byte(header[0]).ok_or(Errno::PROTO)?;
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        if length > LONGEST {
            return Err(Errno::PROTO);
        }
        let Some(payload) = rest.get(..length) else { return Ok(None) };
        self.taken += HEADER + length;
        Ok(Some((kind, payload)))
    }

    /// Gives memory back once all was taken.
    pub fn shrink(&mut self) {
        if self.taken == self.bytes.len() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_survive_any_cut(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
                                  cuts in prop::collection::vec(1usize..64, 1..200)) {
            let stream: Vec<u8> = payloads.iter().flat_map(|payload| frame(FrameKind::Stderr, payload)).collect();
            let mut incoming = Incoming::default();
            let mut seen = Vec::new();
            let (mut rest, mut cuts) = (&stream[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                rest = later;
                incoming.add(now);
                while let Some((kind, payload)) = incoming.next().unwrap() {
                    prop_assert_eq!(kind, FrameKind::Stderr);
                    seen.push(payload.to_vec());
                }
            }
            prop_assert_eq!(seen, payloads);
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for bytes in [[9, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0xff, 0, 0, 0]] {
            let mut incoming = Incoming::default();
            incoming.add(&bytes);
            assert_eq!(incoming.next().unwrap_err(), Errno::PROTO);
        }
    }

    #[test]
    fn documents_are_as_the_contract_says() {
        let text = |status: &Status| serde_json::to_string(status).unwrap();
        assert_eq!(text(&Status::Started { pid: 7 }), r#"{"started":{"pid":7}}"#);
        let failed = Failed { message: "no".into(), code: 127 };
        assert_eq!(text(&Status::Failed(failed)), r#"{"failed":{"message":"no","code":127}}"#);
        let exited = Exited { code: 137, signal: Some(9), oom: true, at: 5 };
        assert_eq!(text(&Status::Exited(exited)), r#"{"exited":{"code":137,"signal":9,"oom":true,"at":5}}"#);
        assert_eq!(size(&resize(Size { rows: 24, cols: 80 })[HEADER..]), Some(Size { rows: 24, cols: 80 }));
    }
}
