//! Filters in force: each case runs in a child, since there is no way back.

use std::env;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{getpriority_pgrp, getpriority_process};
use seccomp::{Architecture, Filter, InstallError, compile, default_profile, send_listener, syscalls};

const CHILD: &str = "SECCOMP_TEST_CASE";
const SOCKET: &str = "SECCOMP_TEST_SOCKET";

fn filter(json: &str) -> Filter {
    compile(&serde_json::from_str(json).unwrap(), Architecture::native().unwrap()).unwrap()
}

fn on_mkdir(action: &str) -> Filter {
    filter(&format!(
        r#"{{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x","syscalls":[
            {{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_{action}"}}]}}"#
    ))
}

/// Makes no directory, filter or not.
fn mkdir() -> rustix::io::Result<()> {
    mkdirat(CWD, "/nowhere/at/all", Mode::empty())
}

/// Runs a case of [`child`] in a process of its own.
fn run(case: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child", "--ignored", "--nocapture"]).env(CHILD, case);
    command
}

fn output(case: &str) -> Output {
    run(case).output().unwrap()
}

#[track_caller]
fn succeeds(case: &str) {
    let output = output(case);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "the body of the other tests' children"]
fn child() {
    match env::var(CHILD).unwrap().as_str() {
        "errno" => {
            on_mkdir(r#"ERRNO","errnoRet":100,"args":[],"x":""#).install().unwrap();
            assert_eq!(mkdir(), Err(Errno::NETDOWN));
        }
        "trace" => {
            on_mkdir("TRACE").install().unwrap();
            assert_eq!(mkdir(), Err(Errno::NOSYS));
        }
        "log" => {
            on_mkdir("LOG").install().unwrap();
            assert_eq!(mkdir(), Err(Errno::NOENT));
        }
        "KILL_THREAD" => kill_thread(),
        action @ ("KILL_PROCESS" | "TRAP") => {
            on_mkdir(action).install().unwrap();
            let _ = mkdir();
            process::exit(7);
        }
        "arguments" => arguments(),
        "new calls" => new_calls(),
        "default" => default_in_force(),
        "flags" => {
            let flags = r#"["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_SPEC_ALLOW"]"#;
            filter(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","flags":{flags}}}"#)).install().unwrap();
        }
        "killable" => {
            let flags = r#"["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]"#;
            let filter = filter(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","flags":{flags}}}"#));
            assert!(matches!(filter.install(), Err(InstallError::NothingToReceive)));
        }
        "second listener" => {
            let _listener = on_mkdir("NOTIFY").install().unwrap().unwrap();
            assert!(matches!(on_mkdir("NOTIFY").install(), Err(InstallError::SecondListener)));
        }
        "notify" => notify(),
        other => panic!("no case {other}"),
    }
}

/// Only the thread dies, so that nothing could be joined.
fn kill_thread() {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        on_mkdir("KILL_THREAD").install().unwrap();
        send.send(rustix::thread::gettid()).unwrap();
        let _ = mkdir();
        process::exit(7);
    });
    let thread = PathBuf::from(format!("/proc/self/task/{}", receive.recv().unwrap()));
    let deadline = Instant::now() + Duration::from_secs(30);
    while thread.exists() {
        assert!(Instant::now() < deadline, "the thread lives on");
        std::thread::yield_now();
    }
    process::exit(0);
}

fn arguments() {
    // PRIO_PROCESS is 0, PRIO_PGRP 1.
    filter(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["getpriority"],"action":"SCMP_ACT_ERRNO",
            "errnoRet":99,"args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}]}"#,
    )
    .install()
    .unwrap();
    assert!(getpriority_process(None).is_ok());
    assert_eq!(getpriority_pgrp(None), Err(Errno::ADDRNOTAVAIL));
}

fn new_calls() {
    let native = Architecture::native().unwrap();
    let newest = syscalls::number(native, "openat2").unwrap();
    let older = syscalls::all(native).filter(|(name, number)| *number < newest && *name != "mkdirat");
    let names: Vec<_> = older.map(|(name, _)| name).collect();
    filter(&format!(
        r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":{names:?},"action":"SCMP_ACT_ALLOW"}}]}}"#
    ))
    .install()
    .unwrap();
    assert_eq!(mkdir(), Err(Errno::PERM));
    let opened = openat2(CWD, "/", OFlags::PATH, Mode::empty(), ResolveFlags::empty());
    assert_eq!(opened.err(), Some(Errno::NOSYS));
}

fn default_in_force() {
    let native = Architecture::native().unwrap();
    compile(&default_profile(native, |_| false), native).unwrap().install().unwrap();
    assert_eq!(mkdir(), Err(Errno::NOENT));
    assert_eq!(rustix::system::sethostname(b"x"), Err(Errno::PERM));
    // The C library falls back from clone3 to clone.
    assert!(Command::new("true").status().unwrap().success());
}

fn notify() {
    let listener = on_mkdir("NOTIFY").install().unwrap().unwrap();
    let path = PathBuf::from(env::var_os(SOCKET).unwrap());
    send_listener(&path, listener.as_fd(), br#"{"ociVersion":"1.3.0"}"#).unwrap();
    drop(listener);
    // The parent hangs up, which ends the call.
    assert_eq!(mkdir(), Err(Errno::NOSYS));
}

#[test]
fn actions_are_carried_out() {
    succeeds("errno");
    succeeds("trace");
    succeeds("log");
    succeeds("KILL_THREAD");
    for action in ["KILL_PROCESS", "TRAP"] {
        assert_eq!(output(action).status.signal(), Some(libc::SIGSYS), "{action}");
    }
}

#[test]
fn arguments_are_compared() {
    succeeds("arguments");
}

#[test]
fn calls_newer_than_the_profile_fail_with_enosys() {
    succeeds("new calls");
}

#[test]
fn programs_run_under_the_default_profile() {
    succeeds("default");
}

#[test]
fn flags_reach_the_kernel() {
    succeeds("flags");
    succeeds("killable");
    succeeds("second listener");
}

#[test]
fn an_agent_gets_the_listener_and_the_state() {
    // Longer than sun_path, as real callers' paths are.
    let directory = env::temp_dir().join(format!("seccomp-{}-{}", process::id(), "x".repeat(100)));
    std::fs::create_dir(&directory).unwrap();
    let path = directory.join("agent.sock");
    let agent = bind(&directory);

    let mut child = run("notify").env(SOCKET, &path).stderr(Stdio::piped()).spawn().unwrap();
    let (mut connection, _) = agent.accept().unwrap();
    let mut state = [0; 4096];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [std::io::IoSliceMut::new(&mut state)];
    let length = recvmsg(&connection, &mut slices, &mut ancillary, RecvFlags::empty()).unwrap().bytes;
    let descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptors: Vec<_> = descriptors.flatten().collect();
    let mut rest = Vec::new();
    connection.read_to_end(&mut rest).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();

    assert_eq!([&state[..length], &rest].concat(), br#"{"ociVersion":"1.3.0"}"#);
    assert_eq!(descriptors.len(), 1);
    let mut ready = [rustix::event::PollFd::new(&descriptors[0], rustix::event::PollFlags::IN)];
    let deadline = rustix::event::Timespec { tv_sec: 30, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut ready, Some(&deadline)), Ok(1), "the child's mkdir is announced");
    drop(descriptors);
    let status = child.wait().unwrap();
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert!(status.success(), "{errors}");
}

/// Listens on `agent.sock` in a directory whose path is too long for a socket's address.
fn bind(directory: &Path) -> UnixListener {
    let link = directory.with_file_name(format!("seccomp-{}", process::id()));
    std::os::unix::fs::symlink(directory, &link).unwrap();
    let agent = UnixListener::bind(link.join("agent.sock"));
    std::fs::remove_file(&link).unwrap();
    agent.unwrap()
}
