//! The engine on a machine with systemd, journald and AppArmor.

#[expect(dead_code, reason = "other tests need more of it")]
#[path = "engine/host.rs"]
mod host;

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};
use testkit::{Finished, Invocation, eventually};

use host::{Host, IMAGE};

/// A unit file of systemd, which goes with the value.
struct Unit<'a> {
    host: &'a Host,
    name: String,
}

impl<'a> Unit<'a> {
    /// What `berth generate systemd` prints, checked by systemd.
    fn generated(host: &'a Host, arguments: &[&str]) -> Self {
        let text = host.ok(["generate", "systemd"].iter().chain(arguments).copied());
        let unit = Unit { host, name: format!("{}.service", host.bed.name()) };
        fs::write(unit.path(), text).unwrap();
        let verified = unit.command("systemd-analyze", &["--man=no", "verify"]).expect_success();
        assert_eq!((verified.stdout(), verified.stderr()), (String::new(), String::new()));
        unit.command("systemctl", &["daemon-reload"]);
        unit
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("/run/systemd/system").join(&self.name)
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Finished {
        let unit = if program == "systemd-analyze" { self.path() } else { self.name.clone().into() };
        let unit = (arguments != ["daemon-reload"]).then_some(unit);
        Invocation::new(&self.host.bed, program).args(arguments).args(unit).output()
    }

    fn control(&self, verb: &str) {
        self.command("systemctl", &[verb]).expect_success();
    }

    fn is(&self, state: &str) {
        eventually(&format!("the unit is {state}"), || {
            let told = self.command("systemctl", &["is-active"]).stdout();
            (told.trim() == state).then_some(())
        });
    }
}

impl Drop for Unit<'_> {
    fn drop(&mut self) {
        let _ = self.command("systemctl", &["stop"]);
        let _ = self.command("systemctl", &["reset-failed"]);
        let _ = fs::remove_file(self.path());
        let _ = self.command("systemctl", &["daemon-reload"]);
    }
}

const POLITE: &str = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

fn pid(host: &Host, name: &str) -> i64 {
    host.inspect(name, "/State/Pid").as_i64().unwrap()
}

#[test]
#[ignore = "needs the VM: systemd"]
fn a_containers_unit_starts_restarts_and_stops_it() {
    let host = Host::new();
    host.ok(["create", "--network", "none", "--name", "web", IMAGE, "sh", "-c", POLITE]);
    {
        let unit = Unit::generated(&host, &["--name", "web"]);
        unit.control("start");
        host.await_status("web", "running");
        let first = pid(&host, "web");
        unit.control("restart");
        host.await_status("web", "running");
        let second = pid(&host, "web");
        assert_ne!(first, second);
        // It fails, and systemd starts it again.
        host.ok(["kill", "web"]);
        eventually("it runs again", || {
            (host.status("web") == "running" && pid(&host, "web") != second).then_some(())
        });
        unit.is("active");
        unit.control("stop");
        assert_eq!(host.status("web"), "exited");
        unit.is("inactive");
    }
    host.leave_nothing();
}

#[test]
#[ignore = "needs the VM: systemd"]
fn the_unit_for_boots_starts_what_is_to_run() {
    let host = Host::new();
    for (name, policy) in [("always", "always"), ("kept", "unless-stopped"), ("ended", "unless-stopped")] {
        host.run(["-d", "--name", name, "--restart", policy, IMAGE, "sleep", "1000"])
            .output()
            .expect_success();
    }
    host.ok(["stop", "-t", "0", "ended"]);
    // What a power cut leaves: neither monitors nor programs.
    for name in ["always", "kept"] {
        let id = host.inspect(name, "/Id");
        let ends = [host.monitor(id.as_str().unwrap()), i32::try_from(pid(&host, name)).unwrap()];
        for pid in ends {
            kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        }
        host.await_status(name, "exited");
    }
    {
        let unit = Unit::generated(&host, &["--boot"]);
        unit.control("start");
        let all = || ["always", "kept", "ended"].map(|name| host.status(name));
        assert_eq!(all(), ["running", "running", "exited"]);
        unit.control("stop");
        assert_eq!(all(), ["running", "running", "exited"], "the unit's end is not the containers'");
    }
    host.leave_nothing();
}

#[test]
#[ignore = "needs the VM: journald"]
fn output_goes_to_the_journal_and_comes_back() {
    let host = Host::new();
    let name = format!("{}-talk", host.bed.name());
    let script = "echo to out; echo to err >&2";
    let run = host.run(["--log-driver", "journald", "--name", &name, IMAGE, "sh", "-c", script]);
    run.output().expect_success();
    let field = format!("CONTAINER_NAME={name}");
    eventually("the journal has both lines", || {
        let journal = Invocation::new(&host.bed, "journalctl").args(["-o", "cat", "-q", &field]).output();
        let text = journal.expect_success().stdout();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        (lines == ["to err", "to out"]).then_some(())
    });
    let logs = host.berth(["logs", &name]).output().expect_success();
    assert_eq!((logs.stdout(), logs.stderr()), ("to out\n".into(), "to err\n".into()));
    host.leave_nothing();
}

#[test]
#[ignore = "needs the VM: AppArmor"]
fn containers_are_confined_by_a_profile_unless_told_otherwise() {
    const CURRENT: &str = "cat /proc/self/attr/current";
    let host = Host::new();
    let run = |flags: &[&str], script: &str| {
        let run = host.run(["--rm"]).args(flags).args([IMAGE, "sh", "-c", script]).output();
        run.expect_success().stdout()
    };
    assert_eq!(run(&[], CURRENT), "berth-default (enforce)\n");
    assert_eq!(run(&["--security-opt", "apparmor=unconfined"], CURRENT), "unconfined\n");
    assert_eq!(run(&["--privileged"], CURRENT), "unconfined\n");
    host.sleeper("web");
    assert_eq!(host.ok(["exec", "web", "cat", "/proc/self/attr/current"]), "berth-default (enforce)");
    assert_eq!(host.inspect("web", "/AppArmorProfile"), "berth-default");

    // Where capabilities, seccomp and read-only paths let it, the profile does not.
    let open = ["--cap-add", "SYS_ADMIN", "--security-opt", "systempaths=unconfined"];
    let open = [&open[..], &["--security-opt", "seccomp=unconfined"]].concat();
    let tries = "mount -t tmpfs none /tmp 2>/dev/null && echo mounted
                 for file in vm/swappiness kernel/printk net/core/somaxconn; do
                     value=$(cat /proc/sys/$file); { echo $value >/proc/sys/$file; } 2>/dev/null && echo $file
                 done
                 echo 0 >/proc/self/oom_score_adj && echo own; echo x >/tmp/file && echo file";
    assert_eq!(run(&open, tries), "own\nfile\n");
    let unconfined = [&open[..], &["--security-opt", "apparmor=unconfined"]].concat();
    let all = "mounted\nvm/swappiness\nkernel/printk\nnet/core/somaxconn\nown\nfile\n";
    assert_eq!(run(&unconfined, tries), all);
    host.leave_nothing();
}
