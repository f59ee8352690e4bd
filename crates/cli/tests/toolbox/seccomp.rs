//! `berth seccomp` beside the kernel.

use crate::support::{Scratch, Sleeper, berth, failure, json, stdout, until};

const PROFILE: &str = r#"{
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13 },
        { "names": ["personality"], "action": "SCMP_ACT_KILL_PROCESS", "args": [{ "index": 0, "value": 8, "op": "SCMP_CMP_EQ" }] }
    ]
}"#;

fn profile(scratch: &Scratch) -> String {
    let file = scratch.file("profile.json");
    std::fs::write(&file, PROFILE).unwrap();
    file
}

#[test]
fn calls_meet_what_the_profile_says() {
    let scratch = Scratch::new("seccomp");
    let file = profile(&scratch);
    let action = |words: &[&str]| {
        let answer = json(berth(&[&["seccomp", "test", "--json", &file][..], words].concat()));
        answer["action"].as_str().unwrap().to_owned()
    };
    assert_eq!(action(&["mkdir"]), "ERRNO(13)");
    assert_eq!(action(&["read", "0", "-1"]), "ALLOW");
    assert_eq!(action(&["personality", "0x8"]), "KILL_PROCESS");
    assert_eq!(action(&["personality", "9"]), "ALLOW");
    assert!(failure(berth(&["seccomp", "test", &file, "no_such_call"])).contains("has no system call"));
    assert!(
        failure(berth(&["seccomp", "test", "/no/file", "read"])).contains("is no file, process or container")
    );
}

#[test]
fn the_default_profile_follows_capabilities() {
    let without = json(berth(&["seccomp", "test", "--json", "default", "mount"]));
    let with = json(berth(&["seccomp", "test", "--json", "--caps", "sys_admin", "default", "mount"]));
    assert!(without["action"].as_str().unwrap().starts_with("ERRNO"), "{without}");
    assert_eq!(with["action"], "ALLOW");
}

#[test]
fn programs_are_listed_and_written() {
    let scratch = Scratch::new("seccomp-compile");
    let (file, program) = (profile(&scratch), scratch.file("program"));
    let listing = stdout(berth(&["seccomp", "compile", &file]));
    assert!(listing.contains("ERRNO(13)"), "{listing}");
    stdout(berth(&["seccomp", "compile", "-o", &program, &file]));
    let size = std::fs::metadata(&program).unwrap().len();
    assert_eq!(size, 8 * listing.lines().count() as u64);
    std::fs::write(&file, r#"{"ociVersion": "1.0.0", "linux": {}}"#).unwrap();
    assert!(failure(berth(&["seccomp", "compile", &file])).contains("has no linux.seccomp"));
    std::fs::write(&file, "{").unwrap();
    assert!(failure(berth(&["seccomp", "compile", &file])).contains("is no seccomp profile"));
}

/// `sleep` under two filters: perl can make any system call.
fn filtered() -> Sleeper {
    // Two filters: mkdir (83) gets EPERM; all else is allowed. Then one that allows everything.
    let script = r#"
        use strict;
        sub install {
            my $code = join "", map { pack "SCCL", @$_ } @_;
            my $program = pack "S x6 P", scalar @_, $code;
            syscall(317, 1, 0, unpack "Q", pack "P", $program) == 0 or die "seccomp: $!";
        }
        syscall(157, 38, 1, 0, 0, 0) == 0 or die "no_new_privs: $!";
        install([0x20, 0, 0, 0], [0x15, 0, 1, 83], [0x06, 0, 0, 0x50001], [0x06, 0, 0, 0x7fff0000]);
        install([0x06, 0, 0, 0x7fff0000]);
        exec @ARGV;
    "#;
    Sleeper::new("perl", &["-e", script])
}

#[test]
fn filters_in_force_are_read_back() {
    let sleeper = filtered();
    let shown = json(berth(&["seccomp", "show", "--json", &sleeper.pid()]));
    assert_eq!((&shown["filters"], &shown["mode"]), (&2.into(), &"filter".into()));
    let listing = stdout(berth(&["seccomp", "show", "--list", &sleeper.pid()]));
    assert!(listing.contains("filter 1") && listing.contains("ERRNO(1)"), "{listing}");
    let action = |call| json(berth(&["seccomp", "test", "--json", &sleeper.pid(), call]))["action"].clone();
    assert_eq!(action("mkdir"), "ERRNO(1)");
    assert_eq!(action("rmdir"), "ALLOW");
    // It was stopped for a moment, and sleeps on.
    until(|| std::fs::read_to_string(format!("/proc/{}/stat", sleeper.pid())).unwrap().contains(") S "));
}

#[test]
fn a_process_without_a_filter_may_call_everything() {
    let sleeper = Sleeper::new("env", &[]);
    assert!(
        stdout(berth(&["seccomp", "show", "--list", &sleeper.pid()])).starts_with("seccomp            off")
    );
    assert_eq!(json(berth(&["seccomp", "test", "--json", &sleeper.pid(), "mount"]))["action"], "ALLOW");
}
