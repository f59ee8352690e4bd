//! Signals by name and number.

use crate::error::{Error, Result};

/// The names of the signals from 1 on, as on every architecture that we are built for.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
/// glibc keeps the first two real-time signals for itself.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// The number of `15`, `TERM`, `sigterm` or `RTMIN+3`.
///
/// # Errors
/// Where there is no such signal.
pub fn parse(text: &str) -> Result<i32> {
    let unknown = || Error::Invalid(format!("invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number).ok_or_else(unknown);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let position = NAMES.iter().position(|known| *known == name);
    let named = position.and_then(|index| i32::try_from(index + 1).ok());
    named.or_else(|| real_time(name)).ok_or_else(unknown)
}

fn real_time(name: &str) -> Option<i32> {
    let offset = |text: &str| if text.is_empty() { Some(0) } else { text[1..].parse::<i32>().ok() };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) if rest.is_empty() || rest.starts_with('+') => REAL_TIME.start() + offset(rest)?,
        (_, Some(rest)) if rest.is_empty() || rest.starts_with('-') => REAL_TIME.end() - offset(rest)?,
        _ => return alias(name),
    };
    REAL_TIME.contains(&number).then_some(number)
}

fn alias(name: &str) -> Option<i32> {
    match name {
        "IOT" => Some(6),
        "CLD" => Some(17),
        "POLL" => Some(29),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("9", 9),
            ("KILL", 9),
            ("sigterm", 15),
            ("SIGWINCH", 28),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
        ] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
        for text in ["", "0", "65", "-1", "SIGFOO", "RTMIN+31", "RTMIN-1", "RTMAX+1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
