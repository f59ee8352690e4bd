//! What a request carries, in a form that can be sent again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// How much of a file is read at once.
const PIECE: u64 = 256 * 1024;

/// A callback that is told how many more bytes went out.
pub type Meter = Arc<dyn Fn(u64) + Send + Sync>;

/// The content of a request.
#[derive(Clone)]
pub(crate) enum Payload {
    /// Bytes in memory, or none.
    Bytes(Bytes),
    /// A part of a file.
    File {
        /// Open for reading.
        file: Arc<File>,
        /// Where the part begins.
        offset: u64,
        /// Its length in bytes.
        len: u64,
        /// Is told of progress.
        meter: Meter,
    },
}

impl Payload {
    pub(crate) const EMPTY: Payload = Payload::Bytes(Bytes::new());

    /// The length in bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Payload::Bytes(bytes) => bytes.len() as u64,
            Payload::File { len, .. } => *len,
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = match self.get_mut() {
            Payload::Bytes(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Payload::Bytes(bytes) => Ok(Frame::data(std::mem::take(bytes))),
            Payload::File { len: 0, .. } => return Poll::Ready(None),
            // A read of a local file blocks for no longer than a thread hand-over would take.
            Payload::File { file, offset, len, meter } => {
                let mut piece = vec![0; PIECE.min(*len) as usize];
                file.read_exact_at(&mut piece, *offset).map(|()| {
                    *offset += piece.len() as u64;
                    *len -= piece.len() as u64;
                    meter(piece.len() as u64);
                    Frame::data(Bytes::from(piece))
                })
            }
        };
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}
