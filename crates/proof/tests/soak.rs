//! The short form of `cargo xtask soak`.

use std::process::Command;

use testkit::berth_binary;

#[test]
fn many_commands_at_once_leave_what_is_true_and_then_nothing() {
    let output = Command::new(env!("CARGO_BIN_EXE_proof"))
        .args(["soak", "--seconds", "6", "--parallel", "8", "--berth"])
        .arg(berth_binary())
        .output()
        .expect("run proof");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains(" 0 failures, 0 leaks"), "{told}");
}
