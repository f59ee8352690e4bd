//! What can't be printed ends a command with a status, not with a panic.

use std::fs::File;
use std::process::Stdio;

use testkit::{Testbed, berth_binary};

fn status_with_stdout(stdout: impl Into<Stdio>) -> (Option<i32>, String) {
    let bed = Testbed::new();
    let output = std::process::Command::new(berth_binary())
        .args(["oci", "features"])
        .current_dir(bed.path())
        .stdout(stdout)
        .output()
        .expect("run berth");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_full_disk_is_an_error() {
    let full = File::options().write(true).open("/dev/full").expect("open /dev/full");
    let (status, told) = status_with_stdout(full);
    assert_eq!(status, Some(1));
    assert_eq!(told, "berth: write to stdout: No space left on device (os error 28)\n");
}

#[test]
fn a_reader_that_is_gone_wants_nothing() {
    let (reader, writer) = std::io::pipe().expect("make a pipe");
    drop(reader);
    assert_eq!(status_with_stdout(writer), (Some(141), String::new()));
}
