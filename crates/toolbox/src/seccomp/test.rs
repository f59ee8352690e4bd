//! `seccomp test`: what one system call with given arguments would get.

use seccomp::{Architecture, Call, Outcome, Program, interpret, syscalls};
use serde::Serialize;

/// A call that can't be tested.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum CallError {
    #[error("{architecture} has no system call \"{}\"", name.escape_debug())]
    Unknown { architecture: Architecture, name: String },
    #[error("\"{}\" is no argument: expected a number, 0x for hexadecimal", .0.escape_debug())]
    Argument(String),
    #[error("a system call has six arguments at most")]
    TooMany,
}

/// What becomes of a call.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Answer {
    pub call: String,
    pub number: u32,
    /// `ALLOW`, `ERRNO(1)`, `KILL_PROCESS`, …
    pub action: String,
    /// How many instructions of all filters the kernel runs for it.
    pub steps: usize,
}

/// Makes a call of a name or number and its arguments; those that are not given are 0.
pub fn call(architecture: Architecture, name: &str, arguments: &[String]) -> Result<Call, CallError> {
    let by_number = || integer(name).and_then(|number| u32::try_from(number).ok());
    let number = syscalls::number(architecture, name)
        .or_else(by_number)
        .ok_or_else(|| CallError::Unknown { architecture, name: name.to_owned() })?;
    let mut call = Call { architecture, number, arguments: [0; 6] };
    if arguments.len() > call.arguments.len() {
        return Err(CallError::TooMany);
    }
    for (place, text) in call.arguments.iter_mut().zip(arguments) {
        *place = integer(text).ok_or_else(|| CallError::Argument(text.clone()))?;
    }
    Ok(call)
}

fn integer(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        // Negative numbers are what -1 is in a register.
        None if text.starts_with('-') => text.parse::<i64>().ok().map(i64::cast_unsigned),
        None => text.parse().ok(),
    }
}

/// Runs all filters; the kernel obeys the one with the highest precedence.
pub fn answer(programs: &[Program], call: &Call) -> Answer {
    let outcomes: Vec<Outcome> = programs.iter().map(|program| interpret(program, call)).collect();
    let name = syscalls::name(call.architecture, call.number);
    Answer {
        call: name.map_or_else(|| call.number.to_string(), str::to_owned),
        number: call.number,
        action: outcomes
            .iter()
            .min_by_key(|outcome| precedence(outcome.value))
            .map_or("ALLOW".to_owned(), ToString::to_string),
        steps: outcomes.iter().map(|outcome| outcome.steps).sum(),
    }
}

/// seccomp(2): of several values the least one counts, as signed numbers of the action alone.
fn precedence(value: u32) -> i32 {
    (value & 0xffff_0000).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_names_or_numbers_with_arguments() {
        let architecture = Architecture::X86_64;
        let call = |name, arguments: &[&str]| {
            call(architecture, name, &arguments.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(call("openat", &["-1", "0x10"]).unwrap().arguments, [u64::MAX, 16, 0, 0, 0, 0]);
        assert_eq!(call("257", &[]).unwrap().number, 257);
        assert!(matches!(call("no_such_call", &[]), Err(CallError::Unknown { .. })));
        assert_eq!(call("read", &["x"]), Err(CallError::Argument("x".into())));
        assert_eq!(call("read", &["0"; 7]), Err(CallError::TooMany));
    }

    #[test]
    fn killing_beats_refusing_beats_allowing() {
        let order = [0x8000_0000, 0, 0x0003_0000, 0x0005_0001, 0x7fc0_0000, 0x7fff_0000];
        assert!(order.is_sorted_by_key(|value| precedence(*value)));
    }
}
