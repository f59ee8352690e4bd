//! What isolation denies is explained, and what a program needs is learned.

use std::fs;

use serde_json::Value;
use testkit::eventually;

use crate::host::{Host, IMAGE, refused};

/// Runs a script with flags, and gives what was explained.
#[track_caller]
fn explained(host: &Host, flags: &[&str], command: &[&str]) -> String {
    let run = host.run(["--rm", "--explain-denials"]).args(flags).arg(IMAGE).args(command).output();
    let text = run.stderr();
    text.lines().filter(|line| line.starts_with("berth: ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_denial_names_call_cause_and_remedy() {
    let host = Host::new();
    let drop_all: &[&str] = &["--cap-drop", "ALL"];
    let cases: &[(&[&str], &[&str], &[&str])] = &[
        (
            drop_all,
            &["chown", "5:5", "/etc/passwd"],
            &["chown(/etc/passwd, 5:5) failed with EPERM", "--cap-add CHOWN"],
        ),
        (
            drop_all,
            &["ping", "-c1", "127.0.0.1"],
            &["socket(AF_INET, SOCK_RAW)", "CAP_NET_RAW", "--cap-add NET_RAW"],
        ),
        (drop_all, &["mknod", "/dev/x", "b", "8", "0"], &["mknod", "CAP_MKNOD"]),
        (
            &["--sysctl", "net.ipv4.ip_unprivileged_port_start=1024", "--cap-drop", "ALL"],
            &["nc", "-l", "-p", "80"],
            &["bind([::]:80)", "EACCES", "--cap-add NET_BIND_SERVICE"],
        ),
        (
            &[],
            &["mount", "-t", "proc", "proc", "/tmp"],
            &["mount(proc on /tmp, type proc)", "seccomp", "--cap-add SYS_ADMIN"],
        ),
        (&[], &["unshare", "-m", "true"], &["unshare(CLONE_NEWNS)", "seccomp"]),
        (&[], &["date", "-s", "2020-01-01"], &["clock_settime", "--cap-add SYS_TIME"]),
        (&[], &["ip", "link", "add", "x", "type", "dummy"], &["netlink", "--cap-add NET_ADMIN"]),
        (&["--read-only"], &["touch", "/etc/new"], &["openat(/etc/new)", "EROFS", "--tmpfs /etc"]),
        (
            &[],
            &["sh", "-c", "echo 1 >/proc/sys/kernel/panic"],
            &["/proc/sys is read-only", "systempaths=unconfined"],
        ),
        (&["--user", "1000"], &["touch", "/etc/new"], &["/etc has owner 0 and mode", "not write it"]),
        (
            &["--userns", "auto:size=1000"],
            &["chown", "5000", "/etc/passwd"],
            &["user 5000", "id map", "--userns"],
        ),
        (
            &["--tmpfs", "/x"],
            &["sh", "-c", "cp /bin/busybox /x/true; /x/true"],
            &["execve(/x/true)", "noexec", "--tmpfs /x:exec"],
        ),
    ];
    for (flags, command, words) in cases {
        let text = explained(&host, flags, command);
        assert_eq!(text.lines().count(), 1, "{command:?}: {text}");
        for word in *words {
            assert!(text.contains(word), "{word:?} is not in {text:?}");
        }
    }
    assert_eq!(explained(&host, &[], &["sh", "-c", "id; ls /; ! cat /nowhere; ps; hostname"]), "");
    host.leave_nothing();
}

#[test]
fn limits_are_explained() {
    let host = Host::new();
    let text = explained(&host, &["--pids-limit", "2"], &["sh", "-c", "sleep 9 & sleep 9 & sleep 9"]);
    assert!(text.contains("EAGAIN") && text.contains("--pids-limit"), "{text}");
    // tail opens all files before it reads any.
    let many = ["tail"].into_iter().chain(["/bin/busybox"; 40]).collect::<Vec<_>>();
    let text = explained(&host, &["--ulimit", "nofile=20"], &many);
    assert!(text.contains("EMFILE") && text.contains("--ulimit nofile"), "{text}");
    host.leave_nothing();
}

#[test]
fn who_traces_himself_is_let_through() {
    let host = Host::new();
    // The host's own strace and what it needs are bound in; without them there is nothing to test.
    let flags = ["-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro"];
    let script = "/usr/bin/strace -o /trace /bin/busybox true && grep -c 'exited with 0' /trace";
    let run = host.run(["--rm", "--explain-denials"]).args(flags).args([IMAGE, "sh", "-c", script]).output();
    let run = run.expect_success();
    assert_eq!(run.stdout(), "1\n");
    assert!(run.stderr().contains("not observed: strace"), "{}", run.stderr());
    // Another user's process may not be traced: that is the kernel's word, not that of our being there already.
    let script = "/usr/bin/setpriv --reuid 1000 --clear-groups /bin/busybox sleep 50 & until grep -q 'Uid:.1000' /proc/$!/status; do :; done; /usr/bin/strace -p $!; kill $!";
    let flags = [&flags[..], &["--cap-drop", "SYS_PTRACE"]].concat();
    let text = explained(&host, &flags, &["sh", "-c", script]);
    assert!(text.contains("--cap-add SYS_PTRACE"), "{text}");
    host.leave_nothing();
}

#[test]
fn the_last_denials_are_kept_while_the_container_is() {
    let host = Host::new();
    let root = host.root.to_str().unwrap();
    let explain = |name: &str| -> Value {
        let args = ["explain", "--last-denial", "--json", "--root", root, name];
        let text = testkit::Invocation::new(&host.bed, testkit::berth_binary()).args(args).output();
        serde_json::from_str(&text.expect_success().stdout()).unwrap()
    };
    let script = "chroot / mount -t proc proc /tmp; sleep 1000";
    host.run(["-d", "--name", "one", "--explain-denials", IMAGE, "sh", "-c", script])
        .output()
        .expect_success();
    let denial = eventually("the denial is written", || explain("one").pointer("/denied/0").cloned());
    assert_eq!((&denial["call"], &denial["cause"]), (&"mount".into(), &"seccomp".into()));
    // Nobody looked at this one, which is said; its counters tell what they can.
    let script = "(sleep 1000 & sleep 1000 & sleep 1000); exec sleep 1000";
    host.run(["-d", "--name", "two", "--pids-limit", "3", IMAGE, "sh", "-c", script])
        .output()
        .expect_success();
    let told = eventually("the counter counts", || {
        let page = explain("two");
        page.pointer("/denied/0").is_some().then_some(page)
    });
    assert!(told["denied"][0].as_str().unwrap().contains("--pids-limit"), "{told}");
    assert!(told["notObserved"].to_string().contains("--explain-denials"), "{told}");
    host.leave_nothing();
}

/// The flags that were printed, and the profile beside them.
#[track_caller]
fn learn(host: &Host, flags: &[&str], script: &str) -> Vec<String> {
    let profile = host.bed.path().join("profile.json");
    let run =
        host.run(["--rm", "--learn"]).arg(&profile).args(flags).args([IMAGE, "sh", "-c", script]).output();
    let text = run.expect_success().stderr();
    let lines = text.lines().filter_map(|line| line.strip_prefix("  "));
    lines.map(|line| line.trim_end_matches([' ', '\\']).to_owned()).collect()
}

#[test]
fn what_was_learned_is_enough_and_no_more() {
    let host = Host::new();
    let script = "echo 1 >/tmp/a && mkdir -p /run/app && echo 1 >/run/app/pid && chown 5 /run/app/pid \
                  && mknod /run/app/null c 1 3 && start-stop-daemon -S -c user -x /bin/true && cat /run/app/pid";
    let flags = learn(&host, &[], script);
    let has = |flag: &str| flags.iter().any(|one| one == flag);
    for flag in
        ["--cap-drop=ALL", "--cap-add=CHOWN", "--cap-add=MKNOD", "--cap-add=SETUID", "--cap-add=SETGID"]
    {
        assert!(has(flag), "{flag} is not in {flags:?}");
    }
    assert!(has("--read-only") && has("--tmpfs=/tmp") && has("--tmpfs=/run:tmpcopyup"), "{flags:?}");
    let again = |flags: &[String]| host.run(["--rm"]).args(flags).args([IMAGE, "sh", "-c", script]).output();
    assert_eq!(again(&flags).expect_success().stdout(), "1\n");
    for left_out in flags.iter().filter(|flag| flag.starts_with("--cap-add") || flag.starts_with("--tmpfs")) {
        let fewer: Vec<String> = flags.iter().filter(|flag| *flag != left_out).cloned().collect();
        assert_ne!(again(&fewer).status.code(), Some(0), "it runs without {left_out}");
    }
    // A call that it did not make is refused, as one that the kernel does not know.
    let profile: Value =
        serde_json::from_slice(&fs::read(host.bed.path().join("profile.json")).unwrap()).unwrap();
    assert!(
        !profile.to_string().contains("\"swapon\"") && profile.to_string().contains("\"chown\""),
        "{profile}"
    );
    let run = host.run(["--rm"]).args(&flags).args([IMAGE, "sh", "-c", "date -s 2020-01-01"]).output();
    assert!(run.stderr().contains("not implemented"), "{}", run.stderr());
    host.leave_nothing();
}

#[test]
fn who_writes_to_the_system_is_not_made_read_only() {
    let host = Host::new();
    let flags = learn(&host, &[], "echo x >/usr/new");
    assert!(!flags.iter().any(|flag| flag == "--read-only"), "{flags:?}");
    host.leave_nothing();
}

#[test]
fn learning_needs_somebody_to_tell() {
    let host = Host::new();
    let run = |flags: &[&str]| host.run(["--learn", "/nowhere/x"]).args(flags).args([IMAGE, "true"]).output();
    refused(run(&["-d"]), 125, "leave out --detach");
    refused(run(&["--explain-denials"]), 125, "use one after the other");
    refused(run(&["--rm"]), 125, "write the seccomp profile to /nowhere/x");
    host.leave_nothing();
}
