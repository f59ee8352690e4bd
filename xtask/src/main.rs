//! `cargo xtask`: the front door for contributors.
//!
//! Each command is one row of [`COMMANDS`] and one module.

mod arrows;
mod bench;
mod berth;
mod check;
mod dist;
mod docs;
mod first_container;
mod fuzz;
mod packages;
mod process;
mod proof;
mod sbom;
mod suites;
mod tally;
mod test;
mod vm;

use std::process::ExitCode;

use process::Outcome;

/// One command of the front door.
struct Command {
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Outcome,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "check",
        usage: "",
        about: "format, clippy, arrows between crates, file sizes, documentation",
        run: check::run,
    },
    Command { name: "arrows", usage: "", about: "who may use whom among the crates", run: arrows::run },
    Command {
        name: "test",
        usage: "[-- FILTER]",
        about: "install what tests need (as root), then every test and the short VM suite",
        run: test::run,
    },
    Command {
        name: "try",
        usage: "[COMMAND [ARG]…]",
        about: "build berth and run a command in a container made of this machine's programs",
        run: first_container::run,
    },
    Command { name: "docs", usage: "", about: "write docs/commands from --help", run: docs::run },
    Command {
        name: "bench",
        usage: "[oci|image|engine] [--runs N] [--quick] [--peer NAME=PATH]… [--cpus 0,1] [--clock wall|cpu] [--markdown FILE]",
        about: "build with all optimisation and measure berth beside its peers",
        run: bench::run,
    },
    Command {
        name: "faults",
        usage: "[--kill | --errors] [--budget N] [--skip N] [--jobs N] [FILTER]",
        about: "kill berth at each system call in turn, or let the call fail, and see what is left",
        run: proof::faults,
    },
    Command {
        name: "escapes",
        usage: "[--markdown FILE]",
        about: "try to get out of containers, and tell which barrier stopped each attempt",
        run: proof::escapes,
    },
    Command {
        name: "fuzz",
        usage: "[--seconds 60] [TARGET]",
        about: "feed what parses foreign bytes with inputs that libFuzzer finds",
        run: fuzz::run,
    },
    Command {
        name: "soak",
        usage: "[--seconds 300] [--parallel 16]",
        about: "any commands, many at once; what is said must be true throughout, and nothing may be left",
        run: proof::soak,
    },
    Command {
        name: "dist",
        usage: "[--verify]",
        about: "what is released: archive, Debian package, SBOM, checksums; --verify: two builds, the same bytes",
        run: dist::run,
    },
    Command {
        name: "vm-test",
        usage: "[--short] [--keep] [-- FILTER]",
        about: "tests that need cgroup v2, systemd or AppArmor, in a machine under qemu",
        run: vm::run,
    },
    Command {
        name: "suite",
        usage: suites::USAGE,
        about: "a runtime against suites of other projects, see docs/foreign-suites.md",
        run: suites::run,
    },
];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_default();
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        print_usage(&name);
        return ExitCode::from(2);
    };
    match (command.run)(&args.collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask {name}: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn print_usage(unknown: &str) {
    if !unknown.is_empty() && !unknown.starts_with('-') {
        eprintln!("xtask: there is no command {unknown:?}");
    }
    eprintln!("usage: cargo xtask COMMAND");
    for command in COMMANDS {
        eprintln!("  {} {}\n      {}", command.name, command.usage, command.about);
    }
}
