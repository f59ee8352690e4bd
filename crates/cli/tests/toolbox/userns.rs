//! `berth userns` beside the kernel.

use crate::support::{Scratch, Sleeper, berth, failure, json, run, stdout};

const INNER: &str = "/proc/self/uid_map";

/// Root of 1000 ids from 100000 on.
const MAPPED: &[&str] =
    &["ns", "new", "--map-users=0:100000:1000", "--map-groups=0:200000:1000", "-S0", "-G0"];

fn mapped() -> Sleeper {
    Sleeper::new(env!("CARGO_BIN_EXE_berth"), MAPPED)
}

#[test]
fn maps_are_shown_through_two_levels() {
    let berth_program = env!("CARGO_BIN_EXE_berth");
    let nested =
        [MAPPED, &[berth_program, "ns", "new", "--map-users=5:10:20", "--map-groups=5:10:20"]].concat();
    let sleeper = Sleeper::new(berth_program, &nested);
    let shown = json(berth(&["userns", "map", "--json", &sleeper.pid()]));
    let levels = shown["levels"].as_array().unwrap();
    assert_eq!(levels.len(), 3);
    assert_eq!(levels[0]["users"]["parent"], serde_json::json!(["5:10:20"]));
    assert_eq!(levels[0]["users"]["caller"], serde_json::json!(["5:100010:20"]));
    assert_eq!(levels[0]["groups"]["caller"], serde_json::json!(["5:200010:20"]));
    let text = stdout(berth(&["userns", "explain", &sleeper.pid(), "7"]));
    assert_eq!(text, "user 7 → 12 → 100012 (100012)");
}

#[test]
fn explain_agrees_with_the_kernel_about_files() {
    let (scratch, sleeper) = (Scratch::new("access"), mapped());
    let cases = [
        ("100005:200005", "600"),
        ("100000:200000", "400"),
        ("0:0", "600"),
        ("0:0", "644"),
        ("100001:0", "660"),
        ("0:0", "666"),
    ];
    for (number, (owner, mode)) in cases.iter().enumerate() {
        let file = scratch.file(&number.to_string());
        stdout(run("chown", &[*owner, &file]));
        stdout(run("chmod", &[*mode, &file]));
        stdout(run("chmod", &["755", scratch.path()]));
        let told = json(berth(&["userns", "explain", "--json", &sleeper.pid(), "--file", &file]));
        for (option, key) in [("-r", "read"), ("-w", "write"), ("-x", "execute")] {
            let seen =
                berth(&["ns", "enter", "-t", &sleeper.pid(), "-U", "test", option, &file]).status.success();
            assert_eq!(told["file"][key], seen, "{key} {owner} {mode}: {told}");
        }
    }
}

#[test]
fn set_writes_maps_and_foresees_refusals() {
    let sleeper = Sleeper::new("unshare", &["-U"]);
    let pid = sleeper.pid();
    stdout(berth(&["userns", "set", &pid, "--uid", "0:100000:10", "--uid", "10:0:1", "--gid", "0:0:1"]));
    let written = stdout(run("cat", &[INNER.replace("self", &pid)]));
    assert_eq!(written.split_whitespace().collect::<Vec<_>>(), ["0", "100000", "10", "10", "0", "1"]);
    let again = failure(berth(&["userns", "set", &pid, "--uid", "0:0:1"]));
    assert!(again.contains("one write in the life of a namespace"), "{again}");
    let own = failure(berth(&["userns", "set", "1", "--uid", "0:0:1"]));
    assert!(!own.is_empty());
    assert!(failure(berth(&["userns", "set", &pid])).contains("nothing to write"));
}

#[test]
fn set_goes_through_newuidmap_for_ordinary_users() {
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let sleeper = Sleeper::new("setpriv", &[&nobody[..], &["unshare", "-U"]].concat());
    let pid = sleeper.pid();
    let set = |arguments: &[&str]| {
        let words = [&nobody[..], &[env!("CARGO_BIN_EXE_berth"), "userns", "set", &pid], arguments].concat();
        run("setpriv", &words)
    };
    let foreseen = set(&["-n", "--uid", "0:5000:10", "--gid", "0:65534:1"]);
    let told = String::from_utf8(foreseen.stdout).unwrap();
    assert!(
        told.contains("without CAP_SETUID only one user can be mapped, the caller's own 65534"),
        "{told}"
    );
    assert!(told.contains("--setgroups deny"), "{told}");
    assert!(failure(set(&["--uid", "0:5000:10"])).contains("newuidmap refused"));
    stdout(set(&["--uid", "0:65534:1", "--gid", "0:65534:1", "--setgroups", "deny"]));
}
