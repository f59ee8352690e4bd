//! Containers at a real terminal.

use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};
use testkit::{Terminal, Testbed, berth_binary, eventually};

use crate::{Berth, IMAGE};

/// berth at a terminal, as a shell would run it.
struct Seat {
    terminal: Terminal,
    berth: Child,
}

impl Seat {
    fn new(bed: &Testbed, berth: &Berth<'_>, args: &[&str]) -> Seat {
        let (terminal, other) = Terminal::open(24, 80);
        let end = || other.try_clone().expect("copy the terminal's end");
        // A session whose controlling terminal this is: signals of keys and of resizing come by it.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .arg(berth_binary())
            .arg("--root")
            .arg(&berth.root)
            .args(args)
            .env("TESTBED", bed.name())
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("run setsid (Debian package util-linux)");
        Seat { terminal, berth: child }
    }

    /// A shell in a new container, whose prompt is `$ `.
    fn shell(bed: &Testbed, berth: &Berth<'_>, flags: &[&str]) -> Seat {
        let run = [&["run", "-it", "--network", "none", "-e", "PS1=$ "], flags, &[IMAGE, "sh"]].concat();
        let mut seat = Seat::new(bed, berth, &run);
        seat.terminal.read_until("$ ");
        seat
    }

    /// Types a line, and reads up to `text`, which the line itself must not contain.
    #[track_caller]
    fn asks(&mut self, line: &str, text: &str) -> String {
        self.terminal.forget();
        self.terminal.write(&format!("{line}\r"));
        self.terminal.read_until(text).to_owned()
    }

    /// Waits for berth's end.
    #[track_caller]
    fn ended(&mut self) -> Option<i32> {
        eventually("the end of berth", || self.berth.try_wait().expect("wait for berth")).code()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.berth.try_wait().is_ok_and(|status| status.is_none()) {
            // setsid's child hangs up with its terminal.
            let _ = kill_process(Pid::from_child(&self.berth), Signal::KILL);
            drop(self.berth.wait());
        }
    }
}

#[test]
fn the_size_follows_ours() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    let mut seat = Seat::shell(&bed, &berth, &["--rm"]);
    seat.asks("stty size", "24 80");
    seat.terminal.resize(50, 132);
    // The new size arrives when it arrives.
    let changed = eventually("the new size", || {
        let told = seat.asks("stty size; echo do''ne", "done");
        told.contains("50 132").then_some(told)
    });
    assert!(!changed.contains("24 80"), "{changed}");
    seat.asks("tput colors 2>/dev/null; printf '\\033[31mr''ed\\033[0m\\n'", "\x1b[31mred\x1b[0m");
    seat.terminal.write("exit 4\r");
    assert_eq!(seat.ended(), Some(4));
}

#[test]
fn keys_interrupt_the_program_and_not_berth() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    let mut seat = Seat::shell(&bed, &berth, &["--rm"]);
    let runs = |program: &str| {
        let id = berth.run(&["ps", "-q"]);
        eventually(program, || berth.run(&["top", id.trim()]).contains(program).then_some(()));
    };
    seat.asks("sleep 100", "sleep 100");
    runs("sleep 100");
    seat.terminal.write("\x03");
    seat.asks("echo st''atus $?", "status 130");
    // Job control: the shell has the terminal and gives it to its jobs.
    seat.asks("sleep 200", "sleep 200");
    runs("sleep 200");
    seat.terminal.write("\x1a");
    seat.terminal.read_until("Stopped");
    seat.asks("bg; kill %1; jobs; echo do''ne", "done");
    seat.terminal.write("exit\r");
    seat.ended();
    assert_eq!(berth.run(&["ps", "-aq"]), "");
}

#[test]
fn the_detach_keys_leave_it_running() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    let mut seat = Seat::shell(&bed, &berth, &["--name", "shell"]);
    seat.asks("HERE=st''ill; echo se''t", "set");
    seat.terminal.write("\x10\x11");
    seat.terminal.read_until("read escape sequence");
    assert_eq!(seat.ended(), Some(0));
    assert_eq!(berth.field("shell", "{{.State.Status}}"), "running");

    let mut seat = Seat::new(&bed, &berth, &["attach", "--detach-keys", "ctrl-x", "shell"]);
    seat.asks("echo $HERE", "still");
    seat.terminal.write("\x18");
    assert_eq!(seat.ended(), Some(0));

    let mut seat = Seat::new(&bed, &berth, &["attach", "shell"]);
    seat.asks("exit 6", "exit 6");
    assert_eq!(seat.ended(), Some(6));
    assert_eq!(berth.field("shell", "{{.State.Status}} {{.State.ExitCode}}"), "exited 6");
    assert!(berth.fails(1, &["attach", "shell"]).contains("cannot attach to a stopped container"));
}

#[test]
fn exec_has_a_terminal_of_its_own() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    berth.detached("web", "sleep 1000");
    let mut seat = Seat::new(&bed, &berth, &["exec", "-it", "-e", "PS1=$ ", "web", "sh"]);
    seat.terminal.read_until("$ ");
    seat.asks("tty; stty size", "24 80");
    seat.terminal.resize(30, 100);
    eventually("the new size", || {
        seat.asks("stty size; echo do''ne", "done").contains("30 100").then_some(())
    });
    seat.terminal.write("exit 3\r");
    assert_eq!(seat.ended(), Some(3));
    assert_eq!(berth.field("web", "{{.State.Status}}"), "running");
}

#[test]
fn a_started_container_comes_to_the_front() {
    let bed = Testbed::new();
    let berth = Berth::new(&bed);
    berth.run(&["create", "-it", "--network", "none", "-e", "PS1=$ ", "--name", "shell", IMAGE, "sh"]);
    let mut seat = Seat::new(&bed, &berth, &["start", "-ai", "shell"]);
    seat.terminal.read_until("$ ");
    seat.asks("echo he''re", "here");
    seat.terminal.write("exit 5\r");
    assert_eq!(seat.ended(), Some(5));
}
