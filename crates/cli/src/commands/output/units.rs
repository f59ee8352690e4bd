//! Sizes and times as Docker writes them.

use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;

/// A size in powers of 1000 with up to `digits` significant digits: `7.8MB`.
pub fn size(bytes: u64, digits: usize) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{}{}", significant(value, digits), UNITS[unit])
}

/// A size in powers of 1024: `7.443GiB`.
pub fn binary(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{}{}", significant(value, 4), UNITS[unit])
}

/// Go's `%.Ng` for values below a million: no trailing zeros.
fn significant(value: f64, digits: usize) -> String {
    let whole = if value < 1.0 { 1 } else { value.log10().floor() as usize + 1 };
    let text = format!("{value:.*}", digits.saturating_sub(whole));
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// How long ago something was, roughly: `3 weeks ago`.
pub fn ago(created: Option<&str>) -> String {
    match created.and_then(parse) {
        Some(then) => {
            let then = Duration::from_secs(then.as_second().max(0).unsigned_abs());
            let elapsed = (UNIX_EPOCH + then).elapsed().unwrap_or_default();
            format!("{} ago", engine::human_duration(elapsed))
        }
        None => "N/A".to_owned(),
    }
}

/// A point in time as Go prints it: `2024-01-26 17:44:45 +0000 UTC`.
pub fn timestamp(created: Option<&str>) -> String {
    let shown = created.and_then(parse).map(|time| time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string());
    shown.unwrap_or_else(|| "N/A".to_owned())
}

/// Unknown times are written as the year 1 by Go, which is as good as none.
fn parse(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().filter(|time| time.as_second() > -62_000_000_000)
}

/// A time span such as `24h`, `1h30m` or `7d`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time span such as 90s, 24h or 7d");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|at| *at > 0).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        total += Duration::from_secs(number.checked_mul(seconds).ok_or_else(wrong)?);
        rest = after;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

/// A size such as `512`, `20GB` or `10GiB`, in bytes.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size such as 512MB or 10GiB");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let factor: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

/// A command in one line, cut to so many characters.
pub fn shorten(command: &str, length: usize) -> String {
    let command = command.replace('\t', " ");
    match command.chars().count() > length {
        true => command.chars().take(length - 1).chain(['…']).collect(),
        false => command,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_few_digits() {
        for (bytes, shown) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (7_804_123, "7.8MB"),
            (123_456_789, "123MB"),
            (1_230_000_000, "1.23GB"),
        ] {
            assert_eq!(size(bytes, 3), shown);
        }
        assert_eq!(size(1_234_567_890, 4), "1.235GB");
        assert_eq!(
            (binary(1023), binary(1 << 20), binary(24 << 30)),
            ("1023B".into(), "1MiB".into(), "24GiB".into())
        );
        assert_eq!(binary(1_234_567_890), "1.15GiB");
    }

    #[test]
    fn times_and_sizes_are_read() {
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_size("10GiB"), Ok(10 << 30));
        assert_eq!(parse_size("5kb"), Ok(5000));
        for wrong in ["", "h", "5", "5x", "-1h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
        assert!(parse_size("many").is_err());
    }

    #[test]
    fn points_in_time_are_gos() {
        assert_eq!(timestamp(Some("2024-01-26T17:44:45.123Z")), "2024-01-26 17:44:45 +0000 UTC");
        assert_eq!(timestamp(Some("0001-01-01T00:00:00Z")), "N/A");
        assert_eq!(ago(None), "N/A");
    }
}
