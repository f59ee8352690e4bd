//! Compiles the program for the same machine, with nothing but `core`: one call of rustc, no second cargo, no network.

use std::path::PathBuf;
use std::process::{Command, exit};

fn main() {
    let variable = |name: &str| std::env::var_os(name).unwrap_or_default();
    for source in ["src/program.rs", "../sys/src/bare.rs"] {
        println!("cargo:rerun-if-changed={source}");
    }
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--edition", "2024", "--crate-type", "bin", "--crate-name", "init"]);
    rustc.arg("--target").arg(variable("TARGET"));
    for option in
        ["panic=abort", "opt-level=z", "codegen-units=1", "strip=symbols", "relocation-model=static"]
    {
        rustc.args(["-C", option]);
    }
    rustc.args(["-C", "target-feature=+crt-static"]);
    for argument in
        ["-nostartfiles", "-nostdlib", "-static", "-Wl,--build-id=none,--gc-sections,-z,noseparate-code"]
    {
        rustc.arg("-C").arg(format!("link-arg={argument}"));
    }
    if let Some(linker) = std::env::var_os("RUSTC_LINKER") {
        rustc
            .arg("-C")
            .arg([std::ffi::OsStr::new("linker="), &linker].into_iter().collect::<std::ffi::OsString>());
    }
    rustc.arg("-o").arg(PathBuf::from(variable("OUT_DIR")).join("init")).arg("src/program.rs");
    match rustc.status() {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!("rustc: {status}")),
        Err(error) => fail(&format!("rustc can't be run: {error}")),
    }
}

fn fail(reason: &str) -> ! {
    eprintln!("the program of --init can't be compiled: {reason}");
    exit(1)
}
