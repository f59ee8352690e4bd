//! What build scripts share that compile a program over `src/bare.rs`: for the same machine, with nothing but `core`, by
//! one call of rustc, without a second cargo or the network.

use std::path::PathBuf;
use std::process::{Command, exit};

/// Compiles `src/program.rs` of the crate, which consists of `sources` beside it, to `$OUT_DIR/NAME`.
pub fn compile(name: &str, sources: &[&str]) {
    let variable = |name: &str| std::env::var_os(name).unwrap_or_default();
    for source in ["src/program.rs", "../sys/src/bare.rs", "../sys/bare_program.rs"].iter().chain(sources) {
        println!("cargo:rerun-if-changed={source}");
    }
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--edition", "2024", "--crate-type", "bin", "--crate-name", name]);
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
        let mut option = std::ffi::OsString::from("linker=");
        option.push(linker);
        rustc.arg("-C").arg(option);
    }
    rustc.arg("-o").arg(PathBuf::from(variable("OUT_DIR")).join(name)).arg("src/program.rs");
    let reason = match rustc.status() {
        Ok(status) if status.success() => return,
        Ok(status) => format!("rustc: {status}"),
        Err(error) => format!("rustc can't be run: {error}"),
    };
    eprintln!("the program {name} can't be compiled: {reason}");
    exit(1)
}
