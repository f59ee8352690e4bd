//! `cargo xtask vm-test`: the tests that need cgroup v2 with all controllers, systemd or AppArmor, in a
//! Debian machine under qemu.
//!
//! ```text
//! image    mmdebstrap -> root.ext4, kernel, initramfs    cached by a hash of the recipe
//! payload  test programs + berth + `run` -> payload.ext4  a second, read-only disk
//! machine  qemu without KVM; `run` writes to the second serial port
//! report   those lines -> ordinary test lines and a count
//! ```
//!
//! Which programs run there, and as whom, follows from their names: see [`payload`].

mod image;
mod machine;
mod payload;
mod report;

use std::fs;
use std::path::PathBuf;

use crate::process::{self, Context, Failure, Outcome};
use crate::tally::Tally;

/// What is asked of the machine.
#[derive(Debug, Default, Clone)]
pub struct Request {
    /// Only the tests that can't run on the host.
    pub short: bool,
    /// A root shell on this terminal when the tests are done.
    pub keep: bool,
    /// Passed to each test program.
    pub filter: Vec<String>,
}

/// `vm-test [--short] [--keep] [-- FILTER]`
pub fn run(args: &[String]) -> Outcome {
    let tally = test(&parse(args)?)?;
    println!("{tally}");
    tally.into_outcome()
}

/// Boots the machine and counts the results.
pub fn test(request: &Request) -> Outcome<Tally> {
    let image = image::prepare()?;
    let payload = payload::pack(request)?;
    if payload.programs == 0 {
        println!("vm: there is no test for it");
        return Ok(Tally::default());
    }
    machine::run(&image, &payload, request)
}

/// Where images are cached, and runs keep their files.
fn work_dir() -> Outcome<PathBuf> {
    let dir = process::target_dir().join("vm");
    fs::create_dir_all(&dir).context(dir.display())?;
    Ok(dir)
}

fn parse(args: &[String]) -> Outcome<Request> {
    let mut request = Request::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--short" => request.short = true,
            "--keep" => request.keep = true,
            "--" => request.filter = args.by_ref().cloned().collect(),
            _ => return Err(Failure::new(format!("{arg:?} is none of --short, --keep, --"))),
        }
    }
    Ok(request)
}
