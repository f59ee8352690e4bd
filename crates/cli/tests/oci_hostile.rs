//! Configurations of hostile origin: whatever they say, the runtime ends in time with an answer, and stays small.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Bundle, Finished, Invocation, Testbed, berth_binary, default_spec};

/// As much of its own memory as the runtime may map, in bytes: with its program it has less than 64 MiB resident then.
/// More of it is refused by the kernel, which ends the runtime by a signal.
const MEMORY: u64 = 56 << 20;
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs the runtime on a bundle with bounded memory, and checks that it did not crash.
#[track_caller]
fn try_out(bed: &Testbed, bundle: &Path, flags: &[&str]) -> Finished {
    let state = bed.state_dir();
    let run = Invocation::new(bed, "prlimit")
        .arg(format!("--data={MEMORY}"))
        .arg(berth_binary())
        .args(["oci", "--root", state.to_str().unwrap(), "run"])
        .args(flags)
        .args(["--bundle", bundle.to_str().unwrap(), &bed.id()])
        .deadline(DEADLINE)
        .output();
    // A panic gives 101, or a signal.
    assert!(matches!(run.status.code(), Some(0 | 1)), "{}: {:.2000}", run.status, run.stderr());
    run
}

fn write(bundle: &Bundle, config: impl AsRef<[u8]>) {
    fs::write(bundle.path().join("config.json"), config).unwrap();
}

/// Tries a text as config.json, which must be refused.
#[track_caller]
fn refused(text: impl AsRef<[u8]>) -> String {
    let bed = Testbed::new();
    let bundle = bed.bundle();
    write(&bundle, text);
    let run = try_out(&bed, bundle.path(), &[]);
    assert_eq!(run.status.code(), Some(1), "was not refused");
    run.stderr()
}

#[test]
fn what_is_no_json_is_refused() {
    let cut = serde_json::to_string(&default_spec()).unwrap();
    for text in ["", "null", "[]", "7", "\"\"", "{", "{\"a\":}", "\u{feff}{}", &cut[..cut.len() - 1]] {
        refused(text);
    }
    refused(b"{\"hostname\": \"\xff\xfe\"}");
    refused(vec![0; 4096]);
}

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = open.repeat(1_000_000) + "1" + &close.repeat(1_000_000);
        refused(&deep);
        refused(format!("{{\"annotations\": {deep}}}"));
        refused(format!("{{\"x-unknown\": {deep}}}"));
    }
}

#[test]
fn a_configuration_that_never_ends_is_refused() {
    let bed = Testbed::new();
    let bundle = bed.bundle();
    let config = bundle.path().join("config.json");
    for endless in ["/dev/zero", "/dev/tty", "/dev/null"] {
        fs::remove_file(&config).unwrap();
        std::os::unix::fs::symlink(endless, &config).unwrap();
        assert_eq!(try_out(&bed, bundle.path(), &[]).status.code(), Some(1), "{endless}");
    }
    fs::remove_file(&config).unwrap();
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, &config, kind, mode, 0).unwrap();
    assert_eq!(try_out(&bed, bundle.path(), &[]).status.code(), Some(1), "a FIFO");
    fs::remove_file(&config).unwrap();
    fs::create_dir(&config).unwrap();
    assert_eq!(try_out(&bed, bundle.path(), &[]).status.code(), Some(1), "a directory");
}

#[test]
fn a_hundred_thousand_mounts_are_refused_and_ten_thousand_planned() {
    let bed = Testbed::new();
    let mut bundle = bed.bundle();
    let mount = |i| json!({"destination": format!("/tmp/{i}"), "type": "tmpfs", "source": "tmpfs"});
    bundle.edit(|spec| spec["mounts"].as_array_mut().unwrap().extend((0..100_000).map(mount)));
    assert_eq!(try_out(&bed, bundle.path(), &[]).status.code(), Some(1));
    write(&bundle, format!("{{\"mounts\": [{}{{}}]}}", "{},".repeat(2_000_000)));
    let run = try_out(&bed, bundle.path(), &[]);
    assert_eq!(run.status.code(), Some(1));
    assert!(run.stderr().contains("2000002 objects"), "{:.2000}", run.stderr());

    bundle.edit(|spec| spec["mounts"].as_array_mut().unwrap().truncate(10_000));
    assert_eq!(try_out(&bed, bundle.path(), &["--dry-run"]).status.code(), Some(0));
    bundle.edit(|spec| {
        let mounts = spec["mounts"].as_array_mut().unwrap();
        mounts.truncate(2_000);
        mounts.push(json!({"destination": "/mnt", "source": "/no/such/source", "options": ["bind"]}));
    });
    let run = try_out(&bed, bundle.path(), &[]);
    assert_eq!(run.status.code(), Some(1));
    assert!(run.stderr().contains("/no/such/source"), "{:.2000}", run.stderr());
}

#[test]
fn long_lists_and_texts_are_planned_or_refused() {
    let long = "x".repeat(7 << 20);
    let many = |count: usize, value: Value| Value::Array(vec![value; count]);
    let cases: [(&str, Value); 12] = [
        ("/process/args", many(100_000, json!("true"))),
        ("/process/env", many(100_000, json!("A=1"))),
        ("/process/args", json!(["true", long])),
        ("/process/cwd", json!(format!("/{long}"))),
        ("/process/rlimits", many(100_000, json!({"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}))),
        ("/hostname", json!(long)),
        ("/root/path", json!(long)),
        ("/mounts/0/destination", json!("/a".repeat(1 << 20))),
        ("/linux/namespaces", many(100_000, json!({"type": "pid"}))),
        ("/linux/maskedPaths", many(100_000, json!("/proc/kcore"))),
        ("/linux/readonlyPaths", many(100_000, json!("/nothing"))),
        ("/linux/resources/devices", many(100_000, json!({"allow": true, "access": "r"}))),
    ];
    let bed = Testbed::new();
    let bundle = bed.bundle();
    for (place, value) in cases {
        let mut spec = default_spec();
        *spec.pointer_mut(place).unwrap_or_else(|| panic!("{place} in the default spec")) = value;
        write(&bundle, spec.to_string());
        println!("{place}: {:?}", try_out(&bed, bundle.path(), &["--dry-run"]).status);
    }
}

/// The places of all values in a document.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| places(value, &format!("{at}/{key}"), found));
        }
        // The others are like the first.
        Value::Array(items) => items.iter().take(1).for_each(|item| places(item, &format!("{at}/0"), found)),
        _ => {}
    }
}

#[test]
fn any_value_may_be_anything() {
    let junk = [
        "null",
        "-1",
        "18446744073709551616",
        "1e999",
        "0.5",
        "true",
        "\"\"",
        "\"a\\u0000b\"",
        "\"../../..\"",
        "[[]]",
        "{\"\": {}}",
    ];
    let spec = default_spec();
    let mut all = Vec::new();
    places(&spec, "", &mut all);
    let bed = Testbed::new();
    let bundle = bed.bundle();
    let marker = "-the-junk-";
    for place in &all {
        let mut spoilt = spec.clone();
        *spoilt.pointer_mut(place).unwrap() = json!(marker);
        let text = spoilt.to_string();
        for junk in junk {
            write(&bundle, text.replace(&format!("\"{marker}\""), junk));
            let run = bed
                .runtime()
                .command(["run", "--dry-run", "--bundle", bundle.arg(), &bed.id()])
                .deadline(DEADLINE)
                .output();
            assert!(
                matches!(run.status.code(), Some(0 | 1)),
                "{place} = {junk}: {}: {}",
                run.status,
                run.stderr()
            );
        }
    }
}
