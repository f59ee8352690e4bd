//! Signals by name and number.

use runtime::Failure;

const NAMES: [(&str, i32); 34] = [
    ("ABRT", 6),
    ("ALRM", 14),
    ("BUS", 7),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("FPE", 8),
    ("HUP", 1),
    ("ILL", 4),
    ("INT", 2),
    ("IO", 29),
    ("IOT", 6),
    ("KILL", 9),
    ("PIPE", 13),
    ("POLL", 29),
    ("PROF", 27),
    ("PWR", 30),
    ("QUIT", 3),
    ("SEGV", 11),
    ("STKFLT", 16),
    ("STOP", 19),
    ("SYS", 31),
    ("TERM", 15),
    ("TRAP", 5),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("USR1", 10),
    ("USR2", 12),
    ("VTALRM", 26),
    ("WINCH", 28),
    ("XCPU", 24),
    ("XFSZ", 25),
];
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// The number of a signal given as `0` (which is not sent, but tells whether one could be), `9`, `KILL`, `SIGKILL`, `RTMIN+1` or `RTMAX-1`.
pub fn parse(text: &str) -> Result<i32, Failure> {
    let unknown = || Failure::because("use", format!("signal {text:?}"), "unknown signal");
    if let Ok(number) = text.parse::<i32>() {
        return if (0..=64).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    let offset = |text: &str, sign: char| match text.strip_prefix(sign) {
        Some(number) => number.parse().ok(),
        None => text.is_empty().then_some(0),
    };
    let from_min = name.strip_prefix("RTMIN").and_then(|rest| Some(REAL_TIME.start() + offset(rest, '+')?));
    let from_max = name.strip_prefix("RTMAX").and_then(|rest| Some(REAL_TIME.end() - offset(rest, '-')?));
    from_min.or(from_max).filter(|number| REAL_TIME.contains(number)).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_and_numbers_are_read() {
        for (text, number) in
            [("9", 9), ("KILL", 9), ("sigterm", 15), ("RTMIN", 34), ("SIGRTMIN+3", 37), ("RTMAX-1", 63)]
        {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
        for text in ["", "65", "NOPE", "RTMIN+40", "-1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
