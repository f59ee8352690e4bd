//! A monitor of an ordinary program, and a client of it: everything that this crate does, without an engine.
//!
//! ```text
//! attend SETTINGS.json             a monitor; stdin is the first client's socket, where `first` says so
//! attend --client DIR [--tty]      a client: stdin, stdout, stderr; detached by Ctrl-P Ctrl-Q
//! ```
//! `SETTINGS.json` has a [`monitor::Config`] and the rest of [`Settings`]; what happens is appended to `events` in the
//! configuration's runtime directory, one line each.

use std::ffi::{CString, OsString};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use monitor::attach::{Client, DetachKeys, Ending, Exited, Failed, Session, Signals, Wants};
use monitor::handover::Handover;
use monitor::health::Health;
use monitor::restart::Policy;
use monitor::stdio::PayloadStdio;
use monitor::{Charge, Config, Ended, Intent, Luggage, Started};
use runtime::failure::OrFail;
use rustix::pty::OpenptFlags;
use serde::{Deserialize, Serialize};
use sys::process::{CloneFlags, Cloned};

/// What is run, and how.
#[derive(Clone, Serialize, Deserialize)]
struct Settings {
    config: Config,
    /// The payload: a shell script.
    script: String,
    /// The health check: a shell script.
    #[serde(default)]
    check: String,
    #[serde(default)]
    policy: Policy,
    /// Stdin is the first client's socket.
    #[serde(default)]
    first: bool,
}

fn main() {
    let args: Vec<OsString> = std::env::args_os().collect();
    let handover = Handover::receive(&args).expect("a handover");
    let Some(first) = args.get(1) else { panic!("attend SETTINGS.json | --client DIR [--tty]") };
    if first == "--client" {
        let code = client(Path::new(&args[2]), args.get(3).is_some_and(|arg| arg == "--tty"));
        std::process::exit(code);
    }
    monitor(PathBuf::from(first), handover);
}

fn monitor(path: PathBuf, handover: Option<Handover>) {
    let mut program = Program { path, starts: 0 };
    let ended = match handover {
        Some(handover) => {
            program.starts = handover.charge().as_u64().expect("a number");
            program.tell("resumed");
            monitor::resume(&mut program, handover)
        }
        None => {
            let settings = program.settings();
            let first = settings.first.then(first_client);
            monitor::attend(&mut program, &settings.config, first)
        }
    };
    if let Err(failure) = ended {
        program.tell(&format!("failed {failure}"));
    }
}

fn first_client() -> OwnedFd {
    let client = rustix::stdio::stdin().try_clone_to_owned().expect("a socket as stdin");
    // Or the client would wait for the end of a socket that we have open still.
    let null = std::fs::File::open("/dev/null").expect("/dev/null");
    rustix::stdio::dup2_stdin(null).expect("dup2");
    client
}

/// A client with this process' own stdio: exits as the payload did.
fn client(dir: &Path, tty: bool) -> i32 {
    let signals = Signals::hold().expect("signals");
    let client = Client::connect(dir).expect("a monitor");
    let session = Session {
        wants: Wants { stdin: true, stdout: true, stderr: true },
        tty,
        detach_keys: Some(DetachKeys::default()),
        forward: None,
        started: &mut |_| {},
    };
    let ending = client.run(session, &signals).expect("a session");
    match ending {
        Ending::Exited(exited) => exited.code.into(),
        Ending::Detached => {
            println!("detached");
            0
        }
        other => {
            println!("{other:?}");
            125
        }
    }
}

/// An ordinary program.
struct Program {
    path: PathBuf,
    starts: u64,
}

impl Program {
    fn settings(&self) -> Settings {
        let text = std::fs::read(&self.path).expect("settings");
        serde_json::from_slice(&text).expect("settings")
    }

    fn tell(&self, event: &str) {
        let path = self.settings().config.runtime_dir.join("events");
        let mut file = std::fs::File::options().create(true).append(true).open(path).expect("events");
        file.write_all(format!("{event}\n").as_bytes()).expect("events");
    }

    fn intent(&self) -> Intent {
        let settings = self.settings();
        let stopped = settings.config.runtime_dir.join("stopped").exists();
        Intent { policy: settings.policy, stopped }
    }
}

impl Charge for Program {
    fn start(&mut self, stdio: &PayloadStdio) -> Result<Started, Failed> {
        let script = self.settings().script;
        let failed = |failure: runtime::Failure| Failed { message: failure.to_string(), code: 126 };
        if script.is_empty() {
            return Err(Failed { message: "there is no script".to_owned(), code: 127 });
        }
        let started = match stdio {
            PayloadStdio::Pipes { stdin, stdout, stderr } => {
                run(&script, [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()], false)
            }
            PayloadStdio::Terminal { console_socket, .. } => {
                let terminal = terminal(console_socket).map_err(failed)?;
                run(&script, [terminal.as_fd(); 3], true)
            }
        };
        self.starts += 1;
        let started = started.map_err(failed)?;
        self.tell(&format!("started {}", started.pid.as_raw_nonzero()));
        Ok(started)
    }

    fn exited(&mut self, exited: &mut Exited) -> Intent {
        self.tell(&format!("exited {}", exited.code));
        self.intent()
    }

    fn restarting(&mut self, delay: Duration, count: u32) {
        self.tell(&format!("restarting {count} {}", delay.as_millis()));
    }

    fn look_again(&mut self) -> Intent {
        self.intent()
    }

    fn health(&mut self, health: &Health, is_new_status: bool) {
        if is_new_status {
            self.tell(&format!("health {}", health.status.as_str()));
        }
        if let Some(last) = health.log.back() {
            self.tell(&format!("checked {} {:?}", last.exit_code, last.output));
        }
    }

    fn probe(&mut self, output: BorrowedFd<'_>) -> runtime::Result<Started> {
        run(&self.settings().check, [rustix::stdio::stdin(), output, output], false)
    }

    fn is_paused(&mut self) -> bool {
        self.settings().config.runtime_dir.join("paused").exists()
    }

    fn end(&mut self, ended: &Ended) {
        match ended {
            Ended::Exited(exited) => self.tell(&format!("ended {}", exited.code)),
            Ended::Failed(failed) => self.tell(&format!("ended without a start: {failed}")),
        }
    }

    fn luggage(&self) -> Luggage<'_> {
        Luggage { fds: Vec::new(), state: self.starts.into() }
    }
}

fn run(script: &str, stdio: [BorrowedFd<'_>; 3], session: bool) -> runtime::Result<Started> {
    let script = CString::new(script).expect("a script");
    match sys::process::clone(CloneFlags::empty(), None).or_fail("clone", "")? {
        Cloned::Parent { pid, pidfd } => Ok(Started { pid, pidfd }),
        Cloned::Child => {
            let [stdin, stdout, stderr] = stdio;
            let prepare = || -> std::io::Result<()> {
                if session {
                    rustix::process::setsid()?;
                    rustix::process::ioctl_tiocsctty(stdin)?;
                }
                dup(stdin, rustix::stdio::dup2_stdin)?;
                dup(stdout, rustix::stdio::dup2_stdout)?;
                dup(stderr, rustix::stdio::dup2_stderr)?;
                sys::process::reset_signals()
            };
            if prepare().is_ok() {
                let environment = [c"PATH=/usr/bin:/bin"];
                let args = [c"sh", c"-c", script.as_c_str()];
                let _ = sys::process::exec(c"/bin/sh", &args, &environment);
            }
            sys::process::exit_now(127)
        }
    }
}

/// The health check's stdin is the monitor's own, and stays as it is.
fn dup(fd: BorrowedFd<'_>, to: impl FnOnce(OwnedFd) -> rustix::io::Result<()>) -> std::io::Result<()> {
    Ok(to(fd.try_clone_to_owned()?)?)
}

/// A terminal, as the runtime makes one in a container: the controlling end is sent to the monitor.
fn terminal(socket: &OwnedFd) -> runtime::Result<OwnedFd> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let controller = rustix::pty::openpt(flags).or_fail("open", "a terminal")?;
    rustix::pty::unlockpt(&controller).or_fail("unlock", "a terminal")?;
    let terminal = rustix::pty::ioctl_tiocgptpeer(&controller, flags).or_fail("open", "a terminal")?;
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
    let fds = [controller.as_fd()];
    control.push(rustix::net::SendAncillaryMessage::ScmRights(&fds));
    let content = [std::io::IoSlice::new(b"terminal")];
    let flags = rustix::net::SendFlags::empty();
    rustix::net::sendmsg(socket, &content, &mut control, flags).or_fail("send", "a terminal")?;
    Ok(terminal)
}
