//! Reading the log.

use std::io;
use std::path::PathBuf;

use super::record::records;
use super::segment::{self, Segment};
use crate::log::printer::{Chunk, Flow, Printer};
use crate::log::reader::{Query, Sink, Step};

/// A place in the log.
#[derive(Debug)]
pub(crate) struct Local {
    dir: PathBuf,
    segment: Option<Segment>,
    bytes: Vec<u8>,
}

impl Local {
    /// The log in a container's log directory, at its beginning.
    pub fn new(log_dir: &std::path::Path) -> Self {
        Self { dir: log_dir.join(super::DIR), segment: None, bytes: Vec::new() }
    }

    /// Goes to where `query` begins. Gives how many lines are to be left out from there.
    pub fn begin(&mut self, query: &Query<'_>) -> io::Result<usize> {
        match (query.tail, query.since) {
            (Some(lines), _) => self.tail(query, lines),
            (None, Some(since)) => self.since(since).map(|()| 0),
            (None, None) => Ok(0),
        }
    }

    fn numbers(&self) -> io::Result<Vec<u64>> {
        match segment::list(&self.dir) {
            Ok(list) => Ok(list.into_iter().map(|(number, _)| number).collect()),
            // Nothing was ever logged.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn open(&self, number: u64) -> io::Result<Option<Segment>> {
        let Some(mut segment) = Segment::open(&self.dir, number)? else { return Ok(None) };
        segment.load_index(&self.dir)?;
        Ok(Some(segment))
    }

    /// The last segment that begins before `since` is where to begin; an empty one says nothing of its time.
    fn since(&mut self, since: i64) -> io::Result<()> {
        for number in self.numbers()?.into_iter().rev() {
            let Some(mut segment) = self.open(number)? else { continue };
            let first = records(&segment.block(0)?).next().map(|record| record.header.time);
            let begins_before = first.is_some_and(|first| first < since);
            segment.seek(if begins_before { since } else { i64::MIN });
            self.segment = Some(segment);
            if begins_before {
                break;
            }
        }
        Ok(())
    }

    /// Counts from the end backwards, block by block.
    fn tail(&mut self, query: &Query<'_>, wanted: usize) -> io::Result<usize> {
        let counts = |time, stream| query.shows(stream) && query.until.is_none_or(|until| time <= until);
        let mut lines = 0;
        for number in self.numbers()?.into_iter().rev() {
            let Some(mut segment) = self.open(number)? else { continue };
            for block in (0..segment.blocks()).rev() {
                let bytes = segment.block(block)?;
                let shown = records(&bytes).filter(|record| counts(record.header.time, record.header.stream));
                lines += shown.map(|record| record.lines()).sum::<usize>();
                segment.go_to(block);
                if lines >= wanted {
                    self.segment = Some(segment);
                    return Ok(lines - wanted);
                }
            }
            self.segment = Some(segment);
        }
        Ok(lines.saturating_sub(wanted))
    }

    /// Prints what comes next.
    pub fn step(&mut self, printer: &mut Printer<'_, '_>, sink: &mut dyn Sink) -> io::Result<Step> {
        self.bytes.clear();
        if let Some(segment) = &mut self.segment {
            segment.read(&mut self.bytes)?;
        }
        if self.bytes.is_empty() && !self.advance(sink)? {
            return Ok(Step::End);
        }
        for record in records(&self.bytes) {
            let header = record.header;
            let chunk = Chunk {
                stream: header.stream,
                time: header.time,
                continues: Some(header.continues),
                bytes: record.bytes,
                details: None,
            };
            if printer.print(&chunk, sink)? == Flow::Done {
                return Ok(Step::Done);
            }
        }
        Ok(Step::More)
    }

    /// Goes on with the next segment, where there is one; false where not.
    fn advance(&mut self, sink: &mut dyn Sink) -> io::Result<bool> {
        let current = self.segment.as_ref().map_or(0, |segment| segment.number);
        let Some(next) = self.numbers()?.into_iter().find(|number| *number > current) else {
            return Ok(false);
        };
        if let Some(segment) = &mut self.segment {
            // Since there is a next one, nothing more comes to this: what came before that, and after the last read, is
            // still to be read.
            segment.read(&mut self.bytes)?;
            if !self.bytes.is_empty() {
                return Ok(true);
            }
            if next != current + 1 {
                sink.missing();
            }
        }
        // It may be gone again: then the next step looks further.
        if let Some(segment) = Segment::open(&self.dir, next)? {
            self.segment = Some(segment);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::log::Driver;
    use crate::log::local::LocalWriter;
    use crate::log::model::config;
    use crate::stdio::Stream;

    struct Whole;

    impl Sink for Whole {
        fn write(&mut self, _: Stream, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn missing(&mut self) {
            panic!("nothing is missing");
        }
    }

    #[test]
    fn what_came_between_the_last_read_and_a_rotation_is_read_first() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path(), Driver::Local);
        config.max_size = Some(4200);
        let mut writer = LocalWriter::open(&config, [false; 2], Duration::ZERO).unwrap();
        writer.write(Stream::Stdout, 1, b"first\n").unwrap();
        let mut reader = Local::new(dir.path());
        assert!(reader.advance(&mut Whole).unwrap());
        let segment = reader.segment.as_mut().unwrap();
        segment.read(&mut reader.bytes).unwrap();
        reader.bytes.clear();
        // The reader has seen the end; before it looks for another segment, this happens.
        writer.write(Stream::Stdout, 2, b"second\n").unwrap();
        writer.write(Stream::Stdout, 3, &[b'x'; 4160]).unwrap();
        assert!(reader.advance(&mut Whole).unwrap());
        let times: Vec<i64> = records(&reader.bytes).map(|record| record.header.time).collect();
        assert_eq!(times, [2]);
        reader.bytes.clear();
        assert!(reader.advance(&mut Whole).unwrap());
        assert_eq!(reader.segment.unwrap().number, 2);
    }
}
