//! Logs of running monitors: followed, rotated, torn.

mod monitored;

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use monitor::log::{self, Driver, Query, Sink, Writer};
use monitor::stdio::Stream;
use monitored::{Collected, Monitored, log_config, read_log};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use testkit::{Testbed, eventually};

/// Sees that numbers come one by one.
#[derive(Default)]
struct Counting {
    next: u64,
    rest: Vec<u8>,
    slow: bool,
    gaps: u64,
}

impl Sink for Counting {
    fn write(&mut self, _: Stream, bytes: &[u8]) -> io::Result<()> {
        self.rest.extend_from_slice(bytes);
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in self.rest[..whole].split_inclusive(|byte| *byte == b'\n') {
            let text = std::str::from_utf8(&line[line.len() - 10..line.len() - 1]).unwrap();
            let number: u64 = text.parse().unwrap();
            assert!(number >= self.next, "line {number} came after {}", self.next);
            self.gaps += number - self.next;
            self.next = number + 1;
        }
        self.rest.drain(..whole);
        if self.slow {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn missing(&mut self) {
        assert!(self.slow, "nothing is missing");
    }
}

/// Follows the log of a monitor whose payload writes `lines` lines of 1000 bytes.
fn follow(driver: Driver, lines: u64, max_file: u32, slow: bool) -> Counting {
    let bed = Testbed::new();
    let zeros = "0".repeat(990);
    let text: String = (0..lines).map(|n| format!("{zeros}{n:09}\n")).collect();
    let file = bed.path().join("lines");
    std::fs::write(&file, text).unwrap();
    let mut run = Monitored::new(&bed, &format!("cat {}", file.display()));
    let mut config = log_config(&run.dir().join("logs"), driver);
    config.max_file = max_file;
    if slow {
        config.max_size = Some(1 << 20);
    }
    run.config.log = config.clone();
    std::fs::create_dir_all(&config.dir).unwrap();
    let mut run = run.start();
    let monitor = Pid::from_raw(run.pid() as i32).unwrap();
    let monitor = pidfd_open(monitor, PidfdFlags::empty()).unwrap();
    let mut sink = Counting { slow, ..Counting::default() };
    read_log(&config, &mut sink, Query { follow: Some(monitor.as_fd()), ..Query::default() });
    run.ends();
    sink
}

#[test]
fn a_follower_gets_100_mb_through_ten_rotations() {
    let sink = follow(Driver::Local, 100_000, 1000, false);
    assert_eq!((sink.next, sink.gaps), (100_000, 0));
}

#[test]
fn a_follower_of_json_gets_all_through_rotations() {
    let sink = follow(Driver::JsonFile, 40_000, 1000, false);
    assert_eq!((sink.next, sink.gaps), (40_000, 0));
}

#[test]
fn who_is_too_slow_for_the_rotation_misses_lines_but_gets_none_twice_and_the_last() {
    for driver in [Driver::Local, Driver::JsonFile] {
        let sink = follow(driver, 20_000, 2, true);
        assert_eq!(sink.next, 20_000);
    }
}

#[test]
fn a_prompt_without_newline_is_seen_at_once_by_who_follows() {
    let bed = Testbed::new();
    let run = Monitored::new(&bed, "printf 'name: '; read x").stdin(false).start();
    run.await_event("started");
    struct Until(Vec<u8>);
    impl Sink for Until {
        fn write(&mut self, _: Stream, bytes: &[u8]) -> io::Result<()> {
            self.0.extend_from_slice(bytes);
            if self.0 == b"name: " { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
        }
    }
    let monitor = pidfd_open(Pid::from_raw(run.pid() as i32).unwrap(), PidfdFlags::empty()).unwrap();
    let query = Query { follow: Some(monitor.as_fd()), stdout: true, ..Query::default() };
    let mut sink = Until(Vec::new());
    let reader = log::Reader::open(&run.config.log).unwrap();
    assert!(reader.read(&query, &mut sink).is_err(), "the sink ends it");
    run.signal(libc::SIGTERM);
}

#[test]
fn a_monitor_killed_at_any_instant_leaves_a_log_that_the_next_goes_on_with() {
    for driver in [Driver::Local, Driver::JsonFile] {
        let bed = Testbed::new();
        let mut begin = Instant::now();
        let mut seen = 0;
        for round in 0..4u32 {
            // Each payload goes on counting where the log ends.
            let script = format!("exec seq -f %099.0f {seen} {}", seen + 50_000_000);
            let mut run = Monitored::in_dir(&bed.path().join("run"), &script);
            run.config.log.driver = driver;
            let config = run.config.log.clone();
            let mut run = run.start();
            run.await_event("started");
            std::thread::sleep(Duration::from_micros(u64::from(
                begin.elapsed().subsec_nanos() % 60_000 + round,
            )));
            begin = Instant::now();
            run.kill();
            std::fs::remove_file(run.dir().join("events")).unwrap();
            let mut sink = Counting::default();
            read_log(&config, &mut sink, Query::default());
            assert_eq!(sink.gaps, 0);
            // What is torn off by the json driver is a line's part; by the local one, a record's.
            let torn = sink.rest.len();
            assert!(torn < 100, "{torn}");
            seen = sink.next;
            if torn > 0 {
                // The next writer ends the line that no payload will end.
                let mut writer = Writer::open(&config, log::Begun::default(), Duration::ZERO).unwrap();
                writer.write(Stream::Stdout, &format!("{seen:099}\n").as_bytes()[torn..]);
                seen += 1;
            }
        }
        assert!(seen > 0, "something was written");
    }
}

#[test]
fn options_of_local_logs_hold_for_json_too() {
    let bed = Testbed::new();
    let dir = bed.path().join("logs");
    let mut config = log_config(&dir, Driver::JsonFile);
    (config.max_size, config.max_file) = (Some(10_000), 3);
    let mut writer = Writer::open(&config, log::Begun::default(), Duration::ZERO).unwrap();
    for n in 0..1000 {
        writer.write(Stream::Stdout, format!("{n}\n").as_bytes());
    }
    let mut names: Vec<String> = file_names(&dir);
    names.sort();
    assert_eq!(names, ["c0ffee-json.log", "c0ffee-json.log.1", "c0ffee-json.log.2"]);
    let mut collected = Collected::default();
    read_log(&config, &mut collected, Query { tail: Some(2), ..Query::default() });
    assert_eq!(collected.text().0, "998\n999\n");
}

#[test]
fn a_full_disk_stops_nobody_and_the_log_says_so() {
    for driver in [Driver::Local, Driver::JsonFile] {
        let bed = Testbed::new();
        let disk = bed.path().join("disk");
        std::fs::create_dir(&disk).unwrap();
        let mount = |args: &[&str]| {
            let status = Command::new(args[0]).args(&args[1..]).arg(&disk).status().unwrap();
            assert!(status.success(), "{args:?}");
        };
        mount(&["mount", "-t", "tmpfs", "-o", "size=256k", bed.name()]);
        let config = log_config(&disk.join("logs"), driver);
        let mut writer = Writer::open(&config, log::Begun::default(), Duration::ZERO).unwrap();
        writer.write(Stream::Stdout, b"before\n");
        std::fs::write(disk.join("ballast"), vec![0; 128 << 10]).unwrap();
        for _ in 0..20 {
            writer.write(Stream::Stdout, &[b"x".repeat(9_999), b"\n".to_vec()].concat());
        }
        std::fs::remove_file(disk.join("ballast")).unwrap();
        writer.write(Stream::Stdout, b"after\n");
        let mut collected = Collected::default();
        read_log(&config, &mut collected, Query::default());
        drop(writer);
        mount(&["umount"]);
        let (out, err) = collected.text();
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!((lines[0], lines[lines.len() - 1]), ("before", "after"));
        assert!(lines[1..lines.len() - 1].iter().all(|line| line.len() == 9_999), "lines are whole");
        assert!(lines.len() < 20, "the disk was full");
        assert!(err.starts_with("[berth: up to ") && err.contains("No space left on device"), "{err}");
    }
}

fn file_names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_first_line_since_a_time_comes_at_once_in_a_large_log() {
    let bed = Testbed::new();
    let mut config = log_config(&bed.path().join("logs"), Driver::Local);
    config.max_size = None;
    let mut writer = Writer::open(&config, log::Begun::default(), Duration::ZERO).unwrap();
    let chunk = "a line of an ordinary length, as programs write them\n".repeat(1200);
    let mut middle = 0;
    for n in 0..2000 {
        if n == 1000 {
            let now = || {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
                now.tv_sec * 1_000_000_000 + now.tv_nsec
            };
            let written = now();
            // Another time than that of the chunk before, and than that of the chunk after.
            middle = eventually("the clock goes on", || Some(now()).filter(|now| *now > written));
            eventually("the clock goes on", || (now() > middle).then_some(()));
        }
        writer.write(Stream::Stdout, chunk.as_bytes());
    }
    struct First(Option<Vec<u8>>);
    impl Sink for First {
        fn write(&mut self, _: Stream, bytes: &[u8]) -> io::Result<()> {
            self.0 = Some(bytes.to_vec());
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    for query in
        [Query { since: Some(middle), ..Query::default() }, Query { tail: Some(10), ..Query::default() }]
    {
        let query = Query { stdout: true, ..query };
        let begin = Instant::now();
        let mut sink = First(None);
        let _ = log::Reader::open(&config).unwrap().read(&query, &mut sink);
        let took = begin.elapsed();
        assert!(sink.0.is_some_and(|line| line.starts_with(b"a line")));
        assert!(took < Duration::from_millis(500), "{took:?} for 120 MB, unoptimised");
    }
}
