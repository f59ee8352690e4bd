//! What berth claims, tried: `cargo xtask faults`, `escapes`, `soak`.

mod escapes;
mod faults;
mod soak;
mod truth;

use std::process::ExitCode;

const USAGE: &str =
    "usage: proof faults --berth PATH [--kill | --errors] [--budget N] [--skip N] [--jobs N] [FILTER]
       proof escapes --berth PATH [--markdown FILE]
       proof soak --berth PATH [--seconds N] [--parallel N]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.split_first() {
        Some((suite, rest)) if suite == "faults" => faults::run(rest),
        Some((suite, rest)) if suite == "soak" => soak::run(rest),
        Some((suite, rest)) if suite == "escapes" => escapes::run(rest),
        Some((suite, _)) if suite == "faults-worker" => faults::work(),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("proof: {problem}");
            ExitCode::FAILURE
        }
    }
}
