//! From chunks of two streams to the lines that were asked for.
//!
//! Whole lines go on as they come, many at once. The beginning of a line waits until its end is there, or until the
//! reader has nothing else to read: a prompt without a newline is seen, and two streams don't mix within a line.

use std::io;

use super::reader::{Query, Sink};
use crate::stdio::Stream;

/// A part of one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk<'a> {
    pub stream: Stream,
    pub time: i64,
    /// Whether it begins within a line, where that is known.
    pub continues: Option<bool>,
    pub bytes: &'a [u8],
    /// What `details` prints, where it is not the same for all.
    pub details: Option<&'a str>,
}

/// Whether more is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    More,
    Done,
}

/// No more of a line than this waits for its end.
const LONGEST_WAIT: usize = 1 << 20;

#[derive(Debug, Default)]
struct Line {
    /// It has begun and not ended.
    open: bool,
    /// It is one of those that were asked for.
    shown: bool,
    waiting: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Printer<'q, 'fd> {
    query: &'q Query<'fd>,
    details: String,
    /// So many lines are still left out.
    skip: usize,
    lines: [Line; 2],
}

impl<'q, 'fd> Printer<'q, 'fd> {
    /// Leaves out the first `skip` lines; `details` stands before each where the query says so.
    pub fn new(query: &'q Query<'fd>, details: String, skip: usize) -> Self {
        Self { query, details, skip, lines: Default::default() }
    }

    /// Prints a chunk.
    pub fn print(&mut self, chunk: &Chunk<'_>, sink: &mut dyn Sink) -> io::Result<Flow> {
        if self.query.until.is_some_and(|until| chunk.time > until) {
            self.flush(sink)?;
            return Ok(Flow::Done);
        }
        let stream = chunk.stream;
        let line = &mut self.lines[stream.index()];
        match chunk.continues {
            Some(false) if line.open => {
                line.open = false;
                line.pass_on(stream, sink)?;
            }
            // It began before what is read.
            Some(true) if !line.open => (line.open, line.shown) = (true, false),
            _ => {}
        }
        let rest = line.go_on(stream, chunk.bytes, sink)?;
        let rest = self.leave_out(stream, rest);
        if rest.is_empty() {
            return Ok(Flow::More);
        }
        let wanted = self.query.shows(stream) && self.query.since.is_none_or(|since| chunk.time >= since);
        let prefix = if wanted { self.prefix(chunk) } else { String::new() };
        let line = &mut self.lines[stream.index()];
        line.shown = wanted;
        line.begin(stream, prefix.as_bytes(), rest, sink)?;
        Ok(Flow::More)
    }

    /// Passes on what waits, for nothing follows now.
    pub fn flush(&mut self, sink: &mut dyn Sink) -> io::Result<()> {
        for stream in Stream::BOTH {
            self.lines[stream.index()].pass_on(stream, sink)?;
        }
        Ok(())
    }

    /// What is left of lines that begin here after those that are not wanted.
    fn leave_out<'a>(&mut self, stream: Stream, mut rest: &'a [u8]) -> &'a [u8] {
        while self.skip > 0 && !rest.is_empty() && self.query.shows(stream) {
            self.skip -= 1;
            let (line, later) = split_line(rest);
            rest = later;
            let state = &mut self.lines[stream.index()];
            (state.open, state.shown) = (line.last() != Some(&b'\n'), false);
        }
        rest
    }

    /// What stands before each line.
    fn prefix(&self, chunk: &Chunk<'_>) -> String {
        let mut prefix = String::new();
        if self.query.timestamps {
            prefix += &super::time::format(chunk.time);
            prefix.push(' ');
        }
        if self.query.details {
            prefix += chunk.details.unwrap_or(&self.details);
            prefix.push(' ');
        }
        prefix
    }
}

impl Line {
    /// Goes on with a begun line; gives what follows it.
    fn go_on<'a>(&mut self, stream: Stream, bytes: &'a [u8], sink: &mut dyn Sink) -> io::Result<&'a [u8]> {
        if !self.open {
            return Ok(bytes);
        }
        let (line, rest) = split_line(bytes);
        if self.shown {
            self.waiting.extend_from_slice(line);
        }
        self.open = line.last() != Some(&b'\n');
        if !self.open || self.waiting.len() > LONGEST_WAIT {
            self.pass_on(stream, sink)?;
        }
        Ok(rest)
    }

    /// Begins new lines, not empty.
    fn begin(&mut self, stream: Stream, prefix: &[u8], bytes: &[u8], sink: &mut dyn Sink) -> io::Result<()> {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let (whole, begun) = bytes.split_at(whole);
        self.open = !begun.is_empty();
        if !self.shown {
            return Ok(());
        }
        if prefix.is_empty() {
            if !whole.is_empty() {
                sink.write(stream, whole)?;
            }
        } else if !whole.is_empty() {
            let lines = whole.split_inclusive(|byte| *byte == b'\n');
            let prefixed: Vec<u8> = lines.flat_map(|line| [prefix, line]).flatten().copied().collect();
            sink.write(stream, &prefixed)?;
        }
        if self.open {
            self.waiting.extend_from_slice(prefix);
            self.waiting.extend_from_slice(begun);
        }
        Ok(())
    }

    fn pass_on(&mut self, stream: Stream, sink: &mut dyn Sink) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        sink.write(stream, &std::mem::take(&mut self.waiting))
    }
}

/// A line with its newline, and what follows it.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    bytes.split_at(end)
}
