//! A blob as a stream of pieces in order, whatever happens to the connections that bring it.
//!
//! A connection that breaks is replaced by one that asks for the rest (`Range`). Large blobs are fetched in
//! segments, of which a few are on their way at once: each segment waits in memory until its turn comes, so their
//! number is bounded for all blobs of an image together.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Response, StatusCode, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use crate::Error;
use crate::session::{Request, SharedSession, shown};

/// The length of a segment in bytes.
const SEGMENT: u64 = 8 << 20;
/// Blobs that are smaller come over one connection.
const SEGMENTED_FROM: u64 = 4 * SEGMENT;

/// The bytes of one blob, from an offset to its end.
pub struct Download {
    session: SharedSession,
    what: String,
    target: String,
    size: u64,
    /// The segment that is being handed out.
    current: RangeReader,
    /// The segments behind it, in order.
    ahead: VecDeque<Segment>,
    /// Where the first segment begins that nobody fetches yet.
    unclaimed: u64,
    /// How many segments may be ahead, all blobs together.
    budget: Arc<Semaphore>,
}

struct Segment {
    pieces: mpsc::UnboundedReceiver<Result<Bytes, Error>>,
    task: tokio::task::JoinHandle<()>,
    /// Given back when the last piece was taken.
    _permit: OwnedSemaphorePermit,
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Download {
    /// The bytes of the blob `what` from `offset` on; nothing is sent before the first [`Download::next`].
    pub(crate) fn new(
        session: SharedSession,
        what: String,
        target: String,
        offset: u64,
        size: u64,
        budget: Arc<Semaphore>,
    ) -> Download {
        let end = if size.saturating_sub(offset) >= SEGMENTED_FROM { offset + SEGMENT } else { size };
        let current = RangeReader::new(session.clone(), what.clone(), target.clone(), offset..end, size);
        Download { session, what, target, size, current, ahead: VecDeque::new(), unclaimed: end, budget }
    }

    /// The next piece, or `None` after the last. After an error there is nothing more to come.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(piece) = self.current.next().await? {
                self.claim();
                return Ok(Some(piece));
            }
            if let Some(mut segment) = self.ahead.pop_front() {
                if let Some(piece) = segment.pieces.recv().await {
                    self.ahead.push_front(segment);
                    return piece.map(Some);
                }
                self.claim();
            } else if self.current.range.end < self.size && self.unclaimed < self.size {
                // No permit was free: go on over one connection.
                let range = self.unclaimed..self.size.min(self.unclaimed + SEGMENT);
                self.unclaimed = range.end;
                self.current = self.reader(range);
            } else {
                return Ok(None);
            }
        }
    }

    fn reader(&self, range: Range<u64>) -> RangeReader {
        RangeReader::new(self.session.clone(), self.what.clone(), self.target.clone(), range, self.size)
    }

    /// Starts to fetch segments ahead, as far as the budget allows.
    fn claim(&mut self) {
        if !self.current.is_ranged {
            // The server sends everything in one answer, which `current` reads to its end.
            self.unclaimed = self.size;
        }
        while self.unclaimed < self.size {
            let Ok(permit) = self.budget.clone().try_acquire_owned() else { return };
            let range = self.unclaimed..self.size.min(self.unclaimed + SEGMENT);
            self.unclaimed = range.end;
            self.ahead.push_back(fetch_ahead(self.reader(range), permit));
        }
    }
}

/// Fetches a segment into memory; the channel holds no more than the segment has.
fn fetch_ahead(mut reader: RangeReader, permit: OwnedSemaphorePermit) -> Segment {
    let (sender, pieces) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        while let Some(piece) = reader.next().await.transpose() {
            let failed = piece.is_err();
            if sender.send(piece).is_err() || failed {
                return;
            }
        }
    });
    Segment { pieces, task, _permit: permit }
}

/// The bytes of a range, over as many connections as it takes.
struct RangeReader {
    session: SharedSession,
    what: String,
    target: String,
    range: Range<u64>,
    size: u64,
    /// The offset of the next byte.
    position: u64,
    body: Option<Incoming>,
    /// Bytes of `body` that are in front of `position`, where a server ignores `Range`.
    skip: u64,
    /// False where the server ignores `Range`: the one answer holds everything.
    is_ranged: bool,
    failures: u32,
}

impl RangeReader {
    fn new(
        session: SharedSession,
        what: String,
        target: String,
        range: Range<u64>,
        size: u64,
    ) -> RangeReader {
        RangeReader {
            session,
            what,
            target,
            position: range.start,
            range,
            size,
            body: None,
            skip: 0,
            is_ranged: true,
            failures: 0,
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while self.position < self.range.end {
            let error = match self.piece().await {
                Ok(Some(piece)) => {
                    self.failures = 0;
                    self.position += piece.len() as u64;
                    if self.position > self.range.end {
                        return Err(self.wrong_size(self.position));
                    }
                    return Ok(Some(piece));
                }
                Ok(None) => self.broken("the answer ended early".to_owned()),
                Err(error) => error,
            };
            self.body = None;
            self.failures += 1;
            let Some(pause) = self.session.patience().pause_after(self.failures, &error) else {
                return Err(error);
            };
            sleep(pause).await;
        }
        // Dropping a body that was not read to its end closes the connection; one more poll keeps it.
        if let Some(mut body) = self.body.take()
            && let Ok(Some(Ok(frame))) = timeout(self.session.patience().stall, body.frame()).await
            && let Some(extra) = frame.data_ref().filter(|extra| !extra.is_empty())
        {
            return Err(self.wrong_size(self.position + extra.len() as u64));
        }
        Ok(None)
    }

    /// The next piece of the current answer, for which a request is made where there is none.
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        let mut body = match self.body.take() {
            Some(body) => body,
            None => self.open().await?,
        };
        let stall = self.session.patience().stall;
        loop {
            let frame = timeout(stall, body.frame()).await.map_err(|_| Error::Stalled {
                method: "GET".to_owned(),
                url: self.what.clone(),
                limit: stall,
            })?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| self.broken(error.to_string()))?;
            let Ok(mut data) = frame.into_data() else { continue };
            let skipped = self.skip.min(data.len() as u64);
            self.skip -= skipped;
            let data = data.split_off(skipped as usize);
            if !data.is_empty() {
                self.body = Some(body);
                return Ok(Some(data));
            }
        }
    }

    async fn open(&mut self) -> Result<Incoming, Error> {
        let whole = self.position == 0 && self.range.end == self.size;
        let mut request = Request::new(Method::GET, self.target.clone(), self.session.scope("pull"));
        if !whole {
            let range = format!("bytes={}-{}", self.position, self.range.end - 1);
            request = request.header(header::RANGE, range);
        }
        let answer = self.session.send_once(&request).await?;
        match answer.response.status() {
            StatusCode::PARTIAL_CONTENT if !whole => {
                if content_range_start(&answer.response) != Some(self.position) {
                    let reason = "sends another range than it was asked for".to_owned();
                    return Err(Error::Protocol { url: shown(&answer.url), reason });
                }
            }
            _ => {
                let announced = answer.response.headers().get(header::CONTENT_LENGTH);
                let announced: Option<u64> = announced.and_then(|value| value.to_str().ok()?.parse().ok());
                if let Some(announced) = announced.filter(|announced| *announced != self.size) {
                    return Err(self.wrong_size(announced));
                }
                self.skip = self.position;
                self.is_ranged = whole;
                self.range.end = self.size;
            }
        }
        Ok(answer.response.into_body())
    }

    fn broken(&self, reason: String) -> Error {
        Error::Transport { method: "GET".to_owned(), url: self.what.clone(), reason }
    }

    fn wrong_size(&self, found: u64) -> Error {
        Error::WrongSize { what: self.what.clone(), expected: self.size, found }
    }
}

fn content_range_start(response: &Response<Incoming>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
