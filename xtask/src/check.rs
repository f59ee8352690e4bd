//! `cargo xtask check`: everything that can be judged without running berth.

use std::process::Command;

use crate::process::{self, Failure, Outcome, cargo};
use crate::{arrows, docs};

/// The largest file that may be committed, in bytes.
const LARGEST_FILE: u64 = 1 << 20;

/// Cheap checks first, so that a slip is known at once.
pub fn run(_: &[String]) -> Outcome {
    process::run(cargo().args(["fmt", "--all", "--check"]))?;
    file_sizes()?;
    arrows::run(&[])?;
    process::run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    // Nobody but us reads these pages, and we read about what is private too.
    let doc = ["doc", "--no-deps", "--workspace", "--document-private-items"];
    process::run(cargo().args(doc).env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"))?;
    docs::check()?;
    println!("check: all is well");
    Ok(())
}

/// A repository is for sources: what is larger belongs into a recipe that makes it.
fn file_sizes() -> Outcome {
    let list = process::read(Command::new("git").current_dir(process::root()).args(["ls-files", "-z"]))?;
    let mut large = Vec::new();
    for path in list.split_terminator('\0') {
        // A tracked file that is gone from the working tree is about to be deleted.
        let Ok(metadata) = process::root().join(path).symlink_metadata() else { continue };
        if metadata.len() > LARGEST_FILE {
            large.push(format!("{path}: {} bytes, at most {LARGEST_FILE} may be committed", metadata.len()));
        }
    }
    if large.is_empty() { Ok(()) } else { Err(Failure::new(large.join("\n"))) }
}
