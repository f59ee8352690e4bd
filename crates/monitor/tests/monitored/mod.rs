//! A monitor of an ordinary program, as a child of the test: the example `attend`.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use monitor::attach::{Ending, FrameKind, HEADER, Status, Wants, header};
use monitor::health::Checks;
use monitor::log::{self, Driver, Mode, Query, Reader, Sink};
use monitor::restart::Policy;
use monitor::stdio::{Size, Stream};
use testkit::{Testbed, eventually};

pub fn all() -> Wants {
    Wants { stdin: true, stdout: true, stderr: true }
}

/// The exit code.
#[track_caller]
pub fn code(ending: &Ending) -> u8 {
    match ending {
        Ending::Exited(exited) => exited.code,
        other => panic!("{other:?}"),
    }
}

pub fn log_config(dir: &Path, driver: Driver) -> log::Config {
    log::Config {
        driver,
        dir: dir.to_owned(),
        id: "c0ffee".to_owned(),
        name: "box".to_owned(),
        image: "image".to_owned(),
        max_size: Some(10 << 20),
        max_file: 1000,
        compress: false,
        mode: Mode::Blocking,
        max_buffer_size: 1 << 20,
        tag: None,
        attrs: BTreeMap::new(),
    }
}

/// The example's path: cargo builds it with the tests, beside them.
pub fn example() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().and_then(Path::parent).unwrap().join("examples/attend");
    assert!(path.exists(), "{} is missing: cargo test builds it", path.display());
    path
}

pub struct Monitored {
    pub config: monitor::Config,
    script: String,
    check: String,
    policy: Policy,
    first: Option<Wants>,
    dir: PathBuf,
    child: Option<Child>,
    client: Option<TestClient>,
}

impl Monitored {
    pub fn new(bed: &Testbed, script: &str) -> Self {
        Self::in_dir(&bed.path().join("run"), script)
    }

    pub fn in_dir(dir: &Path, script: &str) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let config = monitor::Config {
            tty: false,
            console_size: None,
            open_stdin: false,
            stdin_once: false,
            log: log_config(&dir.join("logs"), Driver::Local),
            runtime_dir: dir.to_owned(),
            checks: None,
            again: None,
        };
        Self {
            config,
            script: script.to_owned(),
            check: String::new(),
            policy: Policy::No,
            first: None,
            dir: dir.to_owned(),
            child: None,
            client: None,
        }
    }

    pub fn first(mut self, wants: Wants) -> Self {
        self.first = Some(wants);
        self
    }

    pub fn stdin(mut self, once: bool) -> Self {
        (self.config.open_stdin, self.config.stdin_once) = (true, once);
        self
    }

    pub fn tty(mut self, rows: u16, cols: u16) -> Self {
        self.config.tty = true;
        self.config.open_stdin = true;
        self.config.console_size = Some(Size { rows, cols });
        self
    }

    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    pub fn check(mut self, script: &str, interval: u64, timeout: u64) -> Self {
        self.check = format!("cd {}; {script}", self.dir.display());
        self.config.checks = Some(Checks {
            interval: Duration::from_millis(interval),
            timeout: Duration::from_millis(timeout),
            ..Checks::default()
        });
        self
    }

    /// It executes itself again once it is idle.
    pub fn again(mut self) -> Self {
        let args = [example().into_os_string(), self.dir.join("settings.json").into_os_string()];
        self.config.again = Some(args.into());
        self
    }

    pub fn start(mut self) -> Self {
        let settings = serde_json::json!({
            "config": self.config,
            "script": self.script,
            "check": self.check,
            "policy": self.policy,
            "first": self.first.is_some(),
        });
        let path = self.dir.join("settings.json");
        std::fs::write(&path, settings.to_string()).unwrap();
        let mut command = Command::new(example());
        command.arg(&path).stdin(Stdio::null()).stdout(Stdio::null());
        let Some(wants) = self.first else {
            self.child = Some(command.spawn().unwrap());
            return self;
        };
        let (ours, theirs) = UnixStream::pair().unwrap();
        command.stdin(OwnedFd::from(theirs));
        let mut client = TestClient { stream: ours };
        client.send(FrameKind::Wants, &serde_json::to_vec(&wants).unwrap());
        self.client = Some(client);
        self.child = Some(command.spawn().unwrap());
        self
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// The first client.
    pub fn client(&mut self) -> TestClient {
        self.client.take().unwrap()
    }

    pub fn attach(&self, wants: Wants) -> TestClient {
        let path = self.dir.join("attach.sock");
        let stream = eventually("the monitor listens", || UnixStream::connect(&path).ok());
        let mut client = TestClient { stream };
        client.send(FrameKind::Wants, &serde_json::to_vec(&wants).unwrap());
        client
    }

    /// The example as a client, on a terminal of its own.
    pub fn terminal_client(&self) -> Terminal {
        Terminal::client(&self.dir)
    }

    pub fn signal(&self, signal: i32) {
        let pid = rustix::process::Pid::from_child(self.child.as_ref().unwrap());
        let signal = rustix::process::Signal::from_named_raw(signal).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub fn file(&self, name: &str) {
        File::create(self.dir.join(name)).unwrap();
    }

    pub fn events(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir.join("events")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub fn has_event(&self, begin: &str) -> bool {
        self.events().iter().any(|event| event.starts_with(begin))
    }

    #[track_caller]
    pub fn await_event(&self, begin: &str) {
        eventually(begin, || self.has_event(begin).then_some(()));
    }

    /// Waits for the monitor's own end.
    #[track_caller]
    pub fn ends(&mut self) {
        let child = self.child.as_mut().unwrap();
        let status = eventually("the monitor ends", || child.try_wait().unwrap());
        assert!(status.success(), "{status}");
    }

    pub fn kill(&mut self) {
        let child = self.child.as_mut().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn log(&self) -> (String, String) {
        let mut collected = Collected::default();
        read_log(&self.config.log, &mut collected, Query::default());
        collected.text()
    }

    pub fn timestamped_lines(&self) -> usize {
        let mut collected = Collected::default();
        read_log(&self.config.log, &mut collected, Query { timestamps: true, ..Query::default() });
        let (out, err) = collected.text();
        let lines = out.lines().chain(err.lines());
        lines.filter(|line| line.split_once(' ').is_some_and(|(time, _)| time.len() == 30)).count()
    }
}

impl Drop for Monitored {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child
            && let Ok(None) = child.try_wait()
        {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn read_log(config: &log::Config, sink: &mut dyn Sink, query: Query<'_>) {
    let query = Query { stdout: true, stderr: true, ..query };
    Reader::open(config).unwrap().read(&query, sink).unwrap();
}

/// What came out of each stream.
#[derive(Default, Debug)]
pub struct Collected(pub [Vec<u8>; 2]);

impl Collected {
    pub fn text(self) -> (String, String) {
        let [out, err] = self.0.map(|bytes| String::from_utf8(bytes).unwrap());
        (out, err)
    }
}

impl Sink for Collected {
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        self.0[stream.index()].extend_from_slice(bytes);
        Ok(())
    }
}

/// What a client got.
#[derive(Debug, Default)]
pub struct Frames {
    pub stdout: String,
    pub stderr: String,
}

/// A client that speaks the protocol by itself.
pub struct TestClient {
    stream: UnixStream,
}

impl TestClient {
    pub fn try_clone(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap() }
    }

    fn send(&mut self, kind: FrameKind, payload: &[u8]) {
        self.stream.write_all(&[&header(kind, payload.len()), payload].concat()).unwrap();
    }

    pub fn stdin(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return self.send(FrameKind::Stdin, bytes);
        }
        for chunk in bytes.chunks(100_000) {
            self.send(FrameKind::Stdin, chunk);
        }
    }

    pub fn resize(&mut self, rows: u16, cols: u16) {
        let ([a, b], [c, d]) = (rows.to_be_bytes(), cols.to_be_bytes());
        self.send(FrameKind::Resize, &[a, b, c, d]);
    }

    fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut header = [0; HEADER];
        self.stream.read_exact(&mut header).ok()?;
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).unwrap();
        Some((header[0], payload))
    }

    #[track_caller]
    pub fn await_started(&mut self) {
        let (kind, payload) = self.next().expect("a frame");
        assert_eq!(kind, FrameKind::Status as u8);
        let status: Status = serde_json::from_slice(&payload).unwrap();
        assert!(matches!(status, Status::Started { .. }), "{status:?}");
    }

    /// All output up to the last frame, and what that says.
    #[track_caller]
    pub fn read_to_end(&mut self) -> (Frames, Ending) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let ending = loop {
            let Some((kind, payload)) = self.next() else { break Ending::Lost };
            match kind {
                1 => out.extend(payload),
                2 => err.extend(payload),
                _ => match serde_json::from_slice(&payload).unwrap() {
                    Status::Started { .. } => {}
                    Status::Exited(exited) => break Ending::Exited(exited),
                    Status::Failed(failed) => break Ending::Failed(failed),
                    Status::Dropped {} => break Ending::Dropped,
                },
            }
        };
        assert!(self.next().is_none(), "nothing follows the last frame");
        let [stdout, stderr] = [out, err].map(|bytes| String::from_utf8(bytes).unwrap());
        (Frames { stdout, stderr }, ending)
    }
}

/// A terminal with the example as client on it.
pub struct Terminal {
    controller: File,
    child: Child,
    seen: String,
}

impl Terminal {
    fn client(dir: &Path) -> Self {
        use rustix::pty::OpenptFlags;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let controller = rustix::pty::openpt(flags).unwrap();
        rustix::pty::unlockpt(&controller).unwrap();
        let terminal = rustix::pty::ioctl_tiocgptpeer(&controller, flags).unwrap();
        let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(example()).arg("--client").arg(dir).arg("--tty");
        let child =
            command.stdin(end(&terminal)).stdout(end(&terminal)).stderr(end(&terminal)).spawn().unwrap();
        let mut client = Self { controller: File::from(controller), child, seen: String::new() };
        client.resize(25, 81);
        client
    }

    pub fn write(&mut self, text: &str) {
        self.controller.write_all(text.as_bytes()).unwrap();
    }

    pub fn resize(&mut self, rows: u16, cols: u16) {
        Size { rows, cols }.apply(self.controller.as_fd());
    }

    #[track_caller]
    pub fn read_until(&mut self, text: &str) {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        while !self.seen.contains(text) {
            let minute = Timespec { tv_sec: 60, tv_nsec: 0 };
            let ready = poll(&mut [PollFd::new(&self.controller, PollFlags::IN)], Some(&minute)).unwrap();
            assert!(ready > 0, "{text:?} did not come after {:?}", self.seen);
            let mut bytes = [0; 4096];
            let n = self.controller.read(&mut bytes).unwrap_or_else(|error| {
                panic!("{error} before {text:?} came, after {:?}", self.seen);
            });
            self.seen += &String::from_utf8_lossy(&bytes[..n]);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
