//! Decides whether `src/start.rs` starts libc, or libc itself.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// The release of glibc that the start was written for: Debian 12's.
const GLIBC: &[u8] = b"stable release version 2.36.";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(own_start)");
    if is_static() && libc().and_then(|path| std::fs::read(path).ok()).is_some_and(|text| contains(&text)) {
        println!("cargo::rustc-cfg=own_start");
    }
}

/// A static program for x86-64 that is loaded where it was linked for.
fn is_static() -> bool {
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|is| is == value);
    let has = |name: &str, part: &str| env::var(name).is_ok_and(|all| all.contains(part));
    is("CARGO_CFG_TARGET_ARCH", "x86_64")
        && is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && has("CARGO_CFG_TARGET_FEATURE", "crt-static")
        && has("CARGO_ENCODED_RUSTFLAGS", "relocation-model=static")
}

/// The archive that the linker will use.
fn libc() -> Option<PathBuf> {
    let output = Command::new("cc").arg("-print-file-name=libc.a").output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_absolute().then_some(path)
}

fn contains(text: &[u8]) -> bool {
    text.windows(GLIBC.len()).any(|part| part == GLIBC)
}
