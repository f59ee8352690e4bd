//! Nothing gets out of a container under default flags.

use std::process::Command;

use testkit::berth_binary;

#[test]
fn nothing_gets_out_under_default_flags() {
    let output = Command::new(env!("CARGO_BIN_EXE_proof"))
        .args(["escapes", "--berth"])
        .arg(berth_binary())
        .output()
        .expect("run proof");
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{table}\n{}", String::from_utf8_lossy(&output.stderr));
    // The attempts are real ones: without barriers some get through.
    assert!(table.contains("through"), "{table}");
}
