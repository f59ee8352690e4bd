//! Drivers against a model: what is read is what was written, whatever was rotated, compressed, torn and reopened.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::json::JsonWriter;
use super::local::{LocalWriter, compress_all};
use super::{Config, Driver, Mode, Query, Reader, Sink};
use crate::stdio::Stream;

pub(crate) fn config(dir: &Path, driver: Driver) -> Config {
    Config {
        driver,
        dir: dir.to_owned(),
        id: "c0ffee".to_owned(),
        name: "box".to_owned(),
        image: "image".to_owned(),
        max_size: None,
        max_file: 1000,
        compress: false,
        mode: Mode::Blocking,
        max_buffer_size: 1 << 20,
        tag: None,
        attrs: BTreeMap::new(),
    }
}

/// What came out of each stream.
#[derive(Default, Debug, PartialEq, Eq)]
struct Collected([Vec<u8>; 2]);

impl Sink for Collected {
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        self.0[stream.index()].extend_from_slice(bytes);
        Ok(())
    }
}

fn read(config: &Config, query: &Query<'_>) -> Collected {
    let mut collected = Collected::default();
    Reader::open(config).unwrap().read(query, &mut collected).unwrap();
    collected
}

fn all() -> Query<'static> {
    Query { stdout: true, stderr: true, ..Query::default() }
}

#[derive(Clone, Debug)]
enum Act {
    Write(Stream, Vec<u8>),
    /// So much later.
    Wait(i64),
    /// The writer is killed with this much of a record, or garbage, behind the end; another goes on.
    Kill(Vec<u8>),
    Compress,
}

fn act() -> impl Strategy<Value = Act> {
    let bytes = prop::collection::vec(prop::sample::select(b"abc\n\n".to_vec()), 1..40);
    let long = (1usize..9000, any::<bool>()).prop_map(|(n, ends)| {
        let mut line = vec![b'x'; n];
        line.extend(ends.then_some(b'\n'));
        line
    });
    let stream = prop::sample::select(Stream::BOTH.to_vec());
    prop_oneof![
        6 => (stream.clone(), bytes).prop_map(|(stream, bytes)| Act::Write(stream, bytes)),
        3 => (stream, long).prop_map(|(stream, bytes)| Act::Write(stream, bytes)),
        3 => (0i64..5).prop_map(Act::Wait),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Act::Kill),
        1 => Just(Act::Compress),
    ]
}

/// A line that has begun: when, on which stream, and what there is of it.
struct Line {
    time: i64,
    stream: Stream,
    bytes: Vec<u8>,
}

/// The lines in the order of their beginnings.
fn lines(acts: &[Act]) -> Vec<Line> {
    let (mut lines, mut open, mut time): (Vec<Line>, [Option<usize>; 2], i64) = (Vec::new(), [None; 2], 100);
    for act in acts {
        match act {
            Act::Wait(span) => time += span,
            Act::Write(stream, bytes) => {
                for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
                    let at = *open[stream.index()].get_or_insert_with(|| {
                        lines.push(Line { time, stream: *stream, bytes: Vec::new() });
                        lines.len() - 1
                    });
                    lines[at].bytes.extend(piece);
                    if piece.ends_with(b"\n") {
                        open[stream.index()] = None;
                    }
                }
            }
            Act::Kill(_) | Act::Compress => {}
        }
    }
    lines
}

fn expected(acts: &[Act], query: &Query<'_>) -> Collected {
    let lines: Vec<Line> = lines(acts).into_iter().filter(|line| query.shows(line.stream)).collect();
    let skip = query.tail.map_or(0, |tail| lines.len().saturating_sub(tail));
    let mut collected = Collected::default();
    for line in lines[skip..].iter().filter(|line| query.since.is_none_or(|since| line.time >= since)) {
        let out = &mut collected.0[line.stream.index()];
        if query.timestamps {
            out.extend(format!("{} ", super::time::format(line.time)).bytes());
        }
        out.extend(&line.bytes);
    }
    collected
}

fn write_local(config: &Config, acts: &[Act]) {
    let open = |within| LocalWriter::open(config, within, Duration::ZERO).unwrap();
    let (mut writer, mut time) = (open([false; 2]), 100);
    for act in acts {
        match act {
            Act::Wait(span) => time += span,
            Act::Write(stream, bytes) => writer.write(*stream, time, bytes).unwrap(),
            Act::Kill(garbage) => {
                let within = writer.within_line();
                drop(writer);
                let number = last_segment(config);
                let path = config.dir.join(format!("local/{number:08}.log"));
                let mut file = std::fs::File::options().append(true).open(path).unwrap();
                io::Write::write_all(&mut file, garbage).unwrap();
                writer = open(within);
            }
            Act::Compress => compress_all(&config.dir.join("local")).unwrap(),
        }
    }
}

fn last_segment(config: &Config) -> u64 {
    let names = std::fs::read_dir(config.dir.join("local")).unwrap();
    let numbers =
        names.filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".log")?.parse().ok());
    numbers.max().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn local_gives_back_what_was_written(
        acts in prop::collection::vec(act(), 0..60),
        max_size in prop::option::of(4200u64..20_000),
        since in prop::option::of(95i64..150),
        tail in prop::option::of(0usize..20),
        timestamps: bool,
        (stdout, stderr) in prop::sample::select(vec![(true, true), (true, false), (false, true)]),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { max_size, ..config(dir.path(), Driver::Local) };
        write_local(&config, &acts);
        let query = Query { since, tail, timestamps, stdout, stderr, ..Query::default() };
        prop_assert_eq!(read(&config, &query), expected(&acts, &query));
    }

    #[test]
    fn rotation_keeps_what_was_written_last(acts in prop::collection::vec(act(), 0..60), max_size in 4200u64..8000) {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { max_size: Some(max_size), max_file: 2, ..config(dir.path(), Driver::Local) };
        write_local(&config, &acts);
        let files = std::fs::read_dir(dir.path().join("local")).unwrap();
        let sizes: Vec<u64> = files.map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        prop_assert!(sizes.len() <= 4, "two segments and their indexes: {sizes:?}");
        prop_assert!(sizes.iter().all(|size| *size <= max_size), "{sizes:?}");
        let (kept, written) = (read(&config, &all()), expected(&acts, &all()));
        for (kept, written) in kept.0.iter().zip(&written.0) {
            prop_assert!(written.ends_with(kept));
        }
    }

    #[test]
    fn json_gives_back_what_was_written(
        acts in prop::collection::vec(act(), 0..40),
        max_size in prop::option::of(500u64..5000),
        tail in prop::option::of(0usize..20),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { max_size, ..config(dir.path(), Driver::JsonFile) };
        write_json(&config, &acts);
        prop_assert_eq!(read(&config, &all()), expected(&acts, &all()));
        // Entries are in the order of the lines' ends.
        let lines = json_lines(&acts);
        let skip = tail.map_or(0, |tail| lines.len().saturating_sub(tail));
        let mut expected = Collected::default();
        for line in &lines[skip..] {
            expected.0[line.stream.index()].extend(&line.bytes);
        }
        prop_assert_eq!(read(&config, &Query { tail, ..all() }), expected);
        for since in [99, 100, 103, 110] {
            let mut expected = Collected::default();
            for line in lines.iter().filter(|line| line.time >= since) {
                expected.0[line.stream.index()].extend(&line.bytes);
            }
            prop_assert_eq!(read(&config, &Query { since: Some(since), ..all() }), expected);
        }
    }
}

fn write_json(config: &Config, acts: &[Act]) {
    let open = |lines| JsonWriter::open(config, lines, Duration::ZERO).unwrap();
    let (mut writer, mut time) = (open(Default::default()), 100);
    for act in acts {
        match act {
            Act::Wait(span) => time += span,
            Act::Write(stream, bytes) => writer.write(*stream, time, bytes).unwrap(),
            Act::Kill(_) => {
                let lines = writer.lines();
                drop(writer);
                let path = config.dir.join("c0ffee-json.log");
                let torn = b"{\"log\":\"torn";
                io::Write::write_all(&mut std::fs::File::options().append(true).open(path).unwrap(), torn)
                    .unwrap();
                writer = open(lines);
            }
            Act::Compress => super::json::compress_all(&config.dir, &config.id, config.max_file).unwrap(),
        }
    }
    writer.end_lines(time).unwrap();
}

/// The lines with the times and in the order of their ends.
fn json_lines(acts: &[Act]) -> Vec<Line> {
    let (mut lines, mut open, mut time) = (Vec::new(), [Vec::new(), Vec::new()], 100);
    for act in acts {
        match act {
            Act::Wait(span) => time += span,
            Act::Write(stream, bytes) => {
                for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
                    open[stream.index()].extend(piece);
                    if piece.ends_with(b"\n") {
                        let bytes = std::mem::take(&mut open[stream.index()]);
                        lines.push(Line { time, stream: *stream, bytes });
                    }
                }
            }
            Act::Kill(_) | Act::Compress => {}
        }
    }
    for stream in Stream::BOTH {
        let bytes = std::mem::take(&mut open[stream.index()]);
        if !bytes.is_empty() {
            lines.push(Line { time, stream, bytes });
        }
    }
    lines
}
