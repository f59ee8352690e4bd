//! `berth ns` beside lsns, nsenter and unshare.

use std::collections::BTreeSet;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Sleeper, berth, failure, json, run, stdout, until};

const NEW: &[&str] = &["-m", "-u", "-i", "-n", "-C", "-U", "-r"];
const LINKS: &str = "readlink /proc/self/ns/mnt /proc/self/ns/uts /proc/self/ns/net /proc/self/ns/user \
                     /proc/self/ns/pid /proc/self/ns/ipc /proc/self/ns/cgroup";

fn rows(listing: &Value) -> BTreeSet<(u64, String, u64)> {
    let row =
        |row: &Value| Some((row["ns"].as_u64()?, row["type"].as_str()?.to_owned(), row["pid"].as_u64()?));
    listing["namespaces"].as_array().unwrap().iter().map(|entry| row(entry).unwrap()).collect()
}

#[test]
fn ls_finds_what_lsns_finds() {
    let sleeper = Sleeper::new("unshare", NEW);
    let columns = "NS,TYPE,PID";
    let ours = json(berth(&["ns", "ls", "-J", "-p", &sleeper.pid(), "-o", columns]));
    let theirs = json(run("lsns", &["-J", "-p", &sleeper.pid(), "-o", columns]));
    let own = |listing: &Value| {
        let pid = u64::from(sleeper.0.id());
        rows(listing).into_iter().filter(|(_, _, leader)| *leader == pid).collect::<BTreeSet<_>>()
    };
    assert_eq!(own(&ours), own(&theirs));
    assert_eq!(own(&ours).len(), 6);
}

#[test]
fn ls_knows_owners_and_parents() {
    let sleeper = Sleeper::new("unshare", NEW);
    let listing = json(berth(&["ns", "ls", "-J", "--output-all", "-p", &sleeper.pid()]));
    let find = |kind: &str| {
        let all = listing["namespaces"].as_array().unwrap();
        all.iter().find(|entry| entry["type"] == kind).unwrap().clone()
    };
    assert_eq!(find("net")["ons"], find("user")["ns"]);
    assert_eq!(find("user")["pns"], find("time")["ons"], "the time namespace is still the host's");
}

#[test]
fn ls_shows_namespaces_that_only_a_mount_keeps() {
    let script = r#"
        set -e
        file=$(mktemp)
        "$0" ns new --net="$file" true
        "$0" ns ls -t net -n -o NPROCS,NSFS,PATH | grep "$file"
        umount "$file"
        rm "$file"
    "#;
    let found = stdout(berth(&["ns", "new", "-m", "sh", "-c", script, env!("CARGO_BIN_EXE_berth")]));
    assert!(found.trim_start().starts_with("0 "), "{found}");
}

#[test]
fn ls_survives_names_that_are_not_utf8_and_processes_that_come_and_go() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let mut odd = Command::new("unshare");
    odd.arg0(OsStr::from_bytes(b"\xff\x1b[2J")).args(["-n", "sleep", "300", "--"]);
    let odd = odd.arg(OsStr::from_bytes(b"\xfe\n")).stderr(Stdio::null()).spawn().map(Sleeper).unwrap();
    let zombie = Sleeper::new("unshare", &["-n"]);
    run("kill", &[zombie.pid()]);
    let mut churn =
        Command::new("sh").args(["-c", "while :; do true | true; done"]).spawn().map(Sleeper).unwrap();
    for _ in 0..20 {
        let listing = json(berth(&["ns", "ls", "-J"]));
        assert!(listing["namespaces"].as_array().unwrap().len() >= 8);
    }
    churn.0.kill().unwrap();
    drop(odd);
}

#[test]
fn show_tells_own_from_shared() {
    let sleeper = Sleeper::new("unshare", &["-n"]);
    let shown = json(berth(&["ns", "show", "--json", &sleeper.pid()]));
    for membership in shown["namespaces"].as_array().unwrap() {
        assert_eq!(membership["shared"], membership["type"] != "net", "{membership}");
    }
    assert!(failure(berth(&["ns", "show", "2147483647"])).ends_with("there is no process 2147483647"));
    assert!(failure(berth(&["ns", "show", "nobody's"])).contains("neither a process id nor a container"));
}

#[test]
fn enter_goes_where_nsenter_goes() {
    let sleeper = Sleeper::new("unshare", NEW);
    let pid = sleeper.pid();
    let expected = stdout(run("sh", &["-c", &LINKS.replace("self", &pid)]));
    let options = ["-t", &pid, "-a"];
    let command = ["sh", "-c", LINKS];
    let ours = stdout(berth(&[&["ns", "enter"][..], &options, &command].concat()));
    let theirs = stdout(run("nsenter", &[&options[..], &command].concat()));
    assert_eq!(ours, expected);
    assert_eq!(theirs, expected);
}

#[test]
fn enter_takes_files_attached_to_short_options() {
    let sleeper = Sleeper::new("unshare", &["-n", "-u"]);
    let file = format!("/proc/{}/ns/net", sleeper.pid());
    let expected = stdout(run("readlink", &[&file]));
    for option in [format!("-n{file}"), format!("--net={file}")] {
        assert_eq!(stdout(berth(&["ns", "enter", &option, "readlink", "/proc/self/ns/net"])), expected);
    }
    let wrong = failure(berth(&["ns", "enter", &format!("--uts={file}"), "true"]));
    assert!(wrong.ends_with("is a namespace of type net, not uts"), "{wrong}");
}

#[test]
fn enter_takes_root_directory_and_environment_of_the_target() {
    let mut target = Command::new("unshare");
    target.args(["-m", "-w", "/usr", "sleep", "300"]).env("MARK", "x y");
    let target = target.spawn().map(Sleeper).expect("unshare of util-linux");
    until(|| std::fs::read(format!("/proc/{}/comm", target.pid())).unwrap() == b"sleep\n");
    let pid = target.pid();
    assert_eq!(stdout(berth(&["ns", "enter", "-t", &pid, "-e", "sh", "-c", "echo $MARK"])), "x y");
    assert_eq!(stdout(berth(&["ns", "enter", "-t", &pid, "-w", "pwd"])), "/usr");
    assert_eq!(stdout(berth(&["ns", "enter", "-t", &pid, "-m", "pwd"])), "/");
    let inside_usr = stdout(berth(&["ns", "enter", "--root=/usr", "-W", "/share", "/bin/sh", "-c", "pwd"]));
    assert_eq!(inside_usr, "/share");
}

#[test]
fn new_maps_the_caller_to_root() {
    let seen =
        stdout(berth(&["ns", "new", "-r", "sh", "-c", "id -u; cat /proc/self/uid_map /proc/self/setgroups"]));
    let words: Vec<&str> = seen.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "0", "1", "deny"]);
}

#[test]
fn new_maps_ranges_as_unshare_does() {
    let options = ["--map-user=5", "--map-group=5", "--map-users=200000,0,10", "--map-groups=300000,0,10"];
    let command = ["sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map"];
    let ours = stdout(berth(&[&["ns", "new"][..], &options, &command].concat()));
    let expected = "5 0 1 0 200000 5 6 200005 4 5 0 1 0 300000 5 6 300005 4";
    assert_eq!(ours.split_whitespace().collect::<Vec<_>>().join(" "), expected);
    let with_colons = ["ns", "new", "--map-users=0:200000:10", "cat", "/proc/self/uid_map"];
    assert_eq!(stdout(berth(&with_colons)).split_whitespace().collect::<Vec<_>>(), ["0", "200000", "10"]);
}

#[test]
fn new_pid_namespaces_begin_at_one_and_see_their_own_proc() {
    let seen = stdout(berth(&[
        "ns",
        "new",
        "-p",
        "-f",
        "--mount-proc",
        "sh",
        "-c",
        "echo $$; ls /proc | grep -c '^[0-9]'",
    ]));
    let numbers: Vec<u32> = seen.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers[0], 1);
    assert!(numbers[1] <= 4, "{seen}");
}

#[test]
fn new_shifts_the_clocks_of_a_time_namespace() {
    let uptime = stdout(berth(&["ns", "new", "-T", "-f", "--boottime", "10000000", "cat", "/proc/uptime"]));
    assert!(uptime.split('.').next().unwrap().parse::<u64>().unwrap() >= 10_000_000, "{uptime}");
    assert!(failure(berth(&["ns", "new", "--boottime", "1", "true"])).contains("add --time"));
}

#[test]
fn new_and_enter_end_as_their_program_ends() {
    assert_eq!(berth(&["ns", "new", "-f", "sh", "-c", "exit 42"]).status.code(), Some(42));
    assert_eq!(berth(&["ns", "new", "-f", "sh", "-c", "kill -9 $$"]).status.signal(), Some(9));
    assert_eq!(berth(&["ns", "enter", "no such program"]).status.code(), Some(127));
    assert_eq!(berth(&["ns", "enter", "/etc/passwd"]).status.code(), Some(126));
}

#[test]
fn new_says_beforehand_what_cannot_be() {
    assert!(failure(berth(&["ns", "new", "--pid=/dev/null", "true"])).contains("add --fork"));
    assert!(
        failure(berth(&["ns", "new", "-r", "--setgroups=allow", "true"])).contains("the kernel demands deny")
    );
    assert!(failure(berth(&["ns", "new", "--map-users=0:0:0", "true"])).contains("is empty"));
    assert!(failure(berth(&["ns", "new", "--net=/no/file", "true"])).contains("the file must exist"));
}

#[test]
fn a_killed_parent_takes_the_child_with_it() {
    let parent =
        Command::new(env!("CARGO_BIN_EXE_berth")).args(["ns", "new", "--kill-child", "sleep", "300"]).spawn();
    let mut parent = Sleeper(parent.unwrap());
    let children = format!("/proc/{0}/task/{0}/children", parent.pid());
    let mut child = String::new();
    until(|| {
        child = std::fs::read_to_string(&children).unwrap().trim().to_owned();
        std::fs::read(format!("/proc/{child}/comm")).is_ok_and(|name| name == b"sleep\n")
    });
    parent.0.kill().unwrap();
    parent.0.wait().unwrap();
    until(|| {
        std::fs::read_to_string(format!("/proc/{child}/stat")).map_or(true, |stat| stat.contains(") Z "))
    });
}
