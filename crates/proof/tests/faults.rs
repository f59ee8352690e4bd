//! The short form of `cargo xtask faults`: a hundred or so of all faults, always the same ones.

use std::process::Command;

use testkit::berth_binary;

/// How many.
const BUDGET: &str = "120";

#[test]
fn what_is_interrupted_anywhere_is_recovered_from() {
    let output = Command::new(env!("CARGO_BIN_EXE_proof"))
        .args(["faults", "--budget", BUDGET, "--berth"])
        .arg(berth_binary())
        .output()
        .expect("run proof");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains(" 0 lost"), "{told}");
}
