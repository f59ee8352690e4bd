//! Decompression in a thread of its own, and the hash of what comes out of it.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::Scope;

use oci::image::{Algorithm, Compression, Digest, Hasher};

/// The size of a chunk: fits the second-level cache, so that hash and write find it there.
const CHUNK: usize = 256 << 10;
/// How many full chunks wait at most.
const WAITING: usize = 4;
/// zstd's window may take 128 MiB (2^27) and no more.
const ZSTD_WINDOW_LOG: u32 = 27;

/// What a stream that exceeds its limit ends with.
#[derive(Debug, thiserror::Error)]
#[error("more than {0} bytes")]
pub struct Excess(pub u64);

/// What is known of the DiffID.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    /// Nothing but the algorithm to find it by.
    Nothing(Algorithm),
    /// All: what comes was hashed before, and is not compressed.
    Proved(Digest),
}

/// Inflates `compressed` in a thread of `scope`. No more than `limit` bytes come out before an error of
/// [`Excess`].
///
/// # Errors
/// Where no thread can be started.
pub fn inflate<'scope, R: Read + Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    compressed: R,
    limit: u64,
    expected: Expected,
) -> io::Result<Inflated> {
    let (full, chunks) = sync_channel(WAITING);
    let (spare, empty) = channel();
    std::thread::Builder::new().spawn_scoped(scope, move || pump(compressed, limit, &full, &empty))?;
    Ok(Inflated { chunks, spare, current: Vec::new(), at: 0, digest: Running::new(expected), ended: false })
}

type Chunk = io::Result<Vec<u8>>;

/// Moves the inflated stream into chunks until it ends, fails or nobody listens.
fn pump(compressed: impl Read, limit: u64, full: &SyncSender<Chunk>, empty: &Receiver<Vec<u8>>) {
    let mut stream = match decoder(compressed) {
        Ok(stream) => stream,
        Err(error) => return drop(full.send(Err(error))),
    };
    let mut total = 0;
    loop {
        let mut chunk = empty.try_recv().unwrap_or_else(|_| vec![0; CHUNK]);
        chunk.resize(CHUNK, 0);
        let sent = match fill(&mut *stream, &mut chunk) {
            Ok(0) => return drop(full.send(Ok(Vec::new()))),
            Ok(count) => {
                total += count as u64;
                chunk.truncate(count);
                let excess = || io::Error::new(io::ErrorKind::FileTooLarge, Excess(limit));
                full.send(if total > limit { Err(excess()) } else { Ok(chunk) })
            }
            Err(error) => full.send(Err(error)),
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The decoder that the first bytes call for.
fn decoder<'a>(compressed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut compressed = BufReader::with_capacity(64 << 10, compressed);
    let start = loop {
        match compressed.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    Ok(match Compression::detect(start) {
        Compression::None => Box::new(compressed),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(compressed)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(compressed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

/// Reads until `chunk` is full or the stream ends.
fn fill(stream: &mut dyn Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < chunk.len() {
        match stream.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The inflated stream, hashed as it passes.
pub struct Inflated {
    chunks: Receiver<Chunk>,
    spare: Sender<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
    digest: Running,
    ended: bool,
}

/// A digest on its way.
enum Running {
    Hashed(Hasher),
    Proved(Digest),
}

impl Running {
    fn new(expected: Expected) -> Running {
        match expected {
            Expected::Nothing(algorithm) => Running::Hashed(Hasher::new(algorithm)),
            Expected::Proved(digest) => Running::Proved(digest),
        }
    }
}

impl Inflated {
    /// The digest of what was read: the DiffID, once the stream is at its end.
    pub fn digest(self) -> Digest {
        match self.digest {
            Running::Hashed(hasher) => hasher.finish(),
            Running::Proved(digest) => digest,
        }
    }
}

impl BufRead for Inflated {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.current.len() && !self.ended {
            let next =
                self.chunks.recv().map_err(|_| io::Error::other("the decompressing thread died"))??;
            if let Running::Hashed(hasher) = &mut self.digest {
                hasher.update(&next);
            }
            self.ended = next.is_empty();
            self.at = 0;
            // The thread may have ended; then nobody needs the buffer.
            let _ = self.spare.send(std::mem::replace(&mut self.current, next));
        }
        Ok(&self.current[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at = (self.at + count).min(self.current.len());
    }
}

impl Read for Inflated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
