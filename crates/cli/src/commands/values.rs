//! Values of flags as Docker reads them: sizes in powers of 1024, Go's durations, numbers.

use std::str::FromStr;

use jiff::Timestamp;

/// Bytes, as `512m` or `1.5GiB`: powers of 1024 whatever the unit is called.
pub fn bytes(text: &str) -> Result<i64, String> {
    let wrong = || format!("invalid size: '{text}'");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = text[digits..].trim_start_matches(' ').to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" if unit == "ib" => return Err(wrong()),
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(wrong()),
    };
    let bytes = number * 1024_f64.powi(power);
    if bytes < i64::MAX as f64 { Ok(bytes as i64) } else { Err(wrong()) }
}

/// Nanoseconds of a span as Go writes it: `1h30m`, `1.5s`, `300ms`.
pub fn duration(text: &str) -> Result<i64, String> {
    let wrong = || format!("time: invalid duration {text:?}");
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if unsigned == "0" {
        return Ok(0);
    }
    let (mut rest, mut total) = (unsigned, 0_f64);
    while !rest.is_empty() {
        let digits =
            rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(|| match digits(rest) {
                true => format!("time: missing unit in duration {text:?}"),
                false => wrong(),
            })?;
        let (number, after) = rest.split_at(digits);
        let unit_len = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let factor = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        total += number.parse::<f64>().map_err(|_| wrong())? * factor;
        rest = after;
    }
    if unsigned.is_empty() || total >= i64::MAX as f64 {
        return Err(wrong());
    }
    let nanoseconds = total.round() as i64;
    Ok(if negative { -nanoseconds } else { nanoseconds })
}

/// Nanoseconds since 1970 of an instant: RFC 3339 in whole or in part, seconds since 1970, or a span before `now`.
pub fn instant(text: &str, now: Timestamp) -> Result<i64, String> {
    let wrong = || {
        format!(
            "{text:?} is no point in time: expected 2026-01-31T15:04:05Z, seconds since 1970, or a span such as 10m"
        )
    };
    // Zero is 1970, and no span.
    if let Some(span) = Some(text).filter(|text| *text != "0").and_then(|text| duration(text).ok()) {
        let now = i64::try_from(now.as_nanosecond()).map_err(|_| wrong())?;
        return now.checked_sub(span).ok_or_else(wrong);
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !seconds.is_empty() && digits(seconds) && digits(fraction) {
        let nanoseconds = format!("{fraction:0<9.9}").parse::<i64>().map_err(|_| wrong())?;
        let seconds = seconds.parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1_000_000_000));
        return seconds.and_then(|seconds| seconds.checked_add(nanoseconds)).ok_or_else(wrong);
    }
    let time = text.parse::<Timestamp>().ok().or_else(|| civil(text));
    time.and_then(|time| i64::try_from(time.as_nanosecond()).ok()).ok_or_else(wrong)
}

/// A date, with or without a time of day, where no zone is said: UTC.
fn civil(text: &str) -> Option<Timestamp> {
    let text = if text.len() == 13 { format!("{text}:00") } else { text.to_owned() };
    let time: jiff::civil::DateTime = text.trim_end_matches('Z').parse().ok()?;
    jiff::tz::TimeZone::UTC.to_timestamp(time).ok()
}

fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// A whole number.
pub fn integer<T: FromStr>(text: &str) -> Result<T, String> {
    let text = text.strip_prefix('+').unwrap_or(text);
    text.parse().map_err(|_| match text.strip_prefix('-').unwrap_or(text) {
        "" => "expected a number".to_owned(),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => "value out of range".to_owned(),
        _ => "invalid syntax: expected a number".to_owned(),
    })
}

/// Billionths of CPUs, as `1.5`.
pub fn cpus(text: &str) -> Result<i64, String> {
    let wrong = || format!("failed to parse {text} as a rational number");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() && fraction.is_empty()
        || !digits(whole)
        || !digits(fraction)
        || fraction.contains('.')
    {
        return Err(wrong());
    }
    if fraction.trim_end_matches('0').len() > 9 {
        return Err("value is too precise".to_owned());
    }
    let nano = format!("{whole}{:0<9.9}", fraction);
    nano.parse().map_err(|_| wrong())
}

/// Both sides of an equals sign; the second is empty where there is none.
pub fn key_value(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    (key.to_owned(), value.to_owned())
}

/// Fields that commas separate, some of them quoted, as in CSV.
pub fn csv(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => match rest.find(',') {
                Some(at) => (rest[..at].to_owned(), &rest[at..]),
                None => (rest.to_owned(), ""),
            },
        };
        if field.contains('"') && !rest.starts_with('"') {
            return Err(format!("bare \" in field {field}: quote the whole field"));
        }
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => return Ok(fields),
            None => return Err(format!("extra characters after a quoted field: {after}")),
        }
    }
}

/// A field up to its closing quote, where two quotes stand for one, and what follows.
fn quoted_field(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let at = rest.find('"').ok_or("a quote is not closed")?;
        field += &rest[..at];
        rest = &rest[at + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Ok((field, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, size) in [
            ("512m", 512 << 20),
            ("1.5g", 3 << 29),
            ("64MiB", 64 << 20),
            ("10KB", 10 << 10),
            ("100", 100),
            ("100b", 100),
            ("1 t", 1 << 40),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for wrong in ["", "m", "-1", "1x", "1.2.3m", "1mm", "1ib", "99999999p"] {
            assert_eq!(bytes(wrong), Err(format!("invalid size: '{wrong}'")));
        }
    }

    #[test]
    fn durations_are_gos() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            ("300ms", 300_000_000),
            ("-1s", -1_000_000_000),
            ("2us", 2000),
        ] {
            assert_eq!(duration(text), Ok(nanoseconds), "{text}");
        }
        assert_eq!(duration("30"), Err("time: missing unit in duration \"30\"".into()));
        assert_eq!(duration("3d"), Err("time: unknown unit \"d\" in duration \"3d\"".into()));
        for wrong in ["", "s", "-", "1.2.3s", "9999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn instants_are_absolute_or_before_now() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let second = |text: &str| instant(text, now).map(|nanoseconds| nanoseconds / 1_000_000_000);
        let noon = now.as_second();
        assert_eq!((second("0"), second("0s")), (Ok(0), Ok(noon)));
        assert_eq!(second("10m"), Ok(noon - 600));
        assert_eq!(second("2026-01-31T13:00:00+01:00"), Ok(noon));
        assert_eq!(second("2026-01-31T12:00:00"), Ok(noon));
        assert_eq!(second("2026-01-31T12:00"), Ok(noon));
        assert_eq!(second("2026-01-31T12"), Ok(noon));
        assert_eq!(second("2026-01-31"), Ok(noon - 12 * 3600));
        assert_eq!(instant("1136073600.000000001", now), Ok(1_136_073_600_000_000_001));
        for wrong in ["", "soon", "2026-13-01", "1.2.3", "99999999999999999999"] {
            assert!(instant(wrong, now).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_of_cpus_are_exact() {
        assert_eq!(cpus("1.5"), Ok(1_500_000_000));
        assert_eq!(cpus(".25"), Ok(250_000_000));
        assert_eq!(cpus("2"), Ok(2_000_000_000));
        assert_eq!(cpus("0.1234567891"), Err("value is too precise".into()));
        assert!(cpus("x").is_err() && cpus("").is_err() && cpus("1.2.3").is_err() && cpus("-1").is_err());
    }

    #[test]
    fn numbers_say_what_is_wrong_with_them() {
        assert_eq!(integer::<i64>("-5"), Ok(-5));
        assert_eq!(integer::<u16>("70000"), Err("value out of range".into()));
        assert_eq!(integer::<i64>("five"), Err("invalid syntax: expected a number".into()));
    }

    #[test]
    fn fields_may_be_quoted() {
        assert_eq!(csv("a,b=c,,d").unwrap(), ["a", "b=c", "", "d"]);
        assert_eq!(csv(r#""a,b",c,"d""e""#).unwrap(), ["a,b", "c", "d\"e"]);
        assert!(csv(r#""a"#).is_err() && csv(r#""a"b"#).is_err() && csv(r#"a"b"#).is_err());
    }
}
