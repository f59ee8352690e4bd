//! The event loop, with ordinary processes as payloads.

mod monitored;

use std::time::{Duration, Instant};

use monitor::attach::{Ending, Exited, Wants};
use monitor::restart::Policy;
use monitored::{Monitored, all, code};
use testkit::{Testbed, eventually};

#[test]
fn output_is_logged_and_the_first_client_hears_of_everything() {
    let bed = Testbed::new();
    let mut run = Monitored::new(&bed, "echo out; echo err >&2; exit 7").first(all()).start();
    let (frames, ending) = run.client().read_to_end();
    assert_eq!((frames.stdout.as_str(), frames.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(code(&ending), 7);
    run.ends();
    assert_eq!(run.log(), ("out\n".into(), "err\n".into()));
    let events = run.events();
    assert_eq!(events[1..], ["exited 7", "ended 7"], "{events:?}");
    assert!(!run.dir().join("attach.sock").exists());
}

#[test]
fn a_signal_that_ends_the_payload_is_told() {
    let bed = Testbed::new();
    let mut run = Monitored::new(&bed, "kill -9 $$").first(Wants::default()).start();
    let (_, ending) = run.client().read_to_end();
    assert!(matches!(ending, Ending::Exited(Exited { code: 137, signal: Some(9), .. })), "{ending:?}");
    run.ends();
}

#[test]
fn a_start_that_fails_is_told_with_its_code() {
    let bed = Testbed::new();
    let mut run = Monitored::new(&bed, "").first(all()).start();
    let (_, ending) = run.client().read_to_end();
    let Ending::Failed(failed) = ending else { panic!("{ending:?}") };
    assert_eq!((failed.code, failed.message.as_str()), (127, "there is no script"));
    run.ends();
    assert_eq!(run.events(), ["ended without a start: there is no script"]);
}

#[test]
fn stdin_goes_to_the_payload_and_ends_once() {
    let bed = Testbed::new();
    let mut run = Monitored::new(&bed, "cat; echo end").stdin(true).first(all()).start();
    let mut client = run.client();
    client.await_started();
    let text = "0123456789\n".repeat(200_000);
    let mut writer = client.try_clone();
    let sent = text.clone();
    let sender = std::thread::spawn(move || {
        writer.stdin(sent.as_bytes());
        writer.stdin(b"");
    });
    let (frames, ending) = client.read_to_end();
    sender.join().unwrap();
    assert_eq!(code(&ending), 0);
    assert_eq!(frames.stdout.len(), text.len() + 4);
    assert!(frames.stdout == text + "end\n");
    run.ends();
}

#[test]
fn stdin_stays_open_for_the_next_client_where_it_is_not_once() {
    let bed = Testbed::new();
    let mut run = Monitored::new(&bed, "read a; read b; echo $a $b").stdin(false).start();
    run.await_event("started");
    let mut first = run.attach(all());
    first.await_started();
    first.stdin(b"one\n");
    first.stdin(b"");
    drop(first);
    let mut second = run.attach(all());
    second.await_started();
    second.stdin(b"two\n");
    let (frames, ending) = second.read_to_end();
    assert_eq!((frames.stdout.as_str(), code(&ending)), ("one two\n", 0));
    run.ends();
}

#[test]
fn a_slow_client_is_left_behind_and_slows_nobody() {
    let bed = Testbed::new();
    let script = "read go; head -c 30000000 /dev/zero | tr '\\0' x; echo; echo done >&2";
    let mut run = Monitored::new(&bed, script).stdin(false).start();
    run.await_event("started");
    let mut slow = run.attach(all());
    slow.await_started();
    slow.stdin(b"\n");
    // It reads nothing until the payload has ended.
    run.await_event("exited 0");
    let (frames, ending) = slow.read_to_end();
    assert_eq!(ending, Ending::Dropped);
    assert!(frames.stdout.bytes().all(|byte| byte == b'x'), "frames are whole");
    assert!(frames.stdout.len() < 10_000_000, "{}", frames.stdout.len());
    run.ends();
    let (out, err) = run.log();
    assert_eq!((out.len(), err.as_str()), (30_000_001, "done\n"));
}

#[test]
fn the_payload_waits_for_a_foreground_client_and_nothing_is_lost() {
    let bed = Testbed::new();
    let script = "head -c 20000000 /dev/zero | tr '\\0' x";
    let mut run = Monitored::new(&bed, script).first(all()).start();
    let mut client = run.client();
    client.await_started();
    std::thread::sleep(Duration::from_millis(300));
    assert!(!run.has_event("exited"), "it must wait");
    let (frames, ending) = client.read_to_end();
    assert_eq!((frames.stdout.len(), code(&ending)), (20_000_000, 0));
    run.ends();
}

#[test]
fn failures_are_restarted_as_often_as_the_policy_says() {
    let bed = Testbed::new();
    let mut run = Monitored::new(&bed, "echo run; exit 3").policy(Policy::OnFailure(2)).start();
    run.ends();
    let told: Vec<String> = run.events().into_iter().filter(|event| !event.starts_with("started")).collect();
    let expected = ["exited 3", "restarting 1 100", "exited 3", "restarting 2 200", "exited 3", "ended 3"];
    assert_eq!(told, expected);
    assert_eq!(run.log().0, "run\nrun\nrun\n");
}

#[test]
fn a_user_ends_the_waiting_for_a_restart() {
    let bed = Testbed::new();
    let mut run = Monitored::new(&bed, "exit 1").policy(Policy::Always).start();
    run.await_event("restarting 4");
    run.file("stopped");
    run.signal(libc::SIGUSR1);
    run.ends();
    assert_eq!(run.events().last().unwrap(), "ended 1");
}

#[test]
fn sigterm_goes_on_to_the_payload_which_is_not_restarted_then() {
    let bed = Testbed::new();
    let script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let mut run = Monitored::new(&bed, script).policy(Policy::Always).start();
    eventually("the trap is set", || (run.log().0 == "ready\n").then_some(()));
    run.signal(libc::SIGTERM);
    run.ends();
    assert_eq!(run.events().last().unwrap(), "ended 5");
}

#[test]
fn what_the_payload_orphans_is_reaped() {
    let bed = Testbed::new();
    let script = "(sh -c 'sleep 0.1 & echo $!'); read x";
    let mut run = Monitored::new(&bed, script).stdin(false).start();
    let orphan = eventually("the orphan's pid", || run.log().0.trim().parse::<u32>().ok());
    let gone = || (!std::path::Path::new(&format!("/proc/{orphan}")).exists()).then_some(());
    eventually("the orphan is reaped", gone);
    let mut client = run.attach(all());
    client.await_started();
    client.stdin(b"\n");
    client.read_to_end();
    run.ends();
}

#[test]
fn a_process_that_keeps_a_pipe_open_delays_the_end_but_shortly() {
    let bed = Testbed::new();
    let mut run = Monitored::new(&bed, "sleep 31.4 & echo $!; exit 4").first(all()).start();
    let begin = Instant::now();
    let (frames, ending) = run.client().read_to_end();
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(code(&ending), 4);
    let sleeper = rustix::process::Pid::from_raw(frames.stdout.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(sleeper, rustix::process::Signal::KILL).unwrap();
    run.ends();
}

#[test]
fn health_is_checked_and_told() {
    let bed = Testbed::new();
    let check = "echo checking; test -e healthy";
    let mut run = Monitored::new(&bed, "read x").stdin(false).check(check, 50, 1000).start();
    run.await_event("health unhealthy");
    assert!(run.has_event("checked 1 \"checking\\n\""), "{:?}", run.events());
    run.file("healthy");
    run.await_event("health healthy");
    run.file("paused");
    let checks = || run.events().iter().filter(|event| event.starts_with("checked")).count();
    let mut before = checks();
    eventually("no check while paused", || {
        std::thread::sleep(Duration::from_millis(300));
        let now = checks();
        (std::mem::replace(&mut before, now) == now).then_some(())
    });
    let mut client = run.attach(all());
    client.await_started();
    client.stdin(b"\n");
    client.read_to_end();
    run.ends();
}

#[test]
fn a_check_that_takes_too_long_has_failed() {
    let bed = Testbed::new();
    let mut run =
        Monitored::new(&bed, "read x").stdin(false).check("echo a; exec sleep 31.5", 50, 200).start();
    run.await_event("checked -1 \"Health check exceeded timeout (200ms): a\\n\"");
    let mut client = run.attach(all());
    client.await_started();
    client.stdin(b"\n");
    client.read_to_end();
    run.ends();
}

#[test]
fn an_idle_monitor_executes_itself_again_and_loses_nothing() {
    let bed = Testbed::new();
    let script = "printf begun; read x; echo \" $x\"; echo err >&2; exit 9";
    let mut run = Monitored::new(&bed, script).stdin(false).again().start();
    run.await_event("resumed");
    let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", run.pid())).unwrap();
    assert!(arguments.contains("--handover="), "{arguments}");
    let mut client = run.attach(all());
    client.await_started();
    client.stdin(b"and ended\n");
    let (frames, ending) = client.read_to_end();
    assert_eq!((frames.stdout.as_str(), code(&ending)), (" and ended\n", 9));
    run.ends();
    assert_eq!(run.log(), ("begun and ended\n".into(), "err\n".into()));
    assert_eq!(run.timestamped_lines(), 2, "the line was written by two monitors, and is one");
    assert_eq!(run.events().last().unwrap(), "ended 9");
}

#[test]
fn a_payload_that_ends_around_the_handover_is_seen() {
    // The quiet second ends about when the payload does.
    let bed = Testbed::new();
    let mut runs: Vec<Monitored> = ["0.99", "1.0", "1.005", "1.01", "1.02"]
        .map(|delay| {
            let script = format!("sleep {delay}; echo done; exit 6");
            Monitored::in_dir(&bed.path().join(delay), &script).again().start()
        })
        .into();
    for run in &mut runs {
        run.ends();
        assert_eq!(run.log().0, "done\n");
        assert_eq!(run.events().last().unwrap(), "ended 6");
    }
}

#[test]
fn a_terminal_has_a_size_and_its_bytes_are_stdout() {
    let bed = Testbed::new();
    let script = "stty size; read x; stty size; test -t 2 && echo $x >&2";
    let mut run = Monitored::new(&bed, script).tty(24, 80).again().start();
    run.await_event("resumed");
    let mut client = run.attach(all());
    client.await_started();
    client.resize(50, 132);
    client.stdin(b"word\n");
    let (frames, ending) = client.read_to_end();
    assert_eq!((frames.stdout.as_str(), code(&ending)), ("word\r\n50 132\r\nword\r\n", 0));
    run.ends();
    assert_eq!(run.log().0, "24 80\r\nword\r\n50 132\r\nword\r\n");
}

#[test]
fn the_client_is_raw_resizes_and_detaches() {
    let bed = Testbed::new();
    let script = "stty -echo; trap 'stty size' WINCH; echo ready; \
                  while [ \"$x\" != quit ]; do if read x; then echo got $x; fi; done; echo end";
    let mut run = Monitored::new(&bed, script).tty(24, 80).start();
    run.await_event("started");
    let mut terminal = run.terminal_client();
    terminal.resize(30, 100);
    terminal.write("one\r");
    terminal.read_until("got one");
    terminal.resize(31, 101);
    terminal.read_until("31 101");
    terminal.write("\x10\x11");
    terminal.read_until("detached");
    let mut again = run.terminal_client();
    again.write("two\r");
    again.read_until("got two");
    again.write("quit\r");
    again.read_until("end");
    run.ends();
}
