//! `berth caps` beside capsh, getpcaps, getcap, setcap, setpriv and pscap.

use crate::support::{Scratch, Sleeper, berth, failure, json, run, stdout};

fn cap_fields(of: &str) -> String {
    let fields = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"];
    let lines = of.lines().filter(|line| fields.iter().any(|field| line.starts_with(field)));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn masks_go_both_ways_as_with_capsh() {
    let mask = stdout(berth(&["caps", "encode", "all", "-sys_resource"]));
    let decoded = stdout(berth(&["caps", "decode", &mask]));
    assert_eq!(decoded, stdout(run("/usr/sbin/capsh", &[format!("--decode={mask}")])));
    assert_eq!(stdout(berth(&["caps", "encode", "CAP_CHOWN,kill"])), "0000000000000021");
    assert!(failure(berth(&["caps", "decode", "xyz"])).contains("not a capability mask"));
    assert!(
        failure(berth(&["caps", "encode", "cap_nothing"])).contains("unknown capability \"cap_nothing\"")
    );
}

#[test]
fn why_names_calls_and_flags() {
    let text = stdout(berth(&["caps", "why", "net_admin"]));
    assert!(text.contains("--cap-add=NET_ADMIN") && text.contains("NETLINK_ROUTE"), "{text}");
    assert!(stdout(berth(&["caps", "why", "CAP_CHOWN"])).contains("--cap-drop=CHOWN"));
}

#[test]
fn show_says_what_getpcaps_says() {
    let sleeper = Sleeper::new("setpriv", &["--bounding-set=-all,+kill,+chown", "--inh-caps=-all,+kill"]);
    let shown = json(berth(&["caps", "show", "--json", &sleeper.pid()]));
    assert_eq!(shown["sets"]["permitted"], serde_json::json!(["CAP_CHOWN", "CAP_KILL"]));
    assert_eq!(shown["on_host"], true);
    let theirs = stdout(run("/usr/sbin/getpcaps", &[sleeper.pid()]));
    assert_eq!(theirs, format!("{}: cap_kill=eip cap_chown+ep", sleeper.pid()));
    let text = stdout(berth(&["caps", "show", &sleeper.pid()]));
    assert!(text.contains("permitted          0000000000000021  cap_chown,cap_kill"), "{text}");
}

#[test]
fn show_says_where_capabilities_hold() {
    let sleeper = Sleeper::new("unshare", &["-U", "-r"]);
    assert_eq!(json(berth(&["caps", "show", "--json", &sleeper.pid()]))["on_host"], false);
    assert!(stdout(berth(&["caps", "show", "--self"])).contains("securebits"));
    assert!(failure(berth(&["caps", "show", "2147483647"])).ends_with("there is no process 2147483647"));
}

#[test]
fn ls_lists_who_has_capabilities_and_nobody_else() {
    let with = Sleeper::new("env", &[]);
    let without = Sleeper::new("setpriv", &["--reuid=65534", "--clear-groups"]);
    let listed = json(berth(&["caps", "ls", "--json"]));
    let is_listed =
        |sleeper: &Sleeper| listed.as_array().unwrap().iter().any(|holder| holder["pid"] == sleeper.0.id());
    assert!(is_listed(&with) && !is_listed(&without));
}

#[test]
fn files_are_given_capabilities_as_with_setcap() {
    let scratch = Scratch::new("caps");
    let (file, other) = (scratch.file("a file"), scratch.file("sub/other"));
    berth(&["caps", "set", "cap_net_raw=ep", &file]);
    stdout(berth(&["caps", "set", "-n", "100000", "cap_kill=p", &other]));
    assert_eq!(stdout(run("/usr/sbin/getcap", &[&file])), format!("{file} cap_net_raw=ep"));
    let listed = stdout(berth(&["caps", "get", "-r", "-n", scratch.path()]));
    let mut lines: Vec<_> = listed.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, [format!("{file} cap_net_raw=ep"), format!("{other} cap_kill=p [rootid=100000]")]);

    assert_eq!(stdout(berth(&["caps", "set", "-v", "cap_net_raw+ep", &file])), format!("{file}: OK"));
    assert!(failure(berth(&["caps", "set", "-v", "cap_kill+ep", &file])).ends_with("has cap_net_raw=ep"));
    stdout(berth(&["caps", "rm", &file]));
    assert!(failure(berth(&["caps", "rm", &file])).ends_with("has no capabilities"));
    assert!(failure(berth(&["caps", "set", "cap_kill=ep cap_chown=p", &file])).contains("one effective bit"));
    assert!(failure(berth(&["caps", "set", "=ep", "/dev/null"])).contains("not a regular file"));
}

#[test]
fn run_gives_exactly_the_sets_that_setpriv_gives() {
    let cases = [
        (&["--bound=chown,kill"][..], &["--bounding-set=-all,+chown,+kill"][..]),
        (&["--drop=sys_admin,net_raw"], &["--bounding-set=-sys_admin,-net_raw"]),
        (&["--inh=kill", "--no-new-privs"], &["--inh-caps=-all,+kill", "--no-new-privs"]),
        (
            &["--user=65534", "--amb=net_raw,kill"],
            &[
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "--inh-caps=+net_raw,+kill",
                "--ambient-caps=+net_raw,+kill",
            ],
        ),
        (&["--user=nobody"], &["--reuid=65534", "--regid=65534", "--clear-groups"]),
        (&["--securebits=noroot"], &["--securebits=+noroot"]),
    ];
    let command = ["cat", "/proc/self/status"];
    for (ours, theirs) in cases {
        let seen = stdout(berth(&[&["caps", "run"], ours, &command].concat()));
        let expected = stdout(run("setpriv", &[theirs, &command].concat()));
        assert_eq!(cap_fields(&seen), cap_fields(&expected), "{ours:?}");
    }
}

#[test]
fn run_fails_rather_than_to_give_less() {
    let nobody =
        ["caps", "run", "--user=nobody", env!("CARGO_BIN_EXE_berth"), "caps", "run", "--amb=kill", "true"];
    assert!(failure(berth(&nobody)).contains("cap_kill can't be made"));
    assert_eq!(berth(&["caps", "run", "no such program"]).status.code(), Some(127));
    assert!(failure(berth(&["caps", "run", "--user=no one", "true"])).contains("/etc/passwd"));
}
